"""The processes of a soak: kept alive as an init system would, killed, and deployed in turn."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.process.harness import ROOT, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.soak.plan import Fault

__all__ = ["PATIENCE_S", "ProcessManager", "Service"]

PATIENCE_S = 90.0
"""How long a process may take to end after TERM, on however busy a machine."""


@dataclass(eq=False)
class Service:
    """A program that is to be kept running, and its present process.

    Attributes:
        name: its own.
        command: the words after `python -m`, for a version of the program and a number of starts.
        version: of the program, at the next start.
        starts: how often it was started.
        told_at: since when it has been told to end, by the monotonic clock.
        hit: it was killed, so whatever code it exits with is right.
    """

    name: str
    command: Callable[[int, int], list[str]]
    version: int = 1
    starts: int = 0
    told_at: float | None = None
    hit: bool = False
    process: Worker | None = None

    @property
    def up(self) -> Worker:
        """Its process, dead or alive."""
        assert self.process is not None, f"{self.name} was never started"
        return self.process


@dataclass
class ProcessManager:
    """Keeps services alive, and stops, kills, freezes and deploys them.

    Attributes:
        folder: where they work, and log.
        env: their environment.
        say: tells the soak's timeline.
        complaints: what no service may do, and one did.
    """

    folder: Path
    env: Mapping[str, str]
    say: Callable[[str], None]
    workers: list[Service] = field(default_factory=list)
    beats: list[Service] = field(default_factory=list)
    producers: list[Service] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _deploying: list[Service] = field(default_factory=list)
    _frozen: dict[Fault, Callable[[int], None]] = field(default_factory=dict)

    @property
    def services(self) -> list[Service]:
        return [*self.workers, *self.beats, *self.producers]

    def start(self, service: Service) -> None:
        """Give its place to a new process."""
        service.starts += 1
        service.told_at, service.hit = None, False
        log = self.folder / f"{service.name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *service.command(service.version, service.starts)],
                cwd=self.folder,
                env={**os.environ, **self.env, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        service.process = Worker(process, service.name, log)

    def tick(self) -> None:
        """Restart services that have ended, and go on with a deploy."""
        for service in self.services:
            self._see_to(service)
        if self._deploying and all(m.told_at is None for m in self.workers):
            service = self._deploying.pop(0)
            self.tell(service)

    def _see_to(self, service: Service) -> None:
        if service.up.running:
            if service.told_at is not None and time.monotonic() > service.told_at + PATIENCE_S:
                self.complaints.append(f"{service.name} did not end in {PATIENCE_S:g} s after TERM")
                self.kill(service)
            return
        self._judge(service)
        self.start(service)
        self.say(f"{service.name} starts with version {service.version}, process {service.up.pid}")

    def _judge(self, service: Service) -> None:
        # TERM ends a process that is still importing its modules as it ends any other.
        code = service.up.process.returncode
        right = service.told_at is not None and code in {0, -signal.SIGTERM}
        if not service.hit and not right:
            asked = "after TERM" if service.told_at else "by itself"
            self.complaints.append(f"{service.name} ended {asked} with code {code}, see its log")

    def tell(self, service: Service) -> None:
        """TERM: finish what runs, and end."""
        self.say(f"TERM to {service.name}, process {service.up.pid}")
        service.told_at = time.monotonic()
        if service.up.running:
            service.up.signal(signal.SIGTERM)

    def kill(self, service: Service) -> None:
        """SIGKILL to all of it."""
        service.hit = True
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left
            service.up.signal_tree(signal.SIGKILL)

    # Faults ---------------------------------------------------------------------------------------

    def begin(self, fault: Fault) -> None:
        """Inject the fault."""
        service = self.workers[fault.dice % len(self.workers)]
        match fault.kind.split():
            case ["deploy"]:
                self.deploy()
            case ["kill", "beat"]:
                self._kill_one(self.beats[fault.dice % len(self.beats)], 0)
            case ["kill", "producer"]:
                self._kill_one(self.producers[0], 0)
            case ["kill", "tree"]:
                self.say(f"kill -9 of {service.name}, process {service.up.pid}, and its children")
                self.kill(service)
            case ["kill", _]:
                self._kill_one(service, self._victim(service, fault))
            case ["stop", "tree", *_]:
                self._stop(fault, f"{service.name} and its children", service.up.signal_tree)
            case _:
                self._stop_one(service, fault)

    def end(self, fault: Fault) -> None:
        """Let go on what was stopped."""
        signal_it = self._frozen.pop(fault, None)
        if signal_it is not None:
            with contextlib.suppress(ProcessLookupError):  # it was killed meanwhile
                signal_it(signal.SIGCONT)

    def deploy(self, version: int | None = None) -> None:
        """Roll out a version, by default the one that the first worker has not."""
        version = version or 3 - self.workers[0].version
        self.say(f"a deploy of version {version} begins")
        for service in self.workers:
            service.version = version
        self._deploying = list(self.workers)

    @property
    def deploying(self) -> bool:
        """Whether a worker still has to be replaced."""
        return bool(self._deploying) or any(m.told_at is not None for m in self.workers)

    def _victim(self, service: Service, fault: Fault) -> int:
        """The supervisor's process, or a child's."""
        children = sorted(service.up.children)
        if fault.kind.endswith("child") and children:
            return children[fault.dice % len(children)]
        return service.up.pid

    def _kill_one(self, service: Service, pid: int) -> None:
        pid = pid or service.up.pid
        self.say(f"kill -9 of {service.name}, process {pid}")
        service.hit = service.hit or pid == service.up.pid
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(pid, signal.SIGKILL)

    def _stop_one(self, service: Service, fault: Fault) -> None:
        pid = self._victim(service, fault)
        self._stop(fault, f"{service.name}, process {pid}", lambda number: os.kill(pid, number))

    def _stop(self, fault: Fault, whom: str, signal_it: Callable[[int], None]) -> None:
        self.say(f"STOP to {whom} for {fault.seconds:.1f} s")
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            signal_it(signal.SIGSTOP)
            self._frozen[fault] = signal_it

    # The end --------------------------------------------------------------------------------------

    def dismiss(self, services: list[Service]) -> None:
        """Let them end for good, each in its own time, but not without bound."""
        for service in services:
            self.tell(service)
        for service in services:
            try:
                service.up.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.complaints.append(f"{service.name} did not end in {PATIENCE_S:g} s after TERM")
                service.hit = True
            else:
                self._judge(service)
            service.up.kill_tree()
        for group in (self.workers, self.beats, self.producers):
            group[:] = [m for m in group if m not in services]

    def close(self) -> None:
        """End every process that is left."""
        for service in self.services:
            if service.process is not None:
                service.process.kill_tree()
