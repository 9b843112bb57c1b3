"""What `demo` does, without its output: plan, enqueue, run a worker and kill in it, check."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from reliable_tasks.core import clock
from reliable_tasks.core.message import State
from reliable_tasks.errors import ReliableTasksError
from reliable_tasks.store.values import AuditEvent, AuditQuery, every_of

from ._demo_tasks import MARKS, checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from reliable_tasks.app import App
    from reliable_tasks.store.protocol import ReadStore

__all__ = ["Accounts", "Asked", "Plan", "Ran", "Worker", "check", "enqueue", "make_plan", "run"]

PROCESSES = 2
_CALLS_PER_FILE = 3
_BODY_SECONDS = 8.0  # of all attempts together, so that there is something to see
_LONGEST_PACE_S = 0.1
_STUMBLE_TWICE, _STUMBLE_ONCE = 16, 48  # of 256: one file in 16 fails twice, two more fail once
_MOST_KILLS = 20  # a kill that hits a process between two bodies does not count
_PATIENCE_S = 60.0  # without any message committed
_GRACE_S = 10.0
_POLL_S = 0.02


class DemoFailed(ReliableTasksError):
    """The demo could not be carried out."""


# Plan and enqueue ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """Which files, how many attempts of each are to fail, and how long an attempt takes at least.

    Attributes:
        stumbles: by path; the first file always has some.
    """

    stumbles: dict[str, int]
    pace_s: float


def make_plan(folder: Path, limit: int) -> Plan:
    """Choose files of a folder tree, and from their paths alone which are to fail at first.

    Raises:
        DemoFailed: there are none.
    """
    paths = list(islice(_files(folder), limit))
    if not paths:
        raise DemoFailed(f"there is no readable file in {folder}; name another with --folder")
    stumbles = {path: _stumbles(path) for path in paths}
    stumbles[paths[0]] = 2
    return Plan(stumbles, min(_LONGEST_PACE_S, _BODY_SECONDS / len(paths)))


def _files(folder: Path) -> Iterator[str]:
    # Compiled files are left out: the interpreter may write them while the demo runs.
    for where, folders, names in os.walk(folder.resolve()):
        folders[:] = sorted(f for f in folders if f not in {"__pycache__", "site-packages"})
        for name in sorted(names):
            path = Path(where, name)
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                yield str(path)


def _stumbles(path: str) -> int:
    lot = hashlib.sha256(path.encode(errors="surrogateescape")).digest()[0]
    return 2 if lot < _STUMBLE_TWICE else 1 if lot < _STUMBLE_ONCE else 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What was enqueued: the message of each file, all calls, and those that were duplicates."""

    ids: dict[str, str]
    calls: int
    duplicates: int


def enqueue(app: App, plan: Plan) -> Asked:
    """Enqueue each file several times: the calls after the first find its once-key held."""
    calls = [
        checksum.s(path, stumbles, pace_s=plan.pace_s)
        for _ in range(_CALLS_PER_FILE)
        for path, stumbles in plan.stumbles.items()
    ]
    results = app.enqueue_many(calls)
    found = dict(zip(plan.stumbles, (str(result.id) for result in results), strict=False))
    return Asked(found, len(calls), sum(result.duplicate for result in results))


# Run ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Ran:
    """What happened to the worker.

    Attributes:
        kills: how many of its processes were killed.
        murdered: the message in whose body that was.
        exit_code: of the worker, once it was told to stop.
    """

    kills: int = 0
    murdered: str | None = None
    exit_code: int | None = None


@dataclass(slots=True)
class Worker:
    """A real worker in a process of its own, which is gone when the `with` block is left.

    Attributes:
        broker: URL of the store.
        namespace: its namespace.
        folder: for its log and the marks of its processes.
    """

    broker: str
    namespace: str
    folder: Path
    _process: subprocess.Popen[bytes] = field(init=False)
    _killed: set[int] = field(default_factory=set)

    @property
    def log(self) -> Path:
        """Where it logs."""
        return self.folder / "worker.log"

    @property
    def marks(self) -> Path:
        """Where its processes tell what they are in the middle of."""
        return self.folder / "marks"

    def __enter__(self) -> Self:
        self.marks.mkdir()
        environment = {
            **os.environ,
            # Found the way this process found it, from wherever that was started.
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "RELIABLE_TASKS_STORE_NAMESPACE": self.namespace,
            "RELIABLE_TASKS_AUDIT": "all",
            MARKS: str(self.marks),
        }
        arguments = [
            "-m",
            "reliable_tasks",
            "-b",
            self.broker,
            "-A",
            "reliable_tasks.cli._demo_tasks",
        ]
        arguments += ["worker", "-c", str(PROCESSES), "--loglevel", "info"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this very interpreter
                [sys.executable, *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def stop(self) -> int:
        """Stop it as one would: with TERM. Returns its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"the worker did not stop within {_GRACE_S:g} s of TERM") from None

    def check(self) -> None:
        """Raise DemoFailed if it has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise DemoFailed(f"the worker ended by itself, with code {code}\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def kill_one(self) -> str | None:
        """Kill one of its processes with SIGKILL, if one is in the middle of a body.

        Returns:
            The message that it was in the middle of, or None if nobody was killed. An empty text
            if the process got out of the body while it was being killed.
        """
        living = (path for path in self.marks.iterdir() if int(path.name) not in self._killed)
        victim = next((path for path in living if _mark(path)), None)
        if victim is None:
            return None
        pid = int(victim.name)
        self._killed.add(pid)
        os.kill(pid, signal.SIGKILL)
        # Its last word counts only when it can say no more, which its successor shows.
        _until(lambda: self._alive() == PROCESSES, self.check, "a new process came up")
        return _mark(victim)

    def _alive(self) -> int:
        return len({int(path.name) for path in self.marks.iterdir()} - self._killed)


def _mark(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _until(happened: Callable[[], bool], check: Callable[[], None], what: str) -> None:
    deadline = clock.monotonic() + _PATIENCE_S
    while not happened():
        check()
        if clock.monotonic() > deadline:
            raise DemoFailed(f"{_PATIENCE_S:g} s passed before {what}")
        clock.sleep(_POLL_S)


def run(worker: Worker, store: ReadStore, total: int, show: Callable[[int, int], None]) -> Ran:
    """Watch a worker until all is committed, and kill one of its processes on the way.

    Args:
        worker: it runs.
        store: where it works.
        total: how many messages are to be committed.
        show: called with how many are, and how many wait for a retry.

    Raises:
        DemoFailed: the worker has ended, or nothing moves any more.
    """
    ran, done, deadline = Ran(), 0, clock.monotonic() + _PATIENCE_S
    while done < total:
        worker.check()
        counts = store.counts()
        ended = sum(counts.states.get(s, 0) for s in (State.SUCCEEDED, State.FAILED, State.REVOKED))
        if ended > done:
            done, deadline = ended, clock.monotonic() + _PATIENCE_S
        show(done, counts.states.get(State.SCHEDULED, 0))
        if done >= total // 4 and not ran.murdered and ran.kills < _MOST_KILLS:
            last_word = worker.kill_one()
            ran.kills += last_word is not None
            ran.murdered = last_word or None
        if clock.monotonic() > deadline:
            raise DemoFailed(f"no message was committed for {_PATIENCE_S:g} s\n{worker.log_tail()}")
        clock.sleep(_POLL_S)
    ran.exit_code = worker.stop()
    return ran


# Check --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accounts:
    """What the audit trail says: for each kind of event, how often for each message."""

    rows: dict[str, dict[str, int]]
    seconds: float

    @classmethod
    def read(cls, store: ReadStore, ids: list[str]) -> Accounts:
        """Read the trail, and from the records how long it took from first start to last end."""
        kinds = (AuditEvent.SUCCEEDED, AuditEvent.RETRY, AuditEvent.REAPED, AuditEvent.DUPLICATE)
        rows: dict[str, dict[str, int]] = {}
        for kind in kinds:
            of_kind = rows.setdefault(kind, {})
            for row in every_of(store.audit, AuditQuery(event=kind)):
                of_kind[row.id] = of_kind.get(row.id, 0) + row.count
        starts, ends = [], []
        for record in store.read(ids):
            if record is not None and record.first_started_ms and record.ended_ms:
                starts.append(record.first_started_ms)
                ends.append(record.ended_ms)
        return cls(rows, (max(ends) - min(starts)) / 1000 if ends else 0.0)

    def total(self, kind: str) -> int:
        """How many rows there are of a kind."""
        return sum(self.rows[kind].values())


def check(app: App, plan: Plan, asked: Asked, ran: Ran, accounts: Accounts) -> list[str]:
    """Everything that does not hold, in words."""
    files = len(plan.stumbles)
    retries, stumbles = accounts.total(AuditEvent.RETRY), sum(plan.stumbles.values())
    counts = app.store.counts()
    claims = {
        f"there are {len(set(asked.ids.values()))} messages for {files} files": (
            len(set(asked.ids.values())) == files
        ),
        f"{asked.duplicates} calls were duplicates, not {asked.calls - files}": (
            asked.duplicates == asked.calls - files
        ),
        f"the store knows of {counts.states}, not of {files} successes": (
            {s: n for s, n in counts.states.items() if n} == {State.SUCCEEDED: files}
        ),
        f"there were {retries} retries for {stumbles} failures": retries == stumbles,
        "no process was killed in the middle of a body": ran.murdered is not None,
        "the killed process's message was not taken back": (
            ran.murdered is None or ran.murdered in accounts.rows[AuditEvent.REAPED]
        ),
        f"the worker ended with code {ran.exit_code}": ran.exit_code == 0,
        "a once-key is still held": not app.store.locks(),
    }
    problems = [words for words, holds in claims.items() if not holds]
    for path, message_id in asked.ids.items():
        times = accounts.rows[AuditEvent.SUCCEEDED].get(message_id, 0)
        if times != 1:
            problems.append(f"{path} was committed {times} times")
        with Path(path).open("rb") as file:
            right = hashlib.file_digest(file, "sha256").hexdigest()
        found = app.AsyncResult(message_id).result
        if found != right:
            problems.append(f"the checksum of {path} is {found}, not {right} (has it changed?)")
    return problems
