"""`python -m benchmarks.idle_fleet`: what idle workers cost the server, and each of them its host.

A fleet is made of real supervisors and consumers, many in a process (`idle_members`); beside it run
a few real workers, whose processes are measured as a whole. All numbers are of processor time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reliable_tasks.worker.host import host_identity
from tests.redis_server import RedisServer

from .arena import ROOT
from .processes import server_seconds, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["IdleFleet", "growth", "measure"]

SIZES = (10, 100, 1_000)
_MEMBERS = str(ROOT / "benchmarks" / "idle_members.py")
_PROCESSES, _LEAST_IN_ONE = 4, 50
_TASKS = "from reliable_tasks import App\napp = App('idle')\n\n@app.task\ndef f():\n    pass\n"


@dataclass(frozen=True, slots=True)
class IdleFleet:
    """What a fleet of idle workers used, by the second.

    Attributes:
        workers: how many there were.
        server: share of one core that the server used; 0.0 on SQLite, which has none.
        calls: commands and scripts that the server ran a second, for each worker.
        supervisor: share of one core of one supervisor on paper.
        child: the same of one child's consumer.
        real: the same of a real worker: its supervisor, its child and their interpreters.
        commands: of the server, by name: calls a second, and microseconds of each.
    """

    workers: int
    server: float
    calls: float
    supervisor: float
    child: float
    real: float
    commands: Mapping[str, tuple[float, float]]

    @property
    def own(self) -> float:
        """Share of one core that one worker on paper used."""
        return self.supervisor + self.child


def measure(
    store: str,
    workers: int,
    *,
    together: bool = False,
    seconds: float = 15.0,
    checkout: Path = ROOT,
    real: int = 2,
) -> IdleFleet:
    """Let a fleet idle for a while.

    Args:
        store: "redis" or "sqlite".
        workers: how many, the real ones among them.
        together: whether all are on one host; else each has one of its own.
        seconds: for how long to measure.
        checkout: of this project, whose code is to run.
        real: how many of them are real workers.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="rt-idle-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = stack.enter_context(RedisServer()) if store == "redis" else None
        url = server.url if server else f"sqlite:///{folder / 'idle.db'}"
        fleet = stack.enter_context(_running(url, workers, real, together, checkout, folder))
        client = server.client() if server else None
        time.sleep(6.0)  # each child has blocked once, each session was renewed
        before = _look(fleet, client)
        time.sleep(seconds)
        after = _look(fleet, client)
    return _difference(before, after, workers, real)


def growth(store: str, sizes: tuple[int, ...] = SIZES, **options: Any) -> dict[int, IdleFleet]:
    """Fleets of several sizes; `options` are those of `measure`."""
    return {size: measure(store, size, **options) for size in sizes}


# How it is done -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fleet:
    on_paper: list[subprocess.Popen[str]]
    real: list[subprocess.Popen[bytes]]


@contextlib.contextmanager
def _running(
    url: str, workers: int, real: int, together: bool, checkout: Path, folder: Path
) -> Iterator[_Fleet]:
    env = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    (folder / "idle_tasks.py").write_text(_TASKS)
    on_paper, real_ones = [], []
    left, first = workers - real, 0
    each = max(_LEAST_IN_ONE, -(-left // _PROCESSES))
    host = host_identity() if together else ""
    log = (folder / "log").open("ab")
    try:
        while left > 0:
            number = min(each, left)
            given = {"url": url, "first": first, "workers": number, "host": host, "spread_s": 5.0}
            command = [sys.executable, _MEMBERS, json.dumps(given)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                command, env=env, cwd=folder, text=True, stdin=pipe, stdout=pipe, stderr=log
            )
            on_paper.append(process)
            left, first = left - number, first + number
        for number in range(real):
            of_worker = ["-c", "1", "-l", "WARNING", "-n", f"real{number}@%h"]
            words = ["-A", "idle_tasks", "-b", url, "worker", *of_worker]
            command = [sys.executable, "-m", "reliable_tasks", *words]
            real_ones.append(
                subprocess.Popen(
                    command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )
        for process in on_paper:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "members of a fleet have ended"
        yield _Fleet(on_paper, real_ones)
    finally:
        for worker in real_ones:
            worker.terminate()
        for process in on_paper:
            process.communicate()
        for worker in real_ones:
            worker.wait(60)
        log.close()


def _look(fleet: _Fleet, client: Any) -> dict[str, Any]:
    """What everything has used so far."""
    seen: dict[str, Any] = {"at": time.monotonic(), "supervisors": 0.0, "children": 0.0}
    if client is not None:
        seen["server"] = server_seconds(client)
        seen["commands"] = client.info("commandstats")
    for process in fleet.on_paper:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        for name, used_s in json.loads(process.stdout.readline()).items():
            seen[name] += used_s
    seen["real"] = sum(_used_s(pid) for worker in fleet.real for pid in tree(worker.pid))
    return seen


def _used_s(pid: int) -> float:
    """Processor time of all threads of a process, to the microsecond."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _difference(
    before: dict[str, Any], after: dict[str, Any], workers: int, real: int
) -> IdleFleet:
    span_s = after["at"] - before["at"]
    on_paper = max(1, workers - real)
    commands, calls = {}, 0.0
    for name, stats in after.get("commands", {}).items():
        earlier = before["commands"].get(name, {"calls": 0, "usec": 0})
        number = stats["calls"] - earlier["calls"]
        if number > 0 and name != "cmdstat_info":
            spent_us = stats["usec"] - earlier["usec"]
            commands[name.removeprefix("cmdstat_")] = (number / span_s, spent_us / number)
    for name, (rate, _) in commands.items():
        if name in {"evalsha", "eval", "xreadgroup"}:
            calls += rate

    def share(name: str, of: int) -> float:
        return (after[name] - before[name]) / span_s / of if name in after else 0.0

    return IdleFleet(
        workers=workers,
        server=share("server", 1),
        calls=calls / workers,
        supervisor=share("supervisors", on_paper),
        child=share("children", on_paper),
        real=share("real", max(1, real)),
        commands=commands,
    )


def _row(what: str, fleet: IdleFleet, first: IdleFleet) -> str:
    of_server, of_own = (
        f"{now / then:.1f}x" if then else "-"
        for now, then in ((fleet.server, first.server), (fleet.own, first.own))
    )
    return (
        f"| {what} | {fleet.workers:,} | {fleet.server:.2%} | {of_server} | {fleet.calls:.2f} "
        f"| {fleet.supervisor:.3%} | {fleet.child:.3%} | {of_own} | {fleet.real:.3%} |"
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle_fleet", description=__doc__)
    add = parser.add_argument
    add("--stores", default="redis,sqlite")
    add("--sizes", default=",".join(map(str, SIZES)))
    add("--seconds", type=float, default=15.0)
    add("--before", type=Path, help="another checkout of this project, measured in turns")
    add("--hosts", default="apart,together", help="apart: each has its own; together: one for all")
    add("--commands", action="store_true", help="what the server ran, as JSON")
    given = parser.parse_args(argv)
    checkouts = {"now": ROOT} | ({"before": given.before.absolute()} if given.before else {})
    sizes = tuple(int(size) for size in given.sizes.split(","))
    print(
        "| fleet | workers | server | growth | calls/s each | supervisor | child | growth | real |"
    )
    print("| --- " * 9 + "|")
    for store in given.stores.split(","):
        for hosts in given.hosts.split(","):
            first: dict[str, IdleFleet] = {}
            for size in sizes:
                for name, checkout in checkouts.items():
                    fleet = measure(
                        store,
                        size,
                        together=hosts == "together",
                        seconds=given.seconds,
                        checkout=checkout,
                    )
                    what = f"{store}, hosts {hosts}, {name}"
                    print(_row(what, fleet, first.setdefault(name, fleet)), flush=True)
                    if given.commands:
                        print(json.dumps(asdict(fleet)["commands"]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
