"""The supervisor: keeps children alive, their sessions renewed and their limits kept.

A plain object, stepped with the time passed in. It acts on processes through `ProcessControl` and
asks the store through `StoreCalls`, so the simulation can drive it; `process` has the real ones
and the signals. A round of duties is a generator that yields calls of the store and is resumed with
their answers: between them, however long they take, limits and deaths are watched.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import events, signals
from reliable_tasks.core import ids
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.core.outcome import Revoked
from reliable_tasks.core.reasons import Reason
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.store.values import Commit, SessionInfo

from .children import Child, DeadChild
from .rounds import Rounds
from .store_calls import InlineCalls
from .store_health import StoreHealth
from .watch import TICK_S, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from reliable_tasks.store.protocol import WorkerStore
    from reliable_tasks.store.values import Claim, Command, Heartbeat, Reaped, Turn

    from .process_control import ProcessControl
    from .store_calls import Call, StoreCalls

__all__ = ["Stopping", "Supervisor", "SupervisorOptions"]

_HOUSEKEEPING_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_SPAWN_BACKOFF = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
_MIN_CHILD_LIFE_S = 1.0  # a child that dies younger is replaced with growing delays
_LAST_WORDS_S = 5.0  # after a cold stop, how long to try to tell the store; leases do the rest
_GENTLE_S = 10.0  # for a body that was told by SIGTERM that its message was revoked
_REAP_ROUNDS = 20  # bounded rounds of housekeeping in one round of duties


class Stopping(Enum):
    """How the worker is going down."""

    NO = auto()
    WARM = auto()
    """What runs is finished, the rest is given back."""
    COLD = auto()
    """Everything is given back now."""


class SupervisorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a supervisor works.

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


class Supervisor:
    """Keeps `options.children` children at work.

    Args:
        store: where their sessions are.
        processes: does what is done to processes.
        options: see there.
        calls: how to call the store; inline by default.
    """

    def __init__(
        self,
        store: WorkerStore,
        processes: ProcessControl,
        options: SupervisorOptions,
        calls: StoreCalls | None = None,
    ) -> None:
        self._processes = processes
        self._options = options
        self._children: dict[int, Child] = {}
        self._dead: list[DeadChild] = []
        backoff = Backoff(_FIRST_PAUSE_S, min(_LONGEST_PAUSE_S, options.heartbeat_s))
        health = StoreHealth(store.location, backoff)
        self._rounds = Rounds(calls or InlineCalls(store), health)
        self._watch = Watch(processes, self._children, options.grace_s, options.patience_s)
        self._now = 0.0
        self._began: float | None = None
        self._heartbeat_at = self._housekeeping_at = 0.0
        self._more_to_reap = False
        self._spawn_at, self._spawn_failures = 0.0, 0
        self._renewed_ms: int | None = None
        self._patient_until_ms = self._lapsed_by_ms = 0
        self._stop_by: float | None = None
        self.stopping = Stopping.NO

    @property
    def children(self) -> tuple[Child, ...]:
        """The living children."""
        return tuple(self._children.values())

    @property
    def finished(self) -> bool:
        """Whether it was told to stop and nothing is left to do."""
        left = self._children or self._dead or self._rounds.under_way
        return self.stopping is not Stopping.NO and not left

    def step(self, now: float) -> None:
        """Do what is due."""
        passed, self._now = now - self._now, now
        if self._began is None:
            self._began = now
        self._notice_deaths(now)
        self._watch.limits(now)
        self._watch.progress(now, passed, store_answers=self._rounds.store_answers(now))
        self._rounds.go_on(now, self._duties)
        if self._stop_by is not None and now >= self._stop_by:
            if self.stopping is Stopping.WARM and self._children:
                self.stop(Stopping.COLD, now)
            elif not self._children:
                self._dead.clear()
                self._rounds.abandon()

    def next_due(self, now: float) -> float:
        """When to call `step` again, if nothing happens before: deaths and answers do."""
        if self._rounds.under_way:
            due = now + _HOUSEKEEPING_S
        else:
            due = max(self._rounds.paused_until, min(self._heartbeat_at, self._housekeeping_at))
        missing = len(self._children) < self._options.children
        if self.stopping is not Stopping.NO or self._dead or missing or self._watch.has_some():
            due = min(due, now + TICK_S)
        return min(due, self._watch.next_limit(now))

    # Stopping ------------------------------------------------------------------------------------

    def stop(self, how: Stopping, now: float) -> None:
        """Go down; a COLD stop may follow a WARM one."""
        if how is Stopping.WARM and self.stopping is Stopping.NO:
            self.stopping = how
            self._stop_by = now + self._options.grace_s
            for child in self._children.values():
                self._processes.drain(child.pid)
        elif how is Stopping.COLD and self.stopping is not Stopping.COLD:
            self.stopping = how
            self._stop_by = now + _LAST_WORDS_S
            for child in self._children.values():
                if not child.killed:
                    child.stopped = True
                    self._watch.kill(child, self._now)

    # Deaths --------------------------------------------------------------------------------------

    def _notice_deaths(self, now: float) -> None:
        for pid, ended in self._processes.dead():
            child = self._children.pop(pid, None)
            if child is None:
                continue
            running = self._processes.running(pid)
            how = "exit code 0 in the middle of a body" if running and not ended else ended
            if child.killed and child.kill_outcomes:  # others may have passed their limits since
                child.end_past_limits(running, now)
            revoked = any(isinstance(child.kill_outcomes.get(p.fence), Revoked) for p in running)
            self._dead.append(DeadChild(child, self._processes.begun(pid)))
            self._processes.forget(pid)
            if not child.killed and not revoked and how:
                ids_ = [p.id for p in running]
                events.emit("child.died", **child.about, how=how, ids=ids_)
                if now - child.born < _MIN_CHILD_LIFE_S:
                    self._spawn_failed()
                    continue
            self._spawn_at, self._spawn_failures = 0.0, 0

    def _spawn_failed(self) -> float:
        """Put off the next spawn; returns for how long."""
        self._spawn_failures += 1
        pause_s = _SPAWN_BACKOFF.pause_s(self._spawn_failures)
        self._spawn_at = self._now + pause_s
        return pause_s

    # Rounds of duties ----------------------------------------------------------------------------

    def _duties(self) -> Generator[Call, Any, None]:
        """One round of what needs the store: our own children first, then what others have left."""
        failed: Exception | None = None
        duties = [self._heartbeat, *(self._settling(dead) for dead in self._dead)]
        for duty in (*duties, self._replenish, self._housekeep):
            try:
                yield from duty()
            except StoreUnavailable:
                raise
            except Exception as exc:  # noqa: BLE001 - one duty that fails must not keep the others waiting
                failed = exc
        if failed is not None:
            raise failed

    def _ask(self, call: Call) -> Generator[Call, Any, Any]:
        """Call the store, after a heartbeat if one is due: nothing else may delay those."""
        yield from self._heartbeat()
        return (yield call)

    # Sessions ------------------------------------------------------------------------------------

    def _heartbeat(self) -> Generator[Call, Any, None]:
        if self._now < self._heartbeat_at:
            return
        by_session = {child.session: child for child in self._children.values()}
        mine = (*by_session, *(dead.child.session for dead in self._dead))
        lease_ms = self._options.lease_ms
        reply: Heartbeat = yield lambda store: store.heartbeat(mine, lease_ms)
        self._heartbeat_at = self._now + self._options.heartbeat_s
        self._renewed(reply.now_ms)
        signals.heartbeat_sent.send(self._options.info.worker)
        living = {s: child for s, child in by_session.items() if child.pid in self._children}
        for session in reply.lost:
            child = living.get(session)
            if child is not None and not child.retiring:
                # Its commits will be stale; another child takes its place meanwhile.
                child.retiring = True
                self._processes.drain(child.pid)
                events.emit("session.lost", **child.about)
        for command in reply.commands:
            if command.session in living and not living[command.session].killed:
                self._revoke(living[command.session], command)

    def _revoke(self, child: Child, command: Command) -> None:
        """Tell a body that its message was revoked, once with each signal."""
        runs = command.fence in {p.fence for p in self._processes.running(child.pid)}
        if not runs or (command.fence, command.signal) in child.revoked:
            return
        child.remember_only(self._processes.begun(child.pid))
        child.revoked.add((command.fence, command.signal))
        if self._processes.terminate(child.pid, command.fence, command.signal):
            child.kill_outcomes[command.fence] = Revoked()
            if command.signal == "SIGTERM":  # any other is the user's own business
                child.kill_at[command.fence] = self._now + _GENTLE_S

    def _renewed(self, now_ms: int) -> None:
        """Decide by which instant the sessions of others must have lapsed to be reaped.

        Normally that is now. But if we could not renew our own sessions for a while, others could
        not either, so they get half a lease to do so before anything is taken from them.
        """
        half_ms = self._options.lease_ms // 2
        since_ms = now_ms - self._renewed_ms if self._renewed_ms is not None else 0
        if self._began is not None and self._renewed_ms is None:
            since_ms = round((self._now - self._began) * 1000)
        if since_ms > half_ms:
            self._patient_until_ms = now_ms + half_ms
        self._renewed_ms = now_ms
        if now_ms >= self._patient_until_ms:
            self._lapsed_by_ms = now_ms

    def _replenish(self) -> Generator[Call, Any, None]:
        while self.stopping is Stopping.NO and self._now >= self._spawn_at:
            active = sum(not child.retiring for child in self._children.values())
            if active >= self._options.children:
                return
            session = ids.new_id()
            info = msgspec.structs.replace(self._options.info, id=session)
            yield from self._ask(_opening(info, self._options.lease_ms))
            if not self._spawn(session):
                yield from self._ask(_closing(session))

    def _spawn(self, session: str) -> bool:
        if self.stopping is not Stopping.NO:
            return False
        try:
            pid = self._processes.spawn(session)
        except OSError as exc:
            events.emit("child.not_started", error=str(exc), delay=self._spawn_failed())
            return False
        child = self._children[pid] = Child(pid, session, self._options.info.worker, self._now)
        events.emit("child.started", **child.about)
        return True

    # The dead, and what others have left ---------------------------------------------------------

    def _settling(self, dead: DeadChild) -> Callable[[], Generator[Call, Any, None]]:
        """The duty of telling the store what became of a dead child's claims; may be repeated."""
        session = dead.child.session

        def settle() -> Generator[Call, Any, None]:
            held: tuple[Claim, ...] = yield from self._ask(lambda store: store.held(session))
            commits = [
                Commit(id=claim.id, fence=claim.fence, outcome=outcome)
                for claim in held
                if (outcome := dead.outcome_of(claim)) is not None
            ]
            if commits:
                yield from self._ask(lambda store: store.exchange(session, commits, None))
            if len(commits) < len(held):
                yield from self._reap(dead=(session,))
            else:
                yield from self._ask(_closing(session))
            self._dead.remove(dead)

        return settle

    def _housekeep(self) -> Generator[Call, Any, None]:
        if self._now < self._housekeeping_at:
            return
        self._housekeeping_at = self._now + _HOUSEKEEPING_S
        asks, patient = self._options.info, self._lapsed_by_ms < (self._renewed_ms or 0)
        turn: Turn = yield from self._ask(lambda store: store.take_turn(asks, patient=patient))
        if turn.lapsed and not patient:
            self._heartbeat_at = self._now  # what counts as lapsed is told from our own renewal
            yield from self._heartbeat()
        gone = tuple(self._processes.gone_sessions(turn.neighbours))
        if turn.reaps or gone or self._more_to_reap:
            self._more_to_reap = yield from self._reap(dead=gone)
        if self._more_to_reap:
            self._housekeeping_at = self._now

    def _reap(self, dead: tuple[str, ...]) -> Generator[Call, Any, bool]:
        """Reap in bounded rounds; returns whether there is more."""
        for _ in range(_REAP_ROUNDS):
            done: Reaped = yield from self._ask(_reaping(dead, self._lapsed_by_ms))
            for letter in done.dead_lettered:
                fields = {"id": letter.id, "task": letter.task, "reason": Reason.DELIVERY_LIMIT}
                events.emit("message.dead_lettered", **fields)
            if done.requeued or done.dead_lettered:
                taken = {"requeued": done.requeued, "dead_lettered": len(done.dead_lettered)}
                events.emit("worker.reaped", worker=self._options.info.worker, **taken)
            if not done.more:
                return False
        return True


def _opening(info: SessionInfo, lease_ms: int) -> Call:
    return lambda store: store.open_session(info, lease_ms)


def _closing(session: str) -> Call:
    return lambda store: store.close_session(session)


def _reaping(dead: tuple[str, ...], by_ms: int) -> Call:
    return lambda store: store.reap(dead, lapsed_by_ms=by_ms)
