"""One soak: processes, a store and the plan of a seed; then the faults stop, and all is checked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reliable_tasks.audit.verify import Violation
from reliable_tasks.core.message import FINAL_STATES
from tests.process.harness import ROOT
from tests.soak.account import read, save
from tests.soak.checks import violations
from tests.soak.plan import LEASE_S, PROCESS, make_plan
from tests.soak.processes import ProcessManager, Service
from tests.soak.report import Event, report_of
from tests.soak.stores import RedisHarness, SqliteHarness
from tests.soak.tasks import SCHEDULE, make_app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reliable_tasks import App
    from tests.soak.account import Account
    from tests.soak.plan import Fault
    from tests.soak.stores import StoreHarness

__all__ = ["Outcome", "Soak"]

RATE = 12.0
"""Calls a second."""
WORKERS = 3
CALM_S = 240.0
"""How long it may take, after the last fault, until nothing is left to do: a bound, not a goal."""
TURN_S = 0.05

SETTINGS = {
    "audit": "all",
    "session_lease": LEASE_S,
    "store_busy_timeout": 2.0,
    "unknown_task_delay": 0.3,
    "unknown_task_limit": 100_000,
    "worker_shutdown_timeout": 10.0,
}


@dataclass(frozen=True)
class Outcome:
    """What came of a soak.

    Attributes:
        found: what was broken; empty if all is well.
        account: what was checked.
        faults: how many there were.
        calm_s: how long it took, after the last fault, until all messages had ended.
        report: the timelines, where something was broken.
    """

    found: list[Violation]
    account: Account
    faults: int
    calm_s: float
    report: str = ""


@dataclass
class Soak:
    """A soak in a folder of its own.

    Args:
        folder: an empty one.
        store: "sqlite" or "redis".
        seed: what the plan follows from.
        seconds: how long there are faults.
    """

    folder: Path
    store: str
    seed: int
    seconds: float
    events: list[Event] = field(default_factory=list)
    found: list[Violation] = field(default_factory=list)

    def run(self) -> Outcome:
        """From the start to the verdict."""
        with contextlib.ExitStack() as stack:
            manager = ProcessManager(self.folder, {}, self.say)
            harness: StoreHarness = (
                SqliteHarness(self.folder, lambda: _pids(manager))
                if self.store == "sqlite"
                else RedisHarness(self.folder)
            )
            stack.callback(harness.close)
            stack.callback(manager.close)
            self._start_all(manager, harness)
            faults = self._inject(manager, harness)
            with contextlib.closing(make_app(harness.own_url, version=2)) as app:
                calm_s = self._come_to_rest(app, manager)
                account = read(app.store, self.folder)
            self._verify("at rest", harness.own_url)
        save(account, self.folder)
        self.found += [Violation("processes", "", text) for text in manager.complaints]
        self.found += violations(account)
        report = report_of(self.found, account, self.events) if self.found else ""
        if report:
            (self.folder / "report.txt").write_text(report, encoding="utf-8")
        return Outcome(self.found, account, faults, calm_s, report)

    def say(self, text: str) -> None:
        """Add to the timeline, in memory and on the disk."""
        event = Event(round(time.time() * 1000), text)
        self.events.append(event)
        with (self.folder / "faults.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps([event.at_ms, text]) + "\n")

    # With faults ----------------------------------------------------------------------------------

    def _start_all(self, manager: ProcessManager, harness: StoreHarness) -> None:
        manager.env = _environment(self.folder, harness.url)
        for number in range(WORKERS):
            name, more = f"w{number}@soak", ["-B"] * (number == 0)
            worker = _program("worker", "-c", "2", "-n", name, *more)
            manager.workers.append(
                Service(name, worker)
            )  # of version 1: what is new is unknown to all
        manager.beats.append(Service("beat", _program("beat")))
        notes = str(self.folder / "notes.jsonl")

        def produce(_version: int, starts: int) -> list[str]:
            return ["tests.soak.load", str(self.seed), str(starts), str(RATE), notes]

        manager.producers.append(Service("producer", produce))
        for service in manager.services:
            manager.start(service)

    def _inject(self, manager: ProcessManager, harness: StoreHarness) -> int:
        """Carry out the plan; returns how many faults it had."""
        plan = make_plan(self.seed, self.seconds, self.store)
        coming, lasting = list(plan), list[tuple[float, "Fault"]]()
        began, turn = time.monotonic(), threading.Event()
        while coming or lasting or time.monotonic() < began + self.seconds:
            now_s = time.monotonic() - began
            for end_s, fault in [item for item in lasting if item[0] <= now_s]:
                lasting.remove((end_s, fault))
                self.say(f"over: {fault.kind}")
                (manager if fault.kind in PROCESS else harness).end(fault)
            while coming and coming[0].at_s <= now_s:
                fault = coming.pop(0)
                if fault.kind not in PROCESS:
                    self.say(str(fault))
                (manager if fault.kind in PROCESS else harness).begin(fault)
                lasting.append((now_s + fault.seconds, fault))
            manager.tick()
            turn.wait(TURN_S)
        return len(plan)

    # Without --------------------------------------------------------------------------------------

    def _come_to_rest(self, app: App, manager: ProcessManager) -> float:
        """Let everything end that can; returns how long it took."""
        self.say("the faults have stopped")
        began = time.monotonic()
        manager.deploy(version=2)
        self._until(manager, "everybody has version 2", lambda: not manager.deploying)
        self._verify("at work", app.conf.broker_url)
        manager.dismiss(manager.producers)
        for name in SCHEDULE:
            app.schedules.pause(name)
        self._until(manager, "every message has ended", lambda: _live(app) == 0)
        calm_s = time.monotonic() - began
        manager.dismiss(manager.beats)
        manager.dismiss(manager.workers)
        self.say("all have gone")
        return calm_s

    def _until(self, manager: ProcessManager, what: str, done: Callable[[], bool]) -> None:
        deadline, turn = time.monotonic() + CALM_S, threading.Event()
        while not done():
            if time.monotonic() > deadline:
                self.found.append(Violation("drain", "", f"not within {CALM_S:g} s: {what}"))
                return
            manager.tick()
            turn.wait(TURN_S)
        self.say(what)

    def _verify(self, when: str, url: str) -> None:
        """Ask the command that users have."""
        done = subprocess.run(
            [sys.executable, "-m", "reliable_tasks", "-A", "tests.soak.v2", "verify"],
            env=_environment(self.folder, url),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        (self.folder / f"verify {when}.txt").write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            text = f"reliable-tasks verify, {when}, exits with {done.returncode}:\n{done.stdout}"
            self.found.append(Violation("verify", "", text + done.stderr))


def _environment(folder: Path, url: str) -> dict[str, str]:
    return {
        **os.environ,
        **{f"RELIABLE_TASKS_{name.upper()}": str(value) for name, value in SETTINGS.items()},
        "STORE_URL": url,
        "EFFECTS": str(folder / "effects.jsonl"),
        "PYTHONPATH": str(ROOT),
    }


def _program(command: str, *options: str) -> Callable[[int, int], list[str]]:
    """The words that start a part of the program, of some version."""

    def words(version: int, _starts: int) -> list[str]:
        app = f"tests.soak.v{version}"
        return ["reliable_tasks", "-A", app, command, "-l", "INFO", *options]

    return words


def _pids(manager: ProcessManager) -> list[int]:
    return [pid for m in manager.services for pid in (m.up.pid, *m.up.children)]


def _live(app: App) -> int:
    final = {str(state) for state in FINAL_STATES}
    states = app.store.counts().states
    return sum(number for state, number in states.items() if state not in final)
