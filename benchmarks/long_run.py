"""A long drain whose results expire: does it keep its pace, and what does it leave behind?

    python -m benchmarks.long_run --messages 1000000 --store sqlite
    python -m benchmarks.long_run --messages 200000 --reader --before ../older

Two processes run what waits. A row is a slice of the messages: how fast it went, the processor
time of worker and server for a message, and how large the store is at its end: SQLite's file, the
free pages in it, and the log beside it, also at its largest; Redis's memory and keys. The last
row is the store when the results have expired. `--reader` holds one snapshot of an SQLite store
from the beginning of the drain to its end, as a forgotten shell would.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from . import processes
from .arena import ROOT, Arena, BenchmarkError, Place
from .environments import DEFAULT_FOLDER, compile_ours
from .report import table
from .systems import systems_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .systems import System

__all__ = ["main", "measure"]

MIB = 1 << 20
PAUSE_S = 0.05
LONGEST_S = 7200.0
REST_S = 60.0
PAGES = struct.Struct(">28xI4xI")
"""Of the header of SQLite's file: how many pages it has, and how many of them are free."""
PAGE = 4096


@dataclass(slots=True)
class Look:
    """What was seen at the end of a slice.

    Attributes:
        bodies: that have run so far.
        at: when (seconds, monotonic).
        cpu_s: processor time of the worker and of the server so far.
        sizes: what the store takes, by the heading of the column.
    """

    bodies: int
    at: float
    cpu_s: float
    sizes: dict[str, float]


class Run:
    """One drain.

    Args:
        arena: where it happens.
        count: messages.
        waiting: how many of them to enqueue ahead; the rest follows as they are run.
    """

    def __init__(self, arena: Arena, count: int, waiting: int) -> None:
        self._arena = arena
        self._count = count
        self._waiting = min(waiting, count)
        self._sent = 0
        self._sending = False
        self._largest_log = 0

    def fill(self) -> None:
        """Enqueue what is to wait when the worker starts."""
        self._arena.control.ask("fill", count=self._waiting)
        self._sent = self._waiting

    def slices(self, number: int) -> Iterator[Look]:
        """Drain, and look at the beginning and at the ends of so many slices."""
        self._arena.start_worker()
        self._arena.wait(lambda: self._arena.seen().bodies > 0, 60, "starting")
        yield self.look()
        for part in range(1, number + 1):
            goal = self._count * part // number
            deadline = time.monotonic() + LONGEST_S
            while (bodies := self._bodies()) < goal:
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"only {bodies:,} bodies have run in {LONGEST_S:g} s")
                time.sleep(PAUSE_S)
            yield self.look()

    def rest(self) -> Look:
        """The store when all that has ended has expired, or after a while."""
        deadline = time.monotonic() + REST_S
        while time.monotonic() < deadline and self._arena.control.ask("finished"):
            time.sleep(1.0)
        return self.look()

    def look(self) -> Look:
        """How far it is, and how large the store."""
        cpu_s = processes.cpu_seconds(self._arena.worker_pid)
        cpu_s += self._arena.server_seconds() or 0.0
        sizes = self._on_sqlite() if self._arena.server is None else self._on_redis()
        return Look(self._arena.seen().bodies, time.monotonic(), cpu_s, sizes)

    def _bodies(self) -> int:
        bodies = self._arena.seen().bodies
        if self._arena.server is None:
            self._largest_log = max(self._largest_log, self._log())
        if self._sending:
            if self._sent - bodies < self._waiting // 2:  # a part is at most the other half
                self._arena.control.answer()
                self._sending = False
        elif (few := min(self._count - self._sent, self._waiting // 2)) > 0:
            self._arena.control.begin("fill", count=few)
            self._sent, self._sending = self._sent + few, True
        return bodies

    def _log(self) -> int:
        log = Path(f"{self._arena.database}-wal")
        return log.stat().st_size if log.exists() else 0

    def _on_sqlite(self) -> dict[str, float]:
        assert self._arena.database is not None
        with self._arena.database.open("rb") as file:
            pages, free = PAGES.unpack(file.read(PAGES.size))
        log = self._log()
        largest, self._largest_log = max(self._largest_log, log), 0
        return {
            "file, MiB": pages * PAGE / MIB,
            "of it free": free * PAGE / MIB,
            "log, MiB": log / MIB,
            "at most": largest / MIB,
        }

    def _on_redis(self) -> dict[str, float]:
        assert self._arena.server is not None
        client = self._arena.server.client()
        memory = client.info("memory")
        assert isinstance(memory, dict)
        return {"memory, MiB": memory["used_memory"] / MIB, "keys": float(client.dbsize())}


@contextlib.contextmanager
def _snapshot(path: Path | None) -> Iterator[None]:
    """Go on reading a file as it is now."""
    if path is None:
        yield
        return
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM store").fetchall()
        yield


def _row(before: Look, after: Look) -> list[str]:
    done, took_s = after.bodies - before.bodies, after.at - before.at
    cpu_s = after.cpu_s - before.cpu_s
    speed = (
        [f"{after.bodies:,}", f"{done / took_s:,.0f}", f"{cpu_s / done * 1e6:.1f}"]
        if done
        else [f"{took_s:.0f} s later", "", f"{cpu_s / took_s:.0%} of a core"]
    )
    return [*speed, *(f"{size:,.0f}" for size in after.sizes.values())]


def measure(system: System, given: argparse.Namespace) -> str:
    """Run one drain; returns its table."""
    variant = f"expires-{given.expires}"
    with Arena(system, Place(DEFAULT_FOLDER, given.work), variant) as arena:
        run = Run(arena, given.messages, given.waiting or given.messages)
        run.fill()
        with _snapshot(arena.database if given.reader else None):
            looks = list(run.slices(given.slices))
        looks.append(run.rest())
    head = ["bodies", "a second", "CPU µs each", *looks[0].sizes]
    return table(head, [_row(*pair) for pair in itertools.pairwise(looks)])


def main(argv: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_run")
    add = parser.add_argument
    add("--messages", type=int, default=1_000_000)
    add("--store", choices=("redis", "sqlite"), default="sqlite")
    add("--expires", type=int, default=6, help="seconds that a result is kept")
    add("--waiting", type=int, help="enqueue no more than so many ahead; by default all")
    add("--slices", type=int, default=10)
    add("--reader", action="store_true", help="hold a snapshot of an SQLite store meanwhile")
    add("--before", type=Path, help="another checkout of this project, to measure next to this one")
    add("--work", type=Path, help="where the store lies")
    given = parser.parse_args(argv)
    before = given.before and given.before.absolute()
    for checkout in filter(None, (ROOT, before)):
        compile_ours(checkout)
    for system in systems_of((), before):
        if system.is_ours and system.store == given.store:
            print(f"{system.name}\n\n{measure(system, given)}\n", flush=True)


if __name__ == "__main__":
    main()
