"""No connection of the store crosses a fork, and the one line that sees to it is needed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from property_tests.ablations.switching import changed
from reliable_tasks import App
from reliable_tasks.worker.options import WorkerOptions
from reliable_tasks.worker.process import _Processes
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]

PROMISE = "self._app.close()  # no connection crosses a fork"


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


def _open_files() -> set[str]:
    """What this process has open: names of files, and of sockets by their number."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            found.add(str(link.readlink()))
    return {name for name in found if name.startswith(("socket:", "/")) and "/proc" not in name}


def _inherited_by_a_child(url: str) -> int:
    with contextlib.closing(App("t", broker=url, set_as_current=False)) as app:
        before = _open_files()
        app.store.counts()
        opened = _open_files() - before
        assert opened, "there is something to inherit"
        processes = _Processes(app, WorkerOptions(hostname="w@h"))
        pid = processes._fork(lambda: len(opened & _open_files()))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_inherits_no_connection(url: str) -> None:
    assert _inherited_by_a_child(url) == 0


@pytest.mark.parametrize("url", ["redis"], indirect=True)  # an SQLite file sees to it as well
def test_without_the_closing_it_does(url: str) -> None:
    with changed("reliable_tasks.worker.process:_Processes._fork", PROMISE, "pass"):
        assert _inherited_by_a_child(url) > 0
