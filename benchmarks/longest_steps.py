"""How long the longest step takes: every verb and command, in a store with many messages.

    python -m benchmarks.longest_steps [--size 10000] [--rounds 3] [--only revoke] [--store redis]

A server does nothing else while a script runs, and nobody else writes to a file while a
transaction is open. Prints for each row how long the longest of them took (ms, the best of the
rounds; of a transaction its thread's CPU time, since the disk is another matter), which script
that was, and how many there were. On Redis it is what SLOWLOG says of a private server.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import redis

from reliable_tasks import App
from reliable_tasks.core import clock as clocks
from reliable_tasks.errors import StoreError
from reliable_tasks.store.redis.codec.scripts import script
from reliable_tasks.store.sqlite.connection import Database

from .memory_per_message import private_server
from .steps_at_size import ROWS, Clock, Filled, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 10_000
ROUNDS = 3
LONG_MS = 50.0
SEEN_US = 500
MOST_ENTRIES = 100_000


@dataclass
class Steps:
    """The steps that a row took, of one store."""

    longest_ms: float = 0.0
    name: str = ""
    count: int = 0
    refused: str = ""

    def add(self, took_ms: float, name: str) -> None:
        """Count one."""
        self.count += 1
        if took_ms > self.longest_ms:
            self.longest_ms, self.name = took_ms, name


def main() -> int:
    """Measure and print a table; 1 where a step took longer than 50 ms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE, help="messages, of what there are many")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="the best counts")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--store", default="redis,sqlite", help="redis, sqlite")
    given = parser.parse_args()
    rows = [row for row in ROWS if given.only in row.name]
    stores = given.store.split(",")
    print(f"{given.size} messages; the longest step in ms, which it was, and how many there were")
    print(f"{'':<58}" + "".join(f"{store:>12}{'':<24}" for store in stores))
    slow = 0
    for row in rows:
        cells = [_best(row, store, given.size, given.rounds) for store in stores]
        slow += sum(cell.longest_ms > LONG_MS for cell in cells)
        print(f"{row.name:<58}" + "".join(map(_shown, cells)), flush=True)
        for refused in filter(None, (cell.refused for cell in cells)):
            print(f"    {refused}")
    print(f"{slow} of {len(rows) * len(stores)} above {LONG_MS:.0f} ms")
    return int(slow > 0)


def _shown(steps: Steps) -> str:
    mark = "!" if steps.longest_ms > LONG_MS else " "
    told = "refused!" if steps.refused else f"{steps.name[:14]} x{steps.count}"
    return f"{steps.longest_ms:>11.1f}{mark} {told:<23}"


def _best(row: Row, store: str, size: int, rounds: int) -> Steps:
    measure = {"redis": on_redis, "sqlite": on_sqlite}[store]
    return min((measure(row, size) for _ in range(rounds)), key=lambda s: s.longest_ms)


def _act(row: Row, filled: Filled, steps: Steps) -> None:
    try:
        row.act(filled)
    except StoreError as error:
        steps.refused = f"{type(error).__name__}: {error}"


def on_redis(row: Row, size: int) -> Steps:
    """Of a private server, by its SLOWLOG."""
    with private_server() as url, redis.Redis.from_url(url) as client:
        client.config_set("slowlog-max-len", MOST_ENTRIES)
        with _filled(url, row, size) as filled:
            client.slowlog_reset()
            client.config_set("slowlog-log-slower-than", SEEN_US)
            steps = Steps()
            _act(row, filled, steps)
            client.config_set("slowlog-log-slower-than", -1)
        for entry in _entries(client):
            steps.add(entry["duration"] / 1000, _name_of(entry["command"]))
        return steps


def _entries(client: redis.Redis) -> list[Any]:
    found: Any = client.slowlog_get(MOST_ENTRIES)
    return [entry for entry in found if not entry["command"].startswith(b"SLOWLOG")]


def _name_of(command: bytes) -> str:
    verb, _, rest = command.decode("utf-8", "replace").partition(" ")
    if verb == "EVAL":  # the first time, with its source
        return next((name for name, text in _SCRIPTS.values() if rest[:60] in text), verb)
    return _SCRIPTS.get(rest[:40], (verb, ""))[0]


def _scripts() -> dict[str, tuple[str, str]]:
    folder = files("reliable_tasks.store.redis") / "lua" / "built"
    names = [path.name.removesuffix(".lua") for path in folder.iterdir()]
    return {script(name).sha: (name, script(name).script) for name in names}


_SCRIPTS = _scripts()
"""The store's scripts by their SHA: name and source."""


def on_sqlite(row: Row, size: int) -> Steps:
    """Of a file, by a watch over its transactions."""
    with tempfile.TemporaryDirectory(prefix="rt-steps-") as folder:
        url = f"sqlite:///{folder}/store.db?synchronous=NORMAL"
        with _filled(url, row, size) as filled, timed_transactions() as steps:
            _act(row, filled, steps)
        return steps


@contextlib.contextmanager
def timed_transactions() -> Iterator[Steps]:
    """Time each transaction, by its thread's CPU."""
    steps, original = Steps(), Database._transaction

    def timed(self: Database, connection: Any, mode: str, act: Any) -> Any:
        began = time.thread_time()
        try:
            return original(self, connection, mode, act)
        finally:
            steps.add(1000 * (time.thread_time() - began), mode.lower())

    Database._transaction = timed  # type: ignore[method-assign]
    try:
        yield steps
    finally:
        Database._transaction = original  # type: ignore[method-assign]


@contextlib.contextmanager
def _filled(url: str, row: Row, size: int) -> Iterator[Filled]:
    app = App("steps", broker=url, set_as_current=False)
    clock = Clock(clocks.now_ms)
    store: Any = app.store
    store._clock = clock
    try:
        filled = Filled(app, size, clock)
        row.prepare(filled)
        yield filled
    finally:
        app.close()


if __name__ == "__main__":
    sys.exit(main())
