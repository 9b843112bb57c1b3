"""One system under faults: its workers, kept as a process manager keeps them, and its trail."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import processes
from benchmarks.arena import BenchmarkError, end_group
from tests.process.harness import sqlite_writable, wait_stopped

from .judge import Fault, interrupted
from .trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from benchmarks.arena import Arena

__all__ = ["Harness", "Worker"]

_POLL_S = 0.005
_RESTART_S = 1.0
_PROCESSES = 2
_FREEZES = 200


class Worker:
    """A worker and all its processes, started again a second after it has ended by itself."""

    def __init__(self, arena: Arena, command: list[str]) -> None:
        self._arena = arena
        self._command = command
        self._again_at = 0.0
        self.started = time.monotonic_ns()
        self.restarts = 0
        self.process = arena.spawn_worker(command)

    @property
    def pids(self) -> frozenset[int]:
        """Its processes, as of now."""
        return frozenset(processes.tree(self.process.pid))

    def start(self) -> None:
        """Start it again."""
        self._again_at = 0.0
        self.started = time.monotonic_ns()
        self.process = self._arena.spawn_worker(self._command)

    def watch(self) -> None:
        """Do what a process manager does."""
        if self.process.poll() is None:
            return
        if not self._again_at:
            self._again_at = time.monotonic() + _RESTART_S
        elif time.monotonic() >= self._again_at:
            self.restarts += 1
            self.start()

    def kill(self) -> Fault:
        """End all its processes with SIGKILL, at one moment."""
        pids = self.pids
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid in pids:  # those that have left the group
            _signal(pid, signal.SIGKILL)
        at = time.monotonic_ns()
        self.process.wait()
        while any(_alive(pid) for pid in pids):
            time.sleep(_POLL_S)
        return Fault("kill", at, time.monotonic_ns(), pids)

    def stop(self) -> frozenset[int]:
        """Stop all its processes with SIGSTOP; returns which they are."""
        pids = self.pids
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        wait_stopped(pids)
        return pids

    def go_on(self) -> None:
        """Continue them."""
        for pid in self.pids:
            _signal(pid, signal.SIGCONT)

    def end(self) -> None:
        """Ask it to end, and make sure of it."""
        self.go_on()
        end_group(self.process)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended meanwhile


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:  # it has ended meanwhile
        return False


class Harness:
    """A system in its arena while things are done to it.

    Args:
        arena: the system's.
        seed: of the moments at which things are done.
        turn: held while they are done.
    """

    def __init__(
        self, arena: Arena, seed: int, turn: contextlib.AbstractContextManager[Any]
    ) -> None:
        self.arena = arena
        self.turn = turn
        self.random = random.Random(seed)
        self.trail = Trail(arena.marks)
        self.workers: list[Worker] = []
        self.faults: list[Fault] = []
        self.acknowledged: list[int] = []
        self._command = arena.control.ask(
            "worker", processes=_PROCESSES, level="WARNING", logfile=""
        )

    def send(self, count: int, milliseconds: int) -> list[int]:
        """Enqueue naps; returns their numbers."""
        first = len(self.acknowledged)
        numbers = list(range(first, first + count))
        self.arena.control.ask("send_naps", numbers=numbers, milliseconds=milliseconds)
        self.acknowledged += numbers
        return numbers

    def renew_control(self) -> None:
        """Go on with another producer, which knows nothing of what happened to the server."""
        self.arena.control = self.arena.another_control()

    def start(self) -> Worker:
        """One more worker."""
        worker = Worker(self.arena, self._command)
        self.workers.append(worker)
        return worker

    def until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Let things run until something holds, or for so long; returns whether it holds."""
        deadline = time.monotonic() + seconds
        while not (held := ready()) and time.monotonic() < deadline:
            for worker in self.workers:
                worker.watch()
            time.sleep(_POLL_S)
        return held

    def pass_time(self, seconds: float) -> None:
        """Let things run for so long."""
        self.until(lambda: False, seconds)

    def trickle(self, seconds: float, milliseconds: int) -> None:
        """Let things run for so long, and enqueue a message a second that sleeps for so long.

        Some peers look for what a dead worker has left only when they have something else to do.
        """
        deadline = time.monotonic() + seconds
        while deadline - time.monotonic() >= 1.0:
            self.send(1, milliseconds)
            self.pass_time(1.0)
        self.pass_time(deadline - time.monotonic())

    def until_begun(self, count: int, since: int, seconds: float) -> bool:
        """Until so many messages have begun, at least one of them since an instant."""

        def ready() -> bool:
            attempts = self.trail.attempts()
            begun = len({a.number for a in attempts})
            return begun >= count and any(a.began > since for a in attempts)

        return self.until(ready, seconds)

    def ended(self, numbers: Collection[int]) -> bool:
        """Whether these messages have run to their ends."""
        return {a.number for a in self.trail.attempts() if a.ended is not None}.issuperset(numbers)

    def until_ended(self, seconds: float) -> bool:
        """Let things run until every message has ended, or for so long."""
        return self.until(lambda: self.ended(self.acknowledged), seconds)

    def taken_over(self, stop: Fault) -> bool:
        """Whether others have run to its end what a worker was running when it was stopped."""
        attempts = self.trail.attempts()
        done = {a.number for a in attempts if a.ended is not None and a.pid not in stop.pids}
        return done.issuperset(a.number for a in interrupted(attempts, stop))

    def freeze(self, worker: Worker) -> Fault:
        """Stop a worker, at a moment when none of its processes holds the lock of SQLite."""
        for _ in range(_FREEZES):
            pids = worker.stop()
            at = time.monotonic_ns()
            if self.arena.database is None or sqlite_writable(str(self.arena.database)):
                return Fault("stop", at, at, pids)
            worker.go_on()
            self.pass_time(self.random.uniform(0.001, 0.01))
        raise BenchmarkError("the worker held the lock of the database whenever it was stopped")

    def retire(self, worker: Worker) -> None:
        """End one worker."""
        self.workers.remove(worker)
        worker.end()

    def close(self) -> None:
        """End the workers."""
        for worker in list(self.workers):
            self.retire(worker)
