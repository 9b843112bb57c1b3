"""The supervisor: keeps children alive, their sessions renewed and their limits kept.

A plain object, stepped with the time passed in. What it does to processes goes through `Hands`, so
that the simulation can drive it; `process` has the real ones, and the signals.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

import msgspec

from reliable_tasks import events, ids
from reliable_tasks.errors import StoreError, TimeLimitExceeded
from reliable_tasks.outcome import Doomed, Released, Revoked
from reliable_tasks.serialization import encode_failure
from reliable_tasks.store.values import Commit, SessionInfo

if TYPE_CHECKING:
    from reliable_tasks.outcome import Outcome
    from reliable_tasks.store.base import Store
    from reliable_tasks.store.values import Claim

    from .board import Posted

__all__ = ["Child", "Hands", "Stopping", "Supervisor", "SupervisorOptions"]

_HOUSEKEEPING_S = 1.0
_MAX_BACKOFF_S = 5.0
_MIN_CHILD_LIFE_S = 1.0  # a child that dies younger is replaced with growing delays
_LAST_WORDS_S = 5.0  # after a cold stop, how long to try to tell the store; leases do the rest
_REAP_ROUNDS = 20  # bounded rounds of housekeeping in one step
_PLANNED_RELEASES = 20  # of one attempt, by workers that are stopped; more count as deliveries
_STOPPED = b'{"reason":"stopped"}'


class Stopping(Enum):
    """How the worker is going down."""

    NO = auto()
    WARM = auto()
    """What runs is finished, the rest is given back."""
    COLD = auto()
    """Everything is given back now."""


class Hands(Protocol):
    """What a supervisor does to processes."""

    def spawn(self, session: str) -> int:
        """Start a child that works for a session; returns its pid."""
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

    def dead(self) -> list[tuple[int, str]]:
        """Children that have ended since the last call, and how: "" for a clean exit."""
        ...

    def running(self, pid: int) -> tuple[Posted, ...]:
        """What a child, alive or dead, has on its board."""
        ...

    def begun(self, pid: int) -> frozenset[int]:
        """The fences of the claims that a child, alive or dead, has begun to run."""
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
    """

    info: SessionInfo
    children: int
    lease_ms: int = 20_000
    heartbeat_s: float = 5.0
    grace_s: float = 30.0


class Child(msgspec.Struct):
    """A child process and its session.

    Attributes:
        killed: by the supervisor, for a reason of its own.
        sentence: what becomes of the condemned claim, once the child is dead for sure.
        stopped: it was killed since the worker is going down.
        retiring: it is to claim no more, and another takes its place.
    """

    pid: int
    session: str
    born: float
    killed: bool = False
    condemned: int = 0
    sentence: Outcome | None = None
    stopped: bool = False
    retiring: bool = False
    soft_told: int = 0


class _Burial(msgspec.Struct):
    """A dead child whose claims the store has yet to be told of."""

    child: Child
    begun: frozenset[int]

    def fate(self, claim: Claim) -> Outcome | None:
        """What a claim that it held comes to; None: it counts as a delivery, and is taken back.

        Whatever the exit code: a claim is innocent only where its body is known not to have begun.
        """
        child = self.child
        if child.sentence is not None and claim.fence == child.condemned:
            return child.sentence
        if claim.fence not in self.begun:
            return Released()
        if child.stopped and claim.bounces < _PLANNED_RELEASES:
            return Released(begun=True, detail=_STOPPED)
        return None


class _Backoff(msgspec.Struct):
    """Grows while something fails."""

    until: float = 0.0
    delay_s: float = 0.0

    def fail(self, now: float) -> None:
        self.delay_s = min(_MAX_BACKOFF_S, max(0.1, self.delay_s * 2))
        self.until = now + self.delay_s


class _Due(msgspec.Struct):
    """When the regular duties come up next."""

    heartbeat: float = 0.0
    housekeeping: float = 0.0
    store: _Backoff = msgspec.field(default_factory=_Backoff)
    spawn: _Backoff = msgspec.field(default_factory=_Backoff)


class Supervisor:
    """Keeps `options.children` children at work."""

    def __init__(self, store: Store, hands: Hands, options: SupervisorOptions) -> None:
        self._store = store
        self._hands = hands
        self._options = options
        self._children: dict[int, Child] = {}
        self._burials: list[_Burial] = []
        self._due = _Due()
        self._away_since: float | None = None
        self._stop_by: float | None = None
        self.stopping = Stopping.NO

    @property
    def children(self) -> tuple[Child, ...]:
        """The children that live."""
        return tuple(self._children.values())

    @property
    def finished(self) -> bool:
        """Whether it was told to stop, and nothing of it is left."""
        return self.stopping is not Stopping.NO and not self._children and not self._burials

    def step(self, now: float) -> None:
        """Do what is due."""
        self._notice_deaths(now)
        self._watch_limits(now)
        if now >= self._due.store.until:
            try:
                self._duties(now)
                self._store_answers(now)
            except StoreError as exc:
                # Full or refusing as well as away: dying of it would take the running bodies along.
                self._store_away(now, exc)
        if self._stop_by is not None and now >= self._stop_by:
            if self.stopping is Stopping.WARM and self._children:
                self.stop(Stopping.COLD, now)
            elif not self._children:
                self._burials.clear()

    def _duties(self, now: float) -> None:
        """What needs the store: children come before the care for what others have left behind."""
        self._bury()
        if now >= self._due.heartbeat:
            self._due.heartbeat = now + self._options.heartbeat_s
            self._heartbeat(now)
        if self.stopping is Stopping.NO and now >= self._due.spawn.until:
            self._replenish(now)
        if now >= self._due.housekeeping:
            self._due.housekeeping = now + _HOUSEKEEPING_S
            self._housekeep()

    def next_due(self, now: float) -> float:
        """When `step` is to be called again, if nothing happens before."""
        duties = max(self._due.store.until, min(self._due.heartbeat, self._due.housekeeping))
        deadlines = [
            at
            for child in self._children.values()
            for posted in self._hands.running(child.pid)
            for at in (posted.soft_deadline, posted.hard_deadline)
            if at > now
        ]
        return min([duties, *deadlines])

    # Stopping ------------------------------------------------------------------------------------

    def stop(self, how: Stopping, now: float) -> None:
        """Go down; a second, harder word is obeyed as well."""
        if how is Stopping.WARM and self.stopping is Stopping.NO:
            self.stopping = how
            self._stop_by = now + self._options.grace_s
            for child in self._children.values():
                self._hands.drain(child.pid)
        elif how is Stopping.COLD and self.stopping is not Stopping.COLD:
            self.stopping = how
            self._stop_by = now + _LAST_WORDS_S
            for child in self._children.values():
                if not child.killed:
                    child.stopped = True
                    self._kill(child)

    # Children ------------------------------------------------------------------------------------

    def _replenish(self, now: float) -> None:
        active = sum(not child.retiring for child in self._children.values())
        for _ in range(self._options.children - active):
            session = ids.new_id()
            info = msgspec.structs.replace(self._options.info, id=session)
            self._store.open_session(info, self._options.lease_ms)
            pid = self._hands.spawn(session)
            self._children[pid] = Child(pid, session, now)
            events.emit("child.started", pid=pid, session=session)

    def _notice_deaths(self, now: float) -> None:
        for pid, ended in self._hands.dead():
            child = self._children.pop(pid, None)
            if child is None:
                continue
            midway = not ended and self._hands.running(pid)
            how = "exit code 0 in the middle of a body" if midway else ended
            self._burials.append(_Burial(child, self._hands.begun(pid)))
            self._hands.forget(pid)
            if not child.killed and how:
                events.emit("child.died", pid=pid, session=child.session, how=how)
                if now - child.born < _MIN_CHILD_LIFE_S:
                    self._due.spawn.fail(now)
                    continue
            self._due.spawn = _Backoff()

    def _bury(self) -> None:
        """Tell the store what became of dead children's claims: each step may be repeated."""
        while self._burials:
            burial = self._burials[0]
            session = burial.child.session
            held = self._store.held(session)
            fates = [(claim, burial.fate(claim)) for claim in held]
            commits = [
                Commit(id=claim.id, fence=claim.fence, outcome=fate)
                for claim, fate in fates
                if fate is not None
            ]
            if commits:
                self._store.exchange(session, commits, None)
            if len(commits) < len(held):
                self._reap(dead=(session,))
            else:
                self._store.close_session(session)
            self._burials.pop(0)

    # Limits --------------------------------------------------------------------------------------

    def _watch_limits(self, now: float) -> None:
        for child in self._children.values():
            if child.killed:
                continue
            for posted in self._hands.running(child.pid):
                if 0 < posted.hard_deadline <= now:
                    self._exceeded(child, posted)
                elif 0 < posted.soft_deadline <= now and child.soft_told != posted.fence:
                    child.soft_told = posted.fence
                    self._hands.soft_limit(child.pid)
                    events.emit("limit.soft", id=posted.id, fence=posted.fence)

    def _exceeded(self, child: Child, posted: Posted) -> None:
        limit_s = posted.hard_deadline - posted.began
        exc = TimeLimitExceeded(
            f"the body ran longer than {limit_s:g} s and its process was killed"
        )
        failure = encode_failure(exc)
        detail = msgspec.json.encode({"exception": "TimeLimitExceeded", "message": str(exc)})
        self._condemn(child, posted.fence, Doomed(failure=failure, detail=detail))
        events.emit("limit.hard", id=posted.id, fence=posted.fence, limit=limit_s)

    def _condemn(self, child: Child, fence: int, sentence: Outcome) -> None:
        """Kill a child; once it is dead for sure, this claim of its gets this outcome."""
        child.condemned, child.sentence = fence, sentence
        self._kill(child)

    def _kill(self, child: Child) -> None:
        child.killed = True
        self._hands.kill(child.pid)

    # The store -----------------------------------------------------------------------------------

    def _heartbeat(self, now: float) -> None:
        by_session = {child.session: child for child in self._children.values()}
        if not by_session:
            return
        reply = self._store.heartbeat(tuple(by_session), self._options.lease_ms)
        for session in reply.lost:
            child = by_session[session]
            if not child.retiring:
                # Its commits will be found stale; another child takes its place meanwhile.
                child.retiring = True
                self._hands.drain(child.pid)
                events.emit("session.lost", session=session, pid=child.pid)
        for command in reply.commands:
            child = by_session[command.session]
            running = {p.fence for p in self._hands.running(child.pid)}
            if not child.killed and command.fence in running:
                self._condemn(child, command.fence, Revoked())
        self._due.heartbeat = now + self._options.heartbeat_s

    def _housekeep(self) -> None:
        own = {child.session for child in self._children.values()}
        own |= {burial.child.session for burial in self._burials}
        others = tuple(s for s in self._store.sessions() if s.id not in own)
        self._reap(dead=tuple(self._hands.gone_sessions(others)))

    def _reap(self, dead: tuple[str, ...]) -> None:
        for _ in range(_REAP_ROUNDS):
            done = self._store.reap(dead)
            for buried in done.buried:
                events.emit("message.buried", id=buried.id, task=buried.task)
            if not done.more:
                return

    def _store_away(self, now: float, exc: StoreError) -> None:
        if self._away_since is None:
            self._away_since = now
            events.emit("store.unavailable", store=self._store.location, error=str(exc))
        self._due.store.fail(now)

    def _store_answers(self, now: float) -> None:
        if self._away_since is not None:
            seconds = now - self._away_since
            self._away_since = None
            events.emit("store.recovered", store=self._store.location, after=round(seconds, 1))
        self._due.store = _Backoff()
