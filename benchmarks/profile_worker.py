"""Where a worker's time goes: `python -m benchmarks.profile_worker [--store sqlite] [--svg FILE]`.

A child runs messages while py-spy looks at its threads from outside, many times a second: the one
that runs bodies, and the consumer's, which talks to the store. A thread counts while it holds the
interpreter's lock: what is spent in the kernel is in the sum only. Prints a table for each thread,
and draws a flame graph on request. py-spy gets an environment of its own, as the peers have.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from reliable_tasks import App
from reliable_tasks.core import ids
from reliable_tasks.store.values import SessionInfo
from reliable_tasks.worker.child import run_child
from reliable_tasks.worker.options import WorkerOptions
from reliable_tasks.worker.scoreboard import Scoreboard
from tests.redis_server import RedisServer

from . import environments
from .arena import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Thread", "main", "profile", "read", "table"]

LEASE_MS = 600_000
LIMIT_S = 300.0
PER_SECOND = 200
ENTRIES = {"the bodies": "PreforkPool.run (", "the consumer": "Exchanger._pump ("}
"""The threads of a child, and the function that each never leaves."""
_PLACE = re.compile(r" \((?:.*/(?:site-packages|lib/python[0-9.]+)/)?(.*?)(?::\d+)?\)$")


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


def _work(url: str, session: str, count: int) -> None:
    """In a process of its own: run so many messages."""
    options = WorkerOptions(hostname="profiled@localhost", max_tasks_per_child=count)
    run_child(make_app(url), options, session, Scoreboard(1), os.getppid())


def profile(kind: str, count: int, watch: Sequence[str] = ()) -> float:
    """Run so many messages in one child; returns the seconds of processor time that it took.

    Args:
        kind: "redis" or "sqlite".
        count: how many messages.
        watch: a command that the child's command is added to.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with new_store(kind) as url:
        app = make_app(url)
        for first in range(0, count, 10_000):
            part = range(first, min(first + 10_000, count))
            app.enqueue_many(app.tasks["noop"].s(value) for value in part)
        session = ids.new_id()
        info = SessionInfo(id=session, worker="profiled@localhost", host="", pid=0)
        app.store.open_session(info, LEASE_MS)
        app.close()
        child = [sys.executable, "-m", __spec__.name, "--work", url, session, "-n", str(count)]
        before = _children_s()
        subprocess.run([*watch, *child], cwd=ROOT, check=True, timeout=LIMIT_S, stdout=sys.stderr)
        return _children_s() - before


def _spy(venvs: Path, form: str, out: Path) -> list[str]:
    environments.make(venvs, environments.PROFILING)
    py_spy = environments.python_of(venvs, environments.PROFILING).with_name("py-spy")
    return [
        *(str(py_spy), "record", "--threads", "--gil", "--rate", str(PER_SECOND)),
        *("--format", form, "--output", str(out), "--"),
    ]


@dataclass(slots=True)
class Thread:
    """How often a thread was seen, and in which functions: by themselves, and with their calls."""

    looks: int = 0
    alone: Counter[str] = field(default_factory=Counter)
    within: Counter[str] = field(default_factory=Counter)


def read(lines: Iterable[str]) -> dict[str, Thread]:
    """The threads of a child, from py-spy's raw format: frames with semicolons, and a number."""
    threads = {name: Thread() for name in ENTRIES}
    for line in lines:
        stack, _, number = line.rpartition(" ")
        frames = stack.split(";")
        for name, entry in ENTRIES.items():
            outermost = next((i for i, f in enumerate(frames) if f.startswith(entry)), None)
            if outermost is None:
                continue
            thread, looks = threads[name], int(number)
            shown = [_PLACE.sub(r" (\1)", frame) for frame in frames[outermost:]]
            thread.looks += looks
            thread.alone[shown[-1]] += looks
            thread.within.update(dict.fromkeys(shown, looks))
    return threads


def table(thread: Thread, rows: int) -> str:
    """As Markdown: the functions that take most by themselves."""
    lines = ["| function | alone | with its calls |", "| --- | ---: | ---: |"]
    for function, looks in thread.alone.most_common(rows):
        alone, within = looks / thread.looks, thread.within[function] / thread.looks
        lines.append(f"| `{function}` | {alone:.1%} | {within:.1%} |")
    return "\n".join(lines)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_worker")
    add = parser.add_argument
    add("--store", choices=("redis", "sqlite"), default="redis")
    add("-n", "--count", type=int, default=100_000, help="messages")
    add("--rows", type=int, default=15, help="functions for each thread")
    add("--svg", type=Path, help="draw a flame graph there, too")
    add("--venvs", type=Path, default=environments.DEFAULT_FOLDER, help="where py-spy goes")
    add("--work", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        url, session = given.work
        _work(url, session, given.count)
        return
    few = given.count // 10
    took = profile(given.store, given.count) - profile(given.store, few)  # without the start
    with tempfile.TemporaryDirectory(prefix="rt-profile-") as folder:
        raw = Path(folder) / "raw"
        profile(given.store, given.count, _spy(given.venvs, "raw", raw))
        threads = read(raw.read_text(encoding="utf-8").splitlines())
    print(f"{took / (given.count - few) * 1e6:.1f} µs of processor time for each message\n")
    looks = sum(thread.looks for thread in threads.values())
    for name, thread in threads.items():
        print(f"In the thread of {name}, {thread.looks / looks:.0%} of it:\n")
        print(table(thread, given.rows) + "\n")
    if given.svg:
        profile(given.store, given.count, _spy(given.venvs, "flamegraph", given.svg.absolute()))


if __name__ == "__main__":
    main()
