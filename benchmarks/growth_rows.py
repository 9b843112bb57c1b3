"""What single steps cost at a size: a program that runs in the code of the checkout it measures.

Prints a JSON object: for each row the microseconds of processor time, of this process and of the
server together, at each size; and the longest command or transaction that was seen on the way.
Run by `growth`, which says in its arguments which store, and which sizes.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from reliable_tasks import App, OnceTask
from reliable_tasks.core.message import Message
from reliable_tasks.core.outcome import Failed, Succeeded
from reliable_tasks.errors import StoreError
from reliable_tasks.store.sqlite.connection import Database
from reliable_tasks.store.values import (
    AuditQuery,
    Batch,
    ClaimRequest,
    Commit,
    Entry,
    MessageQuery,
    SessionInfo,
)
from tests.redis_server import RedisServer

from . import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reliable_tasks.core.outcome import Outcome

__all__ = ["main"]

LEASE_MS = 3_600_000
AT_ONCE, PART, PAGE = 64, 500, 100
REPEATS, BATCHES, SLOW_US = 20, 5, 50_000
_WANT = ClaimRequest(queues=("celery",), limit=AT_ONCE)

Rows = dict[str, float]


class _Bench:
    """A store of its own for each row, and what steps in it cost."""

    def __init__(self, store: str) -> None:
        self.longest_ms = 0.0
        self._server = RedisServer() if store == "redis" else None
        self._client = self._server.client() if self._server else None
        self._original = Database._transaction
        if self._client is None:
            Database._transaction = self._timed  # type: ignore[method-assign]
        else:
            self._client.config_set("slowlog-log-slower-than", 1000)

    def close(self) -> None:
        """End the server."""
        Database._transaction = self._original  # type: ignore[method-assign]
        if self._server is not None:
            self._server.stop()

    @property
    def _timed(self) -> Any:
        original, bench = self._original, self

        def timed(self: Database, *given: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return original(self, *given, **named)
            finally:
                bench.longest_ms = max(bench.longest_ms, 1000 * (time.thread_time() - began))

        return timed

    @contextlib.contextmanager
    def app(self, **settings: Any) -> Iterator[App]:
        """An app on an empty store."""
        with tempfile.TemporaryDirectory(prefix="rt-growth-") as folder:
            url = self._server.url if self._server else f"sqlite:///{folder}/growth.db"
            app = App("growth", broker=url, set_as_current=False, **settings)
            try:
                yield app
                self._look()
            finally:
                app.close()
                if self._client is not None:
                    self._client.flushall()

    def _look(self) -> None:
        if self._client is None:
            return
        entries: Any = self._client.slowlog_get(1000)
        scripts = [e for e in entries if e["command"].startswith((b"EVAL", b"FCALL"))]
        self.longest_ms = max([self.longest_ms, *(e["duration"] / 1000 for e in scripts)])
        self._client.slowlog_reset()

    def _used(self) -> float:
        used = time.process_time()
        if self._client is not None:
            used += processes.server_seconds(self._client)
        return used

    def cost(self, run: Callable[[], object], count: int) -> float:
        """Microseconds of processor time of one of so many things that `run` does."""
        before = self._used()
        run()
        return (self._used() - before) / count * 1e6

    def least(self, run: Callable[[], object], count: int = 1) -> float:
        """The same of what can be repeated: the best of a few."""
        run()
        once = self.cost(run, count)
        if once * count > SLOW_US:
            return min(once, self.cost(run, count))

        def often() -> None:
            for _ in range(REPEATS):
                run()

        return min(self.cost(often, REPEATS * count) for _ in range(BATCHES))


def _drain(app: App, most: int, outcome: Outcome) -> None:
    """Claim and commit, as a worker does."""
    done, commits = 0, list[Commit]()
    while True:
        want = _WANT if done < most else None
        claims = app.store.exchange("s", commits, want).claims
        commits = [Commit(id=c.id, fence=c.fence, outcome=outcome) for c in claims]
        if not commits:
            return
        done += len(commits)


def _fill(app: App, count: int, payload: str = "", **options: Any) -> list[str]:
    """Enqueue so many; their ids."""
    make: Any = app.task(name="measured", **options)
    task = make(lambda number, text: (number, text))
    ids = []
    for first in range(0, count, PART):
        some = range(first, min(count, first + PART))
        ids += [handle.id for handle in app.enqueue_many(task.s(n, payload) for n in some)]
    app.store.open_session(SessionInfo(id="s", worker="growth@here"), LEASE_MS)
    return ids


def _backlog(bench: _Bench, size: int, least: int) -> Rows:
    """So many messages wait; a window of them fails; then all are dead letters."""
    with bench.app() as app:
        ids = _fill(app, size)
        failed = Failed(failure=b"{}")
        _drain(app, AT_ONCE, failed)  # scripts and caches are there
        window = max(AT_ONCE, least - AT_ONCE)
        rows = {
            "backlog: claim and commit one": bench.cost(lambda: _drain(app, window, failed), window)
        }
        _drain(app, size, failed)
        query = MessageQuery(dead=True, limit=PAGE)
        rows["dead letters: a page of 100"] = bench.least(lambda: app.store.find(query))
        some = ids[: 10 * REPEATS]
        rows["dead letters: replay one"] = bench.cost(lambda: app.store.replay(some), len(some))
    return rows


def _locked(bench: _Bench, size: int, least: int) -> Rows:
    """So many once-keys are held, and the trail has as many rows."""
    with bench.app(audit="all") as app:
        ids = _fill(app, size, base=OnceTask)
        query = AuditQuery(id=ids[size // 2])
        rows = {"trail: all of one message": bench.least(lambda: app.store.audit(query))}
        found = app.store.locks()
        rows["locks: list all, for each"] = bench.cost(app.store.locks, len(found))
        rows["locks: look at one"] = bench.least(lambda: app.store.locks(found[0].name))
    return rows


def _entries(bench: _Bench, size: int, least: int) -> Rows:
    """A schedule of so many entries."""
    with bench.app() as app:
        store, slots = app.store, iter(range(10**9))
        for n in range(size):
            store.put_entry(Entry(name=f"e{n}", next_ms=0), -1)

        def fire() -> None:
            slot = next(slots)
            message = Message(id=f"m{slot}", task="t", token=f"{slot}")
            entry = Entry(name="e0", next_ms=slot + 1, version=1, runs=slot + 1)
            assert store.fire(entry, slot, Batch(messages=(message,))) is not None

        rows = {"schedule: fire one entry": bench.least(fire)}
        rows["schedule: read all, for each"] = bench.least(store.entries, size)
    return rows


def _values(bench: _Bench, size: int, least: int) -> Rows:
    """Arguments and results of so many bytes."""
    value, count = "x" * size, 128
    with bench.app() as app:
        _fill(app, AT_ONCE, value)
        outcome = Succeeded(result=b'"%s"' % value.encode())
        _drain(app, AT_ONCE, outcome)

        def live() -> None:
            _fill(app, count, value)
            _drain(app, count, outcome)

        return {"values: the whole life of a message": bench.cost(live, count)}


_PARTS = {"backlog": _backlog, "locks": _locked, "schedule": _entries, "values": _values}


def measured(store: str, sizes: dict[str, Sequence[int]]) -> dict[str, list[float]]:
    """The rows of each part at each of its sizes."""
    found: dict[str, list[float]] = {}
    longest = [0.0] * max(map(len, sizes.values()))
    for part, of_part in sizes.items():
        for at, size in enumerate(of_part):
            bench = _Bench(store)
            try:
                rows = _PARTS[part](bench, size, of_part[0])
            except StoreError as exc:
                print(f"{part} of {size}: {exc}", file=sys.stderr)
                continue
            finally:
                bench.close()
            longest[at] = max(longest[at], bench.longest_ms * 1000)
            for name, cost in rows.items():
                found.setdefault(name, []).append(cost)
    found["the longest script or transaction"] = longest
    return found


def main() -> int:
    """Measure what the arguments say; returns the exit code."""
    store, sizes = sys.argv[1:]
    print(json.dumps(measured(store, json.loads(sizes))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
