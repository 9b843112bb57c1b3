"""What chords cost by their size: time, bytes in the store, memory of the processes.

    python -m benchmarks.workflows --sizes 1000,10000,100000 --stores sqlite,redis

Each row is a chord in a store of its own: a producer enqueues it while no worker runs, then one
worker with two processes runs it to the end. The memory of a process is its peak, with the
interpreter and all that it imports.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import apsw

from reliable_tasks.results.groups import GroupResult
from tests.process.harness import Place, Worker
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Record

__all__ = ["Figures", "main", "measure"]

PROGRAM = "benchmarks.workflow_tasks"
LONGEST_S = 1800.0
AT_ONCE = 1000
KIB_PER_MIB = 1024
HEADINGS = (
    "store",
    "members",
    "enqueue, s",
    "run, s",
    "join, s",
    "collect, s",
    "µs per member",
    "bytes per member, waiting",
    "bytes per member, ended",
    "producer, MiB",
    "worker process, MiB",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One row of the table.

    Attributes:
        enqueue_s: to build and store the chord.
        run_s: from the start of the first member to the end of the last.
        join_s: from there to the end of the body, which gets all results.
        collect_s: to read the results of all members through their handle.
        waiting_bytes, ended_bytes: what the store grew by, before and after the run.
        producer_kib, worker_kib: peak memory of the producer, and of the largest process of the
            worker.
    """

    store: str
    size: int
    enqueue_s: float
    run_s: float
    join_s: float
    collect_s: float
    waiting_bytes: int
    ended_bytes: int
    producer_kib: int
    worker_kib: int

    def row(self) -> str:
        """As a line of the table."""
        total_s = self.enqueue_s + self.run_s + self.join_s
        cells = (
            self.store,
            f"{self.size:,}",
            f"{self.enqueue_s:.2f}",
            f"{self.run_s:.2f}",
            f"{self.join_s:.2f}",
            f"{self.collect_s:.2f}",
            f"{total_s / self.size * 1e6:.0f}",
            f"{self.waiting_bytes / self.size:,.0f}",
            f"{self.ended_bytes / self.size:,.0f}",
            f"{self.producer_kib / KIB_PER_MIB:.0f}",
            f"{self.worker_kib / KIB_PER_MIB:.0f}",
        )
        return _line(cells)


class _Opened(NamedTuple):
    """An empty store: its URL, and how to ask for the bytes it holds."""

    url: str
    used: Callable[[], int]


@contextlib.contextmanager
def _sqlite(folder: Path) -> Iterator[_Opened]:
    path = folder / "store.db"

    def used() -> int:
        with contextlib.closing(apsw.Connection(str(path))) as connection:
            pages: Any = connection.pragma("page_count")
            size: Any = connection.pragma("page_size")
            return int(pages) * int(size)

    yield _Opened(f"sqlite:///{path}", used)


@contextlib.contextmanager
def _redis(_: Path) -> Iterator[_Opened]:
    with RedisServer() as server:
        client = server.client()

        def used() -> int:
            info = cast("dict[str, int]", client.info("memory"))
            return info["used_memory"]

        yield _Opened(server.url, used)


STORES = {"sqlite": _sqlite, "redis": _redis}


def measure(store: str, size: int) -> Figures:
    """Run one chord of so many members in a store of its own.

    Raises:
        AssertionError: its body did not give the sum of its members.
    """
    with (
        tempfile.TemporaryDirectory(prefix="rt-workflows-") as folder,
        STORES[store](Path(folder)) as opened,
        contextlib.closing(Place(Path(folder), opened.url)) as place,
    ):
        place.store.now_ms()
        empty = opened.used()
        output = place.python("-m", PROGRAM, str(size), timeout=LONGEST_S)
        report: dict[str, Any] = json.loads(output)
        waiting = opened.used() - empty
        worker = place.start_worker("--concurrency", "2", module=PROGRAM)
        result = place.app.AsyncResult(report["body"])
        total = result.get(timeout=LONGEST_S)
        assert total == size * (size + 1) // 2, total
        ended = opened.used() - empty
        worker_kib = _peak_kib(worker)
        worker.stop()
        began, last, body = _times(place.store, report["members"], report["body"])
        return Figures(
            store=store,
            size=size,
            enqueue_s=report["seconds"],
            run_s=(last - began) / 1000,
            join_s=(body - last) / 1000,
            collect_s=_collect_s(place, report["members"]),
            waiting_bytes=waiting,
            ended_bytes=ended,
            producer_kib=report["peak_kib"],
            worker_kib=worker_kib,
        )


def _times(store: Store, members: Sequence[str], body: str) -> tuple[int, int, int]:
    """When the first member started, the last ended, and the body ended; store's ms."""
    records = [
        record
        for at in range(0, len(members), AT_ONCE)
        for record in store.read(members[at : at + AT_ONCE])
    ]
    began = min(_known(record, "first_started_ms") for record in records)
    last = max(_known(record, "ended_ms") for record in records)
    return began, last, _known(store.read([body])[0], "ended_ms")


def _known(record: Record | None, name: str) -> int:
    value: int | None = getattr(record, name)
    assert value is not None, f"{record} has no {name}"
    return value


def _collect_s(place: Place, members: Sequence[str]) -> float:
    handle = GroupResult(
        "members", [place.app.AsyncResult(each) for each in members], app=place.app
    )
    began = time.monotonic()
    values = handle.get(timeout=LONGEST_S)
    seconds = time.monotonic() - began
    assert len(values) == len(members)
    return seconds


def _peak_kib(worker: Worker) -> int:
    """The peak memory of the largest process of a worker."""
    peaks = []
    for pid in (worker.pid, *worker.children):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        peaks += [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return max(peaks)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, row by row as they come."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--stores", default="sqlite,redis")
    words = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors\n")
    print(_line(HEADINGS))
    print(_line(["---"] + ["---:"] * (len(HEADINGS) - 1)))
    for store in words.stores.split(","):
        for size in words.sizes.split(","):
            print(measure(store, int(size)).row(), flush=True)


if __name__ == "__main__":
    main()
