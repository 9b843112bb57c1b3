"""The consumer's decisions: what to commit, how much to claim, what to give back.

A plain object without I/O. Callers tell it what happened and when; it decides what to do next. The
exchanger carries its requests to the store, and the simulation drives the same object.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from reliable_tasks.core.outcome import Released
from reliable_tasks.store.values import ClaimRequest, Commit, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.values import Claim, Exchange

__all__ = ["Consumer", "Request"]

_MAX_BATCH = 256  # commits, or claims, in one exchange
_WEIGHT = 0.2  # of the newest run time in a task's moving average
_OVERDUE_FACTOR = 4  # a body this many times over the window gives its neighbours back


class Request(msgspec.Struct, frozen=True):
    """One exchange to be made: what to commit and how much to claim."""

    commits: tuple[Commit, ...]
    want: ClaimRequest | None


class Consumer:
    """What one session holds: claims that wait, claims that run, and outcomes to commit.

    Args:
        queues: the queues to consume; they take turns at being asked first.
        slots: how many bodies run at once.
        ahead_s: how much work, in seconds of measured run time, may be claimed beyond that.
        max_tasks: how many messages to run before the process is replaced; None for no limit.
        trusted_s: how long a reply of the store vouches for the session. A process that was stopped
            for longer may have lost its claims, so it gives back what waits instead of beginning
            it.
    """

    def __init__(
        self,
        queues: Sequence[str],
        slots: int = 1,
        *,
        ahead_s: float = 0.02,
        max_tasks: int | None = None,
        trusted_s: float = 10.0,
    ) -> None:
        self._queues = tuple(queues)
        self._slots = slots
        self._ahead_s = ahead_s
        self._left = max_tasks
        self._trusted_s = trusted_s
        self._asked_at = self._confirmed_at = 0.0
        self._turn = 0
        self._waiting: deque[Claim] = deque()
        self._running: dict[int, tuple[Claim, float]] = {}  # by fence
        self._done: deque[Commit] = deque()
        self._sent: tuple[Commit, ...] | None = None
        self._again = set[int]()  # fences of what ended after a process had died, not committed yet
        self._average_s: dict[str, float] = {}
        self._uncertain = False
        self._draining = False
        self._starved = False
        self._asked_for = 0
        self.lost = False
        self.next_due_ms: int | None = None

    # For the pool --------------------------------------------------------------------------------

    def next_claim(self, now: float) -> Claim | None:
        """Take the claim to run now, if there is one and a slot is free."""
        if not self._waiting or len(self._running) >= self._slots:
            return None
        if now - self._confirmed_at > self._trusted_s:
            return None  # see _doubtful
        if self._waiting[0].delivery > 1 and (self._done or self._sent):
            return None  # it may have killed its process: commit what has ended first
        if self._again:
            return None  # its outcome may have been lost with a process: not a second time
        claim = self._waiting.popleft()
        self._running[claim.fence] = (claim, now)
        return claim

    def ended(self, claim: Claim, outcome: Outcome, now: float) -> None:
        """Note how an attempt ended."""
        _, began = self._running.pop(claim.fence, (claim, now))
        took, averages = now - began, self._average_s
        known = averages.get(claim.task, took)
        averages[claim.task] = known + _WEIGHT * (took - known)
        self._done.append(Commit(id=claim.id, fence=claim.fence, outcome=outcome))
        if claim.delivery > 1:
            self._again.add(claim.fence)
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.drain()

    # For the exchanger ---------------------------------------------------------------------------

    def request(self, now: float) -> Request | None:
        """Return the exchange to make now; None if there is nothing to commit or to claim."""
        if self._sent is not None:
            return None
        if self._waiting and (self._draining or self._overdue(now) or self._doubtful(now)):
            self._give_back()
        limit = self._wanted(now)
        commits = tuple(islice(self._done, _MAX_BATCH))
        for _ in commits:
            self._done.popleft()
        if not commits and (not limit or self._starved):
            return None
        self._sent, self._asked_for, self._asked_at = commits, limit, now
        want = ClaimRequest(queues=self._rotated(), limit=limit) if limit else None
        return Request(commits, want)

    def replied(self, reply: Exchange) -> tuple[Commit, ...]:
        """Take in the reply of an exchange; returns the commits that were stale."""
        commits, self._sent = self._sent or (), None
        self._again.difference_update(commit.fence for commit in commits)
        self._confirmed_at = self._asked_at
        self._waiting.extend(reply.claims)
        if self._asked_for:
            self._starved = len(reply.claims) < self._asked_for
            self.next_due_ms = reply.next_due_ms
        if reply.lost:
            self._session_lost()
        if Verdict.STALE not in reply.verdicts:
            return ()
        verdicts = zip(commits, reply.verdicts, strict=True)
        return tuple(c for c, verdict in verdicts if verdict == Verdict.STALE)

    def failed(self) -> None:
        """Repeat an exchange that failed: nobody knows whether the store applied it.

        Commits are safe to repeat. If the lost reply carried claims, `reconcile` finds them.
        """
        self._done.extendleft(reversed(self._sent or ()))
        self._sent = None
        self._uncertain = True

    @property
    def uncertain(self) -> bool:
        """Whether `reconcile` must come before anything else is asked of the store."""
        return self._uncertain

    def reconcile(self, held: Iterable[Claim]) -> None:
        """After a lost reply: adopt the claims that the store says this session holds.

        Claims that we never heard of will run; claims that were taken away are dropped.
        """
        self._uncertain = False
        self._confirmed_at = self._asked_at
        at_store = {claim.fence: claim for claim in held}
        # By fence, not by id: the lost exchange may have given a message back and claimed it again,
        # under a fence that we do not know.
        known = set(self._running) | {c.fence for c in self._done}
        known |= {claim.fence for claim in self._waiting}
        self._waiting = deque(c for c in self._waiting if c.fence in at_store)
        self._waiting.extend(c for fence, c in at_store.items() if fence not in known)

    def woken(self) -> None:
        """Ask again: there may be work where the last exchange found none."""
        self._starved = False

    def drain(self) -> None:
        """Claim no more, and give back what has not started."""
        self._draining = True

    # State ---------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing waits, runs, or has to be committed."""
        return not (self._waiting or self._running or self._done or self._sent)

    @property
    def finished(self) -> bool:
        """Whether it was told to drain and has done so."""
        return self._draining and self.idle

    @property
    def draining(self) -> bool:
        """Whether it has stopped claiming."""
        return self._draining

    @property
    def busy(self) -> int:
        """How many bodies run."""
        return len(self._running)

    def starved(self, now: float) -> bool:
        """Whether a slot is free and the store had no more work, so it is time to wait for some.

        While all slots are taken there is no need to wait: a body will end first, and the exchange
        that commits it claims more.
        """
        free = len(self._waiting) + len(self._running) < self._slots
        return self._starved and free and not self._uncertain and self._wanted(now) > 0

    @property
    def patience_s(self) -> float:
        """The longest time to let the store take over an answer.

        Trust in an answer starts when the question was sent, so half of it is left then.
        """
        return self._trusted_s / 2

    @property
    def waiting(self) -> int:
        """How many claims wait for a slot."""
        return len(self._waiting)

    def overdue_at(self) -> float | None:
        """When to give back what waits, if no body ends before."""
        return self._patience_ends() if self._waiting else None

    def _patience_ends(self) -> float | None:
        if not self._running:
            return None
        began = min(began for _, began in self._running.values())
        return began + self._ahead_s * _OVERDUE_FACTOR

    def _overdue(self, now: float) -> bool:
        at = self._patience_ends()
        return at is not None and now >= at

    def _doubtful(self, now: float) -> bool:
        """Whether the store was silent for so long that others may have claimed what waits."""
        # Counted from the question: the answer may have lain unread while the process was stopped.
        return now - self._confirmed_at > self._trusted_s

    def _give_back(self) -> None:
        for claim in self._waiting:
            self._done.append(Commit(id=claim.id, fence=claim.fence, outcome=Released()))
        self._waiting.clear()

    def _session_lost(self) -> None:
        """Give back what waits; commits of what runs will be stale if others have it by now."""
        self.lost = True
        self._give_back()
        self._draining = True

    def _rotated(self) -> tuple[str, ...]:
        self._turn = (self._turn + 1) % len(self._queues)
        return self._queues[self._turn :] + self._queues[: self._turn]

    def _wanted(self, now: float) -> int:
        """How many claims to ask for: one for each free slot, plus what runs within `ahead_s`."""
        if self._draining or self._uncertain:
            return 0
        if self._running and (self._overdue(now) or self._longest_s() > self._ahead_s):
            wanted = self._slots  # long bodies: no more than can start at once
        else:
            wanted = self._slots + self._ahead()
        wanted = min(wanted, _MAX_BATCH) - len(self._waiting) - len(self._running)
        if self._left is not None:
            wanted = min(wanted, self._left - len(self._waiting) - len(self._running))
        return max(0, wanted)

    def _longest_s(self) -> float:
        return max(
            (self._average_s.get(c.task, self._ahead_s * 2) for c, _ in self._running.values()),
            default=0.0,
        )

    def _ahead(self) -> int:
        """How many average bodies fit into `ahead_s`; none before anything was measured."""
        if not self._average_s:
            return 0
        average = max(self._average_s.values())
        return _MAX_BATCH if average <= 0 else min(_MAX_BATCH, int(self._ahead_s / average))
