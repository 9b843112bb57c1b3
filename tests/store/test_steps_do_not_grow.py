"""No step of a verb grows with the store: three times as many messages need more steps, no longer.

What a step does is counted, not timed: on Redis the words of all commands that one script runs, in
a file the rows that one transaction changes. `python -m benchmarks.longest_steps` takes the time.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.steps_at_size import ROWS, Clock, Filled, Row
from reliable_tasks import App
from reliable_tasks.core import clock as clocks
from reliable_tasks.store.sqlite import endings
from reliable_tasks.store.sqlite.connection import Database
from tests.redis_server import default_server
from tests.store.redis_factories import server_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.redis_server import RedisServer

SMALL, LARGE = 300, 600
STORING = {  # which a file does in transactions of `max_batch`
    "enqueue_many, once-task",
    "enqueue_many, countdown",
    "group of once-tasks",
    "chord of as many",
}
BOUNDED = {
    *STORING,
    "revoke",
    "revoke, once-keys",
    "revoke, parked behind one key",
    "purge",
    "drop",
    "replay",
    "commit that as many wait for",
    "failure that as many wait for",
    "closing a session",
}
CHOSEN = [row for row in ROWS if row.name in BOUNDED]
OF_ITSELF = 1.15  # what it says of others (edges that are left) is small, and may grow


def test_the_rows_are_there() -> None:
    assert {row.name for row in CHOSEN} == BOUNDED


@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row.name)
def test_no_script_grows_with_the_store(row: Row) -> None:
    server = server_of(default_server())
    small, large = (_longest_script(row, size, server) for size in (SMALL, LARGE))
    assert small > 0
    assert large <= OF_ITSELF * small, f"{row.name}: {small} words, and {large}"


def _longest_script(row: Row, size: int, server: RedisServer) -> int:
    client = server.client()
    client.flushall()
    with _filled(server.url, row, size) as filled, client.monitor() as monitor:  # type: ignore[no-untyped-call]
        row.act(filled)
        filled.store.now_ms()
        client.echo("that was all")
        longest = words = 0
        for told in monitor.listen():
            if told["command"].endswith("that was all"):
                return max(longest, words)
            if told["client_type"] != "lua":
                longest, words = max(longest, words), 0
            else:
                words += told["command"].count(" ") + 1
    raise AssertionError("the server ended")


@pytest.mark.parametrize(
    "row", [row for row in CHOSEN if row.name not in STORING], ids=lambda row: row.name
)
def test_no_transaction_grows_with_the_store(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "FOLLOWED_AT_ONCE", 100)
    small, large = (
        _longest_transaction(row, size, tmp_path / str(size)) for size in (SMALL, LARGE)
    )
    assert small > 0
    assert large <= OF_ITSELF * small, f"{row.name}: {small} rows, and {large}"


def _longest_transaction(row: Row, size: int, folder: Path) -> int:
    folder.mkdir()
    url = f"sqlite:///{folder}/store.db?synchronous=NORMAL"
    with _filled(url, row, size) as filled, _counted_transactions() as counted:
        row.act(filled)
    return max(counted)


@contextlib.contextmanager
def _counted_transactions() -> Iterator[list[int]]:
    """How many rows each transaction changes."""
    counted, original = list[int](), Database._transaction

    def counting(self: Database, connection: Any, mode: str, act: Any) -> Any:
        before = connection.total_changes()
        try:
            return original(self, connection, mode, act)
        finally:
            counted.append(connection.total_changes() - before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "_transaction", counting)
        yield counted


@contextlib.contextmanager
def _filled(url: str, row: Row, size: int) -> Iterator[Filled]:
    app = App("steps", broker=url, set_as_current=False)
    clock = Clock(clocks.now_ms)
    try:
        filled = Filled(app, size, clock)
        row.prepare(filled)
        yield filled
    finally:
        app.close()
