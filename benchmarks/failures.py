"""What a failure costs next to a success: `python -m benchmarks.failures`, on both stores.

A child runs messages that succeed, that fail for good, or that are retried once and then succeed;
all of them wait already, and nothing is logged. Counts microseconds of processor time for each
attempt: of the child, and of the server. `--before` counts another checkout as well.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from reliable_tasks import App
from reliable_tasks.core import ids
from reliable_tasks.store.values import SessionInfo
from reliable_tasks.worker.child import run_child
from reliable_tasks.worker.options import WorkerOptions
from reliable_tasks.worker.scoreboard import Scoreboard

from . import processes
from .arena import ROOT, told_with
from .profile_worker import LEASE_MS, LIMIT_S, new_store
from .report import table

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

KINDS = {"success": 1, "failure": 1, "retry": 2}
"""What is run, and how many attempts a message of the kind has."""
HOST = "failing@localhost"
_began: list[float] = []


def _begin() -> None:
    """A body begins: from the first one on the time counts."""
    if not _began:
        _began.append(time.process_time())


def make_app(url: str) -> App:
    """An app with a task of each kind."""
    app = App("failing", broker=url, set_as_current=False)

    def checked(value: int) -> int:
        return lookup({}, value)

    def lookup(known: dict[int, int], value: int) -> int:
        return known[value]

    @app.task(name="success")
    def success(value: int) -> int:
        _begin()
        return value

    @app.task(name="failure")
    def failure(value: int) -> int:
        _begin()
        return checked(value)

    @app.task(name="retry", bind=True, autoretry_for=(KeyError,), default_retry_delay=0)
    def retry(self: Any, value: int) -> int:
        _begin()
        return value if self.request.retries else checked(value)

    return app


def _work(url: str, session: str, count: int) -> None:
    """In a process of its own: run so many attempts, and print what each of them took."""
    options = WorkerOptions(hostname=HOST, max_tasks_per_child=count)
    run_child(make_app(url), options, session, Scoreboard(1), os.getppid())
    print((time.process_time() - _began[0]) / count * 1e6, flush=True)


def _server_us(url: str) -> float:
    """Microseconds of processor time that the server has taken: a script's own count waits, too."""
    if not url.startswith("redis"):
        return 0.0
    with redis.Redis.from_url(url) as client:
        return processes.server_seconds(client) * 1e6


def measure(store: str, kind: str, count: int) -> dict[str, float]:
    """Microseconds of each attempt: of the worker's child, and of the server."""
    attempts = count * KINDS[kind]
    with new_store(store) as url:
        app = make_app(url)
        for first in range(0, count, 10_000):
            part = range(first, min(first + 10_000, count))
            app.enqueue_many(app.tasks[kind].s(value) for value in part)
        session = ids.new_id()
        app.store.open_session(SessionInfo(id=session, worker=HOST, host="", pid=0), LEASE_MS)
        app.close()
        before = _server_us(url)
        command = [sys.executable, "-m", __spec__.name, "--work", url, session, "-n", str(attempts)]
        done = subprocess.run(
            command, check=True, timeout=LIMIT_S, stdout=subprocess.PIPE, env=os.environ
        )
        return {
            "worker": float(done.stdout),
            "server": (_server_us(url) - before) / attempts,
        }


def _measured(checkout: Path, count: int) -> dict[str, dict[str, float]]:
    """One round of a checkout's code, in a process that imports it."""
    words = (__spec__.name, "--measure", "-n", str(count))
    found: dict[str, dict[str, float]] = told_with(checkout, *words)
    return found


def _rows(rounds: Sequence[dict[str, dict[str, float]]]) -> dict[str, float]:
    """Medians, by row."""
    found = {}
    for store, whose in (("redis", "worker"), ("redis", "server"), ("sqlite", "worker")):
        for kind in KINDS:
            values = [some[f"{store} {kind}"][whose] for some in rounds]
            found[f"{store}, {whose}: {kind}"] = statistics.median(values)
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failures")
    parser.add_argument("-n", "--count", type=int, default=5_000, help="messages of each kind")
    parser.add_argument("--rounds", type=int, default=3, help="the table shows medians over them")
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.work:
        url, session = given.work
        _work(url, session, given.count)
        return 0
    if given.measure:
        kinds = [(store, kind) for store in ("redis", "sqlite") for kind in KINDS]
        found = {f"{store} {kind}": measure(store, kind, given.count) for store, kind in kinds}
        print(json.dumps(found))
        return 0
    checkouts = {"before": given.before.absolute()} if given.before else {}
    checkouts["now"] = ROOT
    rounds = [
        {name: _measured(checkout, given.count) for name, checkout in checkouts.items()}
        for _ in range(given.rounds)
    ]
    columns = [_rows([some[name] for some in rounds]) for name in checkouts]
    rows = []
    for what in columns[0]:
        row, success = [what], f"{what.partition(':')[0]}: success"
        for of in columns:
            row += f"{of[what]:.1f}", f"{of[what] / of[success]:.1f}"
        rows.append(row)
    head = [part for name in checkouts for part in (f"µs, {name}", "of a success")]
    print(table(["processor time of an attempt", *head], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
