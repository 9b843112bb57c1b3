"""Each test gets a directory with a store of its own, and leaves no process behind."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.process.harness import Place
from tests.redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["redis_server"]


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    server.client().flushall()
    return server.url


@pytest.fixture
def place(tmp_path: Path, store_url: str) -> Iterator[Place]:
    """A directory with the program and a store."""
    with contextlib.closing(Place(tmp_path, store_url)) as opened:
        yield opened
