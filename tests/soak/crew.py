"""The processes of a soak: kept alive as an init system would, hit, and deployed one by one."""

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

    from tests.soak.plan import Blow

__all__ = ["PATIENCE_S", "Crew", "Member"]

PATIENCE_S = 90.0
"""How long a process may take to end after TERM, on however busy a machine."""


@dataclass(eq=False)
class Member:
    """A place in the crew, and the process that has it now.

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
class Crew:
    """All the members.

    Attributes:
        folder: where they work, and log.
        env: their environment.
        say: tells the soak's timeline.
        complaints: what no member may do, and one did.
    """

    folder: Path
    env: Mapping[str, str]
    say: Callable[[str], None]
    workers: list[Member] = field(default_factory=list)
    beats: list[Member] = field(default_factory=list)
    producers: list[Member] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _deploying: list[Member] = field(default_factory=list)
    _frozen: dict[Blow, Callable[[int], None]] = field(default_factory=dict)

    @property
    def members(self) -> list[Member]:
        return [*self.workers, *self.beats, *self.producers]

    def start(self, member: Member) -> None:
        """Give its place to a new process."""
        member.starts += 1
        member.told_at, member.hit = None, False
        log = self.folder / f"{member.name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *member.command(member.version, member.starts)],
                cwd=self.folder,
                env={**os.environ, **self.env, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        member.process = Worker(process, member.name, log)

    def tick(self) -> None:
        """Replace who has ended, and go on with a deploy."""
        for member in self.members:
            self._see_to(member)
        if self._deploying and all(m.told_at is None for m in self.workers):
            member = self._deploying.pop(0)
            self.tell(member)

    def _see_to(self, member: Member) -> None:
        if member.up.running:
            if member.told_at is not None and time.monotonic() > member.told_at + PATIENCE_S:
                self.complaints.append(f"{member.name} did not end in {PATIENCE_S:g} s after TERM")
                self.kill(member)
            return
        self._judge(member)
        self.start(member)
        self.say(f"{member.name} starts with version {member.version}, process {member.up.pid}")

    def _judge(self, member: Member) -> None:
        # TERM ends a process that is still importing its modules as it ends any other.
        code = member.up.process.returncode
        right = member.told_at is not None and code in {0, -signal.SIGTERM}
        if not member.hit and not right:
            asked = "after TERM" if member.told_at else "by itself"
            self.complaints.append(f"{member.name} ended {asked} with code {code}, see its log")

    def tell(self, member: Member) -> None:
        """TERM: finish what runs, and end."""
        self.say(f"TERM to {member.name}, process {member.up.pid}")
        member.told_at = time.monotonic()
        if member.up.running:
            member.up.signal(signal.SIGTERM)

    def kill(self, member: Member) -> None:
        """SIGKILL to all of it."""
        member.hit = True
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left
            member.up.signal_tree(signal.SIGKILL)

    # Blows ----------------------------------------------------------------------------------------

    def begin(self, blow: Blow) -> None:
        """Strike."""
        member = self.workers[blow.dice % len(self.workers)]
        match blow.kind.split():
            case ["deploy"]:
                self.deploy()
            case ["kill", "beat"]:
                self._kill_one(self.beats[blow.dice % len(self.beats)], 0)
            case ["kill", "producer"]:
                self._kill_one(self.producers[0], 0)
            case ["kill", "tree"]:
                self.say(f"kill -9 of {member.name}, process {member.up.pid}, and its children")
                self.kill(member)
            case ["kill", _]:
                self._kill_one(member, self._victim(member, blow))
            case ["stop", "tree", *_]:
                self._stop(blow, f"{member.name} and its children", member.up.signal_tree)
            case _:
                self._stop_one(member, blow)

    def end(self, blow: Blow) -> None:
        """Let go on what was stopped."""
        signal_it = self._frozen.pop(blow, None)
        if signal_it is not None:
            with contextlib.suppress(ProcessLookupError):  # it was killed meanwhile
                signal_it(signal.SIGCONT)

    def deploy(self, version: int | None = None) -> None:
        """Roll out a version, by default the one that the first worker has not."""
        version = version or 3 - self.workers[0].version
        self.say(f"a deploy of version {version} begins")
        for member in self.workers:
            member.version = version
        self._deploying = list(self.workers)

    @property
    def deploying(self) -> bool:
        """Whether a worker still has to be replaced."""
        return bool(self._deploying) or any(m.told_at is not None for m in self.workers)

    def _victim(self, member: Member, blow: Blow) -> int:
        """The supervisor's process, or a child's."""
        children = sorted(member.up.children)
        if blow.kind.endswith("child") and children:
            return children[blow.dice % len(children)]
        return member.up.pid

    def _kill_one(self, member: Member, pid: int) -> None:
        pid = pid or member.up.pid
        self.say(f"kill -9 of {member.name}, process {pid}")
        member.hit = member.hit or pid == member.up.pid
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(pid, signal.SIGKILL)

    def _stop_one(self, member: Member, blow: Blow) -> None:
        pid = self._victim(member, blow)
        self._stop(blow, f"{member.name}, process {pid}", lambda number: os.kill(pid, number))

    def _stop(self, blow: Blow, whom: str, signal_it: Callable[[int], None]) -> None:
        self.say(f"STOP to {whom} for {blow.seconds:.1f} s")
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            signal_it(signal.SIGSTOP)
            self._frozen[blow] = signal_it

    # The end --------------------------------------------------------------------------------------

    def dismiss(self, members: list[Member]) -> None:
        """Let them end for good, each in its own time, but not without bound."""
        for member in members:
            self.tell(member)
        for member in members:
            try:
                member.up.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.complaints.append(f"{member.name} did not end in {PATIENCE_S:g} s after TERM")
                member.hit = True
            else:
                self._judge(member)
            member.up.kill_tree()
        for group in (self.workers, self.beats, self.producers):
            group[:] = [m for m in group if m not in members]

    def close(self) -> None:
        """End every process that is left."""
        for member in self.members:
            if member.process is not None:
                member.process.kill_tree()
