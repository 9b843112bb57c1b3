"""Where a worker's time goes: `python -m benchmarks.profile_worker [--store sqlite] [-n 20000]`.

A child runs messages under cProfile, once for each of its two threads: the one that runs bodies,
and the consumer's, which talks to the store. The profiler makes everything slower, small functions
most of all: read the shares, not the sums.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import multiprocessing
import os
import pstats
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reliable_tasks import App, ids
from reliable_tasks.store.values import SessionInfo
from reliable_tasks.worker.board import Board
from reliable_tasks.worker.child import run_child
from reliable_tasks.worker.feed import Feed
from reliable_tasks.worker.options import WorkerOptions
from reliable_tasks.worker.pools.prefork import PreforkPool
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["main", "profile"]

LEASE_MS = 600_000
LIMIT_S = 300.0


def make_app(url: str) -> App:
    """An app with one task, which does nothing."""
    app = App("profiled", broker=url, set_as_current=False)

    @app.task(name="noop")
    def noop(value: int) -> int:
        return value

    return app


@contextlib.contextmanager
def new_store(kind: str) -> Iterator[str]:
    """The URL of a store for one run."""
    if kind == "redis":
        with RedisServer() as server:
            yield server.url
    else:
        with tempfile.TemporaryDirectory(prefix="rt-profile-") as folder:
            yield f"sqlite:///{folder}/profile.db"


def _profiled(function: Callable[..., Any], path: Path) -> Callable[..., Any]:
    """The function, which leaves a profile of its thread in a file."""

    def run(*args: Any) -> Any:
        profiler = cProfile.Profile()
        try:
            return profiler.runcall(function, *args)
        finally:
            profiler.dump_stats(path)

    return run


def _work(url: str, session: str, count: int, folder: Path | None) -> None:
    """In a process of its own: run so many messages, profiled if there is a folder for it."""
    if folder is not None:
        PreforkPool.run = _profiled(PreforkPool.run, folder / "bodies")  # type: ignore[method-assign]
        Feed._pump = _profiled(Feed._pump, folder / "consumer")  # type: ignore[method-assign]
    options = WorkerOptions(hostname="profiled@localhost", max_tasks_per_child=count)
    run_child(make_app(url), options, session, Board(1), os.getppid())


def profile(kind: str, count: int, folder: Path | None) -> float:
    """Run so many messages in one child; returns seconds, its start included.

    Args:
        kind: "redis" or "sqlite".
        count: how many messages.
        folder: where the files `bodies` and `consumer` go; None runs without a profiler.
    """
    with new_store(kind) as url:
        app = make_app(url)
        app.enqueue_many(app.tasks["noop"].s(value) for value in range(count))
        session = ids.new_id()
        info = SessionInfo(id=session, worker="profiled@localhost", host="", pid=0)
        app.store.open_session(info, LEASE_MS)
        app.close()
        assert threading.active_count() == 1, "a fork needs a process with one thread"
        child = multiprocessing.get_context("fork").Process(
            target=_work, args=(url, session, count, folder)
        )
        began = time.monotonic()
        child.start()
        child.join(LIMIT_S)
        child.kill()
        return time.monotonic() - began


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_worker")
    parser.add_argument("--store", choices=("redis", "sqlite"), default="redis")
    parser.add_argument("-n", "--count", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=25)
    parser.add_argument("--sort", choices=("tottime", "cumtime"), default="tottime")
    given = parser.parse_args()
    plain = profile(given.store, given.count, None)
    print(f"without the profiler: {plain / given.count * 1e6:.1f} µs for each message")
    with tempfile.TemporaryDirectory(prefix="rt-profile-") as folder:
        profile(given.store, given.count, Path(folder))
        for thread in ("bodies", "consumer"):
            print(f"\n== the thread of the {thread}")
            stats = pstats.Stats(str(Path(folder) / thread))
            stats.strip_dirs().sort_stats(given.sort).print_stats(given.rows)


if __name__ == "__main__":
    main()
