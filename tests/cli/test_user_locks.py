"""`locks` shows users' locks beside the once-locks, on each store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from locks import LeaseLost, Lock
from reliable_tasks import App
from reliable_tasks.cli import cli
from tests.redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["redis_server"]


def run(*args: str) -> str:
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_users_lock_is_listed_explained_and_released(
    kind: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    client = redis_server.client()
    subject: Any = client if kind == "redis" else str(tmp_path / "a.db")
    url = redis_server.url if kind == "redis" else f"sqlite:///{tmp_path}/a.db"
    with App("shop", broker=url, set_as_current=False) as app:
        app.send_task("some.task")  # there is a store now
    lock = Lock("mine", subject, namespace="reliable_tasks", auto_renew=False)
    lease = lock.acquire()
    assert "mine" in run("-b", url, "locks", "list")
    assert lease.token in run("-b", url, "locks", "explain", "mine")
    run("-b", url, "locks", "release", "mine", "--force")
    assert "mine" not in run("-b", url, "locks", "list")
    with pytest.raises(LeaseLost):
        lock.release(lease)
    client.close()
