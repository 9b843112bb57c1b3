"""An empty store for a test, of the kind that a fixture's parameter names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.redis_server import RedisServer

__all__ = ["empty_store"]


def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store: "memory", "sqlite", or "redis" by the fixture `redis_server`."""
    if request.param == "memory":
        return "sqlite://"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tasks.db?synchronous=normal"
    server: RedisServer = request.getfixturevalue("redis_server")
    server.client().flushall()
    return server.url
