"""A supervisor's view of its children: what it is told, what it does to them, what it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from reliable_tasks import events
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.outcome import KilledAtLimit, Released
from reliable_tasks.errors import TimeLimitExceeded

if TYPE_CHECKING:
    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.values import Claim, SessionInfo
    from reliable_tasks.worker.scoreboard import Posted

__all__ = [
    "PLANNED_RELEASES",
    "Backoff",
    "Burial",
    "Child",
    "ProcessControl",
    "SupervisorOptions",
    "sentence",
    "spared",
]

PLANNED_RELEASES = 20  # of one attempt, by workers that are stopped; more count as deliveries
_STOPPED = b'{"reason":"stopped"}'


class ProcessControl(Protocol):
    """What a supervisor does to processes."""

    def spawn(self, session: str) -> int:
        """Start a child that works for a session; returns its pid.

        Raises:
            OSError: the system has no room for one now.
        """
        ...

    def drain(self, pid: int) -> None:
        """Ask a child to finish what runs, give back the rest and exit."""
        ...

    def soft_limit(self, pid: int) -> None:
        """Raise SoftTimeLimitExceeded in the body that a child runs."""
        ...

    def kill(self, pid: int) -> None:
        """Kill a child."""
        ...

    def terminate(self, pid: int, fence: int, signal: str) -> bool:
        """Tell the body of a claim, by a signal, that its message was revoked.

        Returns:
            whether the signal goes to a process that runs no other body.
        """
        ...

    def dead(self) -> list[tuple[int, str]]:
        """Children that have ended since the last call, and how: "" for a clean exit."""
        ...

    def running(self, pid: int) -> tuple[Posted, ...]:
        """What a child, alive or dead, has on its board."""
        ...

    def begun(self, pid: int) -> frozenset[int]:
        """The fences of the claims that a child, alive or dead, has begun to run."""
        ...

    def words(self, pid: int) -> int:
        """How often a child has heard from the store; 0 while it is not at work yet."""
        ...

    def forget(self, pid: int) -> None:
        """Give back what belongs to a dead child."""
        ...

    def gone_sessions(self, sessions: tuple[SessionInfo, ...]) -> list[str]:
        """Which of these sessions belong to processes of this machine that have ended."""
        ...


class SupervisorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor is told.

    Attributes:
        info: the session's description; its id is made anew for each child.
        children: how many to keep.
        lease_ms: how long a session lives without a heartbeat.
        heartbeat_s: how often they are sent.
        grace_s: how long a warm shutdown may take before it becomes a cold one.
        patience_s: how long a child that runs no body may hear nothing from a store that answers
            us, before it is taken for stuck.
    """

    info: SessionInfo
    children: int
    lease_ms: int = 20_000
    heartbeat_s: float = 5.0
    grace_s: float = 30.0
    patience_s: float = 60.0


class Child(msgspec.Struct):
    """A child process and its session.

    Attributes:
        worker: the name of the worker that it belongs to.
        killed: by the supervisor, for a reason of its own.
        sentences: by fence, what becomes of condemned claims, once the child is dead for sure.
        stopped: it was killed since the worker is going down.
        retiring: it is to claim no more, and another takes its place.
        soft_told: the claims whose bodies were told of their soft limits.
        revoked: the claims whose bodies were told of their revocation, and by which signals.
        kill_at: by fence, when the body of a revoked claim has had its time.
        words: how often it has heard from the store, when we looked last.
        quiet_s: for how long it has not, with nothing to do.
    """

    pid: int
    session: str
    worker: str
    born: float
    killed: bool = False
    sentences: dict[int, Outcome] = msgspec.field(default_factory=dict)
    stopped: bool = False
    retiring: bool = False
    soft_told: set[int] = msgspec.field(default_factory=set)
    revoked: set[tuple[int, str]] = msgspec.field(default_factory=set)
    kill_at: dict[int, float] = msgspec.field(default_factory=dict)
    words: int = 0
    quiet_s: float = 0.0

    @property
    def about(self) -> dict[str, object]:
        """Which child it is, for events."""
        return {"worker": self.worker, "pid": self.pid, "session": self.session}

    def emit_limit(self, event: str, posted: Posted, deadline: float) -> None:
        """Tell of a body that has run until its deadline."""
        limit_s = deadline - posted.began
        events.emit(event, **self.about, id=posted.id, fence=posted.fence, limit=limit_s)

    def remember_only(self, begun: frozenset[int]) -> None:
        """Forget what was said of claims that are long over."""
        self.sentences = {fence: o for fence, o in self.sentences.items() if fence in begun}
        self.soft_told &= begun
        self.revoked = {told for told in self.revoked if told[0] in begun}
        self.kill_at = {fence: at for fence, at in self.kill_at.items() if fence in begun}


def spared(
    child: Child, posted: Posted, processes: ProcessControl, now: float, grace_s: float
) -> bool:
    """Whether a child lives on with a body that is past its limit, for others that run in it.

    It takes no more, and another one takes its place. The others get the time of a warm stop; what
    still runs then is run again, as it is where a worker is stopped.
    """
    if all(0 < other.hard_deadline <= now for other in processes.running(child.pid)):
        return False
    if not child.retiring:
        child.retiring = True
        processes.drain(child.pid)
        events.emit("child.retired", **child.about, id=posted.id)
    child.stopped = now >= posted.hard_deadline + grace_s
    return not child.stopped


class Burial(msgspec.Struct):
    """A dead child whose claims the store has yet to be told of."""

    child: Child
    begun: frozenset[int]

    def fate(self, claim: Claim) -> Outcome | None:
        """What a claim that it held comes to; None: it counts as a delivery, and is taken back.

        Whatever the exit code: a claim is innocent only where its body is known not to have begun.
        """
        child = self.child
        if claim.fence in child.sentences:
            return child.sentences[claim.fence]
        if claim.fence not in self.begun:
            return Released()
        if child.stopped and claim.bounces < PLANNED_RELEASES:
            return Released(begun=True, detail=_STOPPED)
        return None


def sentence(child: Child, running: tuple[Posted, ...], now: float) -> None:
    """Say of each body that is past its hard limit what its claim comes to: none runs again."""
    for posted in running:
        told = isinstance(child.sentences.get(posted.fence), KilledAtLimit)
        if 0 < posted.hard_deadline <= now and not told:
            child.sentences[posted.fence] = _exceeded(child, posted)


def _exceeded(child: Child, posted: Posted) -> KilledAtLimit:
    """What becomes of a claim whose body ran longer than its hard limit; the log is told."""
    limit_s = posted.hard_deadline - posted.began
    exc = TimeLimitExceeded(f"the body ran longer than {limit_s:g} s and its process was killed")
    detail = msgspec.json.encode({"exception": "TimeLimitExceeded", "message": str(exc)})
    child.emit_limit("limit.hard", posted, posted.hard_deadline)
    return KilledAtLimit(failure=encode_failure(exc), detail=detail)


class Backoff(msgspec.Struct):
    """Grows while something fails."""

    longest_s: float
    until: float = 0.0
    delay_s: float = 0.0

    def fail(self, now: float) -> None:
        """It has failed again."""
        self.delay_s = min(self.longest_s, max(0.1, self.delay_s * 2))
        self.until = now + self.delay_s

    def reset(self) -> None:
        """It did not."""
        self.until = self.delay_s = 0.0
