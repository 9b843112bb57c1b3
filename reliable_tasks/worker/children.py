"""What a supervisor remembers of its children, and what becomes of their claims when they die."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from reliable_tasks import events
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.outcome import KilledAtLimit, Released
from reliable_tasks.errors import TimeLimitExceeded

if TYPE_CHECKING:
    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.values import Claim
    from reliable_tasks.worker.scoreboard import Posted

__all__ = ["PLANNED_RELEASES", "Child", "DeadChild"]

PLANNED_RELEASES = 20  # of one attempt, by workers that are stopped; more count as deliveries
_STOPPED = b'{"reason":"stopped"}'


class Child(msgspec.Struct):
    """A child process and its session.

    Attributes:
        worker: the name of the worker that it belongs to.
        killed: by the supervisor, for a reason of its own.
        kill_outcomes: by fence, what becomes of the claims that it was killed for, committed once
            the child is dead for sure.
        stopped: it was killed because the worker is going down.
        retiring: it is to claim no more, and another takes its place.
        soft_told: the claims whose bodies were told of their soft limits.
        revoked: the claims whose bodies were told of their revocation, and by which signals.
        kill_at: by fence, when the body of a revoked claim has had its time.
        answers: how often it had heard from the store when we looked last.
        quiet_s: for how long it has not, with nothing to do.
    """

    pid: int
    session: str
    worker: str
    born: float
    killed: bool = False
    kill_outcomes: dict[int, Outcome] = msgspec.field(default_factory=dict)
    stopped: bool = False
    retiring: bool = False
    soft_told: set[int] = msgspec.field(default_factory=set)
    revoked: set[tuple[int, str]] = msgspec.field(default_factory=set)
    kill_at: dict[int, float] = msgspec.field(default_factory=dict)
    answers: int = 0
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
        """Forget what concerns claims that ended long ago."""
        self.kill_outcomes = {f: o for f, o in self.kill_outcomes.items() if f in begun}
        self.soft_told &= begun
        self.revoked = {told for told in self.revoked if told[0] in begun}
        self.kill_at = {fence: at for fence, at in self.kill_at.items() if fence in begun}

    def end_past_limits(self, running: tuple[Posted, ...], now: float) -> None:
        """Record for each body past its hard limit that it was killed there: none runs again."""
        for posted in running:
            known = isinstance(self.kill_outcomes.get(posted.fence), KilledAtLimit)
            if 0 < posted.hard_deadline <= now and not known:
                self.kill_outcomes[posted.fence] = _killed_at_limit(posted)
                self.emit_limit("limit.hard", posted, posted.hard_deadline)


class DeadChild(msgspec.Struct):
    """A child that has died, until the store knows what became of its claims.

    Attributes:
        child: what was known of it.
        begun: the fences of the claims that it had begun to run.
    """

    child: Child
    begun: frozenset[int]

    def outcome_of(self, claim: Claim) -> Outcome | None:
        """What becomes of a claim that it held; None: it counts as a delivery, and is taken back.

        Whatever the exit code: a delivery is not counted only if its body is known not to have
        begun.
        """
        child = self.child
        if claim.fence in child.kill_outcomes:
            return child.kill_outcomes[claim.fence]
        if claim.fence not in self.begun:
            return Released()
        if child.stopped and claim.bounces < PLANNED_RELEASES:
            return Released(begun=True, detail=_STOPPED)
        return None


def _killed_at_limit(posted: Posted) -> KilledAtLimit:
    """The outcome of a body that ran longer than its hard limit."""
    limit_s = posted.hard_deadline - posted.began
    exc = TimeLimitExceeded(f"the body ran longer than {limit_s:g} s and its process was killed")
    detail = msgspec.json.encode({"exception": "TimeLimitExceeded", "message": str(exc)})
    return KilledAtLimit(failure=encode_failure(exc), detail=detail)
