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

from reliable_tasks import events
from reliable_tasks.core import ids
from reliable_tasks.core.outcome import Revoked
from reliable_tasks.errors import StoreError, StoreUnavailable
from reliable_tasks.store.values import Commit

from .children import Backoff, Burial, Child, ProcessControl, SupervisorOptions, sentence, spared
from .store_calls import Answer, InlineCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Claim, Command, Heartbeat, Reaped, SessionInfo

    from .store_calls import Call, StoreCalls

__all__ = ["Child", "ProcessControl", "Stopping", "Supervisor", "SupervisorOptions"]

_HOUSEKEEPING_S = 1.0
_MAX_BACKOFF_S = 5.0
_MIN_CHILD_LIFE_S = 1.0  # a child that dies younger is replaced with growing delays
_LAST_WORDS_S = 5.0  # after a cold stop, how long to try to tell the store; leases do the rest
_GENTLE_S = 10.0  # for a body that was told by SIGTERM that its message was revoked
_REAP_ROUNDS = 20  # bounded rounds of housekeeping in one round of duties
_ANSWERING_S = 3.0  # a store that said something so lately is there, and we do not stand still


class Stopping(Enum):
    """How the worker is going down."""

    NO = auto()
    WARM = auto()
    """What runs is finished, the rest is given back."""
    COLD = auto()
    """Everything is given back now."""


class Supervisor:
    """Keeps `options.children` children at work.

    Args:
        store: where their sessions are.
        processes: does what is done to processes.
        options: see there.
        calls: how the store is asked; at once, if it is not given.
    """

    def __init__(
        self,
        store: Store,
        processes: ProcessControl,
        options: SupervisorOptions,
        calls: StoreCalls | None = None,
    ) -> None:
        self._location = store.location
        self._processes = processes
        self._options = options
        self._calls: StoreCalls = calls or InlineCalls(store)
        self._children: dict[int, Child] = {}
        self._burials: list[Burial] = []
        self._round: Generator[Call, Any, None] | None = None
        self._now = 0.0
        self._began: float | None = None
        self._heartbeat_at = self._housekeeping_at = 0.0
        longest_s = min(_MAX_BACKOFF_S, options.heartbeat_s)
        self._store_backoff, self._spawn_backoff = Backoff(longest_s), Backoff(_MAX_BACKOFF_S)
        self._away_since: float | None = None
        self._word_at, self._heard = float("-inf"), False
        self._renewed_ms: int | None = None
        self._patient_until_ms = self._lapsed_by_ms = 0
        self._stop_by: float | None = None
        self.stopping = Stopping.NO

    @property
    def children(self) -> tuple[Child, ...]:
        """The children that live."""
        return tuple(self._children.values())

    @property
    def finished(self) -> bool:
        """Whether it was told to stop, and nothing of it is left."""
        left = self._children or self._burials or self._round is not None
        return self.stopping is not Stopping.NO and not left

    def step(self, now: float) -> None:
        """Do what is due."""
        passed, self._now = now - self._now, now
        if self._began is None:
            self._began = now
        self._notice_deaths(now)
        self._watch_limits(now)
        self._watch_progress(passed)
        self._go_on()
        if self._stop_by is not None and now >= self._stop_by:
            if self.stopping is Stopping.WARM and self._children:
                self.stop(Stopping.COLD, now)
            elif not self._children:
                self._burials.clear()
                self._round = None

    def next_due(self, now: float) -> float:
        """When `step` is to be called again, if nothing happens before."""
        duties = min(self._heartbeat_at, self._housekeeping_at)
        deadlines = [
            at
            for child in self._children.values()
            for posted in self._processes.running(child.pid)
            for at in (posted.soft_deadline, posted.hard_deadline)
            if at > now
        ]
        return min([max(self._store_backoff.until, duties), *deadlines])

    # Stopping ------------------------------------------------------------------------------------

    def stop(self, how: Stopping, now: float) -> None:
        """Go down; a second, harder word is obeyed as well."""
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
                    self._kill(child)

    # What is watched, whatever the store does ----------------------------------------------------

    def _notice_deaths(self, now: float) -> None:
        for pid, ended in self._processes.dead():
            child = self._children.pop(pid, None)
            if child is None:
                continue
            running = self._processes.running(pid)
            how = "exit code 0 in the middle of a body" if running and not ended else ended
            if child.killed and child.sentences:  # some may have come to their limits meanwhile
                sentence(child, running, now)
            revoked = any(isinstance(child.sentences.get(p.fence), Revoked) for p in running)
            self._burials.append(Burial(child, self._processes.begun(pid)))
            self._processes.forget(pid)
            if not child.killed and not revoked and how:
                ids_ = [p.id for p in running]
                events.emit("child.died", **child.about, how=how, ids=ids_)
                if now - child.born < _MIN_CHILD_LIFE_S:
                    self._spawn_backoff.fail(now)
                    continue
            self._spawn_backoff.reset()

    def _watch_limits(self, now: float) -> None:
        for child in self._children.values():
            if child.killed:
                continue
            for posted in self._processes.running(child.pid):
                if 0 < posted.hard_deadline <= now:
                    if not spared(child, posted, self._processes, now, self._options.grace_s):
                        self._kill(child)
                        break
                elif 0 < posted.soft_deadline <= now and posted.fence not in child.soft_told:
                    child.remember_only(self._processes.begun(child.pid))
                    child.soft_told.add(posted.fence)
                    self._processes.soft_limit(child.pid)
                    child.emit_limit("limit.soft", posted, posted.soft_deadline)
                elif child.kill_at.get(posted.fence, now + 1) <= now:
                    self._kill(child)

    def _kill(self, child: Child) -> None:
        sentence(child, self._processes.running(child.pid), self._now)
        child.killed = True
        self._processes.kill(child.pid)

    def _watch_progress(self, passed: float) -> None:
        """Kill a child that runs no body and hears nothing from a store that answers us.

        While a body runs it may hold the interpreter's lock, and nothing else of its process can
        move; the limits see to that.
        """
        answers = self._now - self._word_at < _ANSWERING_S
        for child in self._children.values():
            words = self._processes.words(child.pid)
            moves = not words or words != child.words or self._processes.running(child.pid)
            child.words = words
            child.quiet_s = child.quiet_s + passed if answers and not moves else 0.0
            if child.quiet_s >= self._options.patience_s and not child.killed:
                reason = f"it heard nothing from the store for {child.quiet_s:.0f} s"
                events.emit("child.stuck", **child.about, reason=reason)
                self._kill(child)

    # Rounds of duties ----------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Take the answer of the store, if it has come, and ask for what is next."""
        if self._round is None:
            if self._now < self._store_backoff.until:
                return
            self._heard = False
            self._resume(self._duties(), Answer())
        while self._round is not None:
            answer = self._calls.take()
            if answer is None:
                return
            if answer.error is None:
                self._word_at, self._heard = self._now, True
            self._resume(self._round, answer)

    def _resume(self, duties: Generator[Call, Any, None], answer: Answer) -> None:
        self._round = None
        try:
            call = duties.throw(answer.error) if answer.error else duties.send(answer.value)
        except StopIteration:
            if self._heard:  # else nothing was due, and the store was not asked
                self._store_answers()
        except Exception as exc:  # noqa: BLE001 - to die of it would take the running bodies along
            self._store_away(exc)
        else:
            self._round = duties
            self._calls.send(call)

    def _duties(self) -> Generator[Call, Any, None]:
        """What needs the store: children come before the care for what others have left behind."""
        failed: Exception | None = None
        duties = [self._heartbeat, *(self._burying(burial) for burial in self._burials)]
        for duty in (*duties, self._replenish, self._housekeep):
            try:
                yield from duty()
            except StoreUnavailable:
                raise
            except Exception as exc:  # noqa: BLE001 - the trouble of one must not keep others waiting
                failed = exc
        if failed is not None:
            raise failed

    def _ask(self, call: Call) -> Generator[Call, Any, Any]:
        """Ask the store; heartbeats do not wait for anything else."""
        yield from self._heartbeat()
        return (yield call)

    # Sessions ------------------------------------------------------------------------------------

    def _heartbeat(self) -> Generator[Call, Any, None]:
        if self._now < self._heartbeat_at:
            return
        by_session = {child.session: child for child in self._children.values()}
        mine = (*by_session, *(burial.child.session for burial in self._burials))
        lease_ms = self._options.lease_ms
        reply: Heartbeat = yield lambda store: store.heartbeat(mine, lease_ms)
        self._heartbeat_at = self._now + self._options.heartbeat_s
        self._renewed(reply.now_ms)
        living = {s: child for s, child in by_session.items() if child.pid in self._children}
        for session in reply.lost:
            child = living.get(session)
            if child is not None and not child.retiring:
                # Its commits will be found stale; another child takes its place meanwhile.
                child.retiring = True
                self._processes.drain(child.pid)
                events.emit("session.lost", **child.about)
        for command in reply.commands:
            if command.session in living and not living[command.session].killed:
                self._revoke(living[command.session], command)

    def _revoke(self, child: Child, command: Command) -> None:
        """Tell a body that its message was revoked: once by each signal."""
        runs = command.fence in {p.fence for p in self._processes.running(child.pid)}
        if not runs or (command.fence, command.signal) in child.revoked:
            return
        child.remember_only(self._processes.begun(child.pid))
        child.revoked.add((command.fence, command.signal))
        if self._processes.terminate(child.pid, command.fence, command.signal):
            child.sentences[command.fence] = Revoked()
            if command.signal == "SIGTERM":  # any other is the user's own business
                child.kill_at[command.fence] = self._now + _GENTLE_S

    def _renewed(self, now_ms: int) -> None:
        """Others have lapsed by the time at which we could renew our own sessions ourselves.

        Where we could not for a while, others could not either: they get the time to do so before
        anything is taken from them.
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
        while self.stopping is Stopping.NO and self._now >= self._spawn_backoff.until:
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
            self._spawn_backoff.fail(self._now)
            events.emit("child.not_started", error=str(exc), delay=self._spawn_backoff.delay_s)
            return False
        child = self._children[pid] = Child(pid, session, self._options.info.worker, self._now)
        events.emit("child.started", **child.about)
        return True

    # The dead, and what others have left ---------------------------------------------------------

    def _burying(self, burial: Burial) -> Callable[[], Generator[Call, Any, None]]:
        """Tell the store what became of a dead child's claims: each step may be repeated."""
        session = burial.child.session

        def bury() -> Generator[Call, Any, None]:
            held: tuple[Claim, ...] = yield from self._ask(lambda store: store.held(session))
            commits = [
                Commit(id=claim.id, fence=claim.fence, outcome=fate)
                for claim in held
                if (fate := burial.fate(claim)) is not None
            ]
            if commits:
                yield from self._ask(lambda store: store.exchange(session, commits, None))
            if len(commits) < len(held):
                yield from self._reap(dead=(session,))
            else:
                yield from self._ask(_closing(session))
            self._burials.remove(burial)

        return bury

    def _housekeep(self) -> Generator[Call, Any, None]:
        if self._now < self._housekeeping_at:
            return
        self._housekeeping_at = self._now + _HOUSEKEEPING_S
        known: tuple[SessionInfo, ...] = yield from self._ask(lambda store: store.sessions())
        own = {child.session for child in self._children.values()}
        own |= {burial.child.session for burial in self._burials}
        others = tuple(s for s in known if s.id not in own)
        yield from self._reap(dead=tuple(self._processes.gone_sessions(others)))

    def _reap(self, dead: tuple[str, ...]) -> Generator[Call, Any, None]:
        for _ in range(_REAP_ROUNDS):
            done: Reaped = yield from self._ask(_reaping(dead, self._lapsed_by_ms))
            for letter in done.dead_lettered:
                events.emit("message.buried", id=letter.id, task=letter.task)
            if done.requeued or done.dead_lettered:
                taken = {"requeued": done.requeued, "buried": len(done.dead_lettered)}
                events.emit("worker.reaped", worker=self._options.info.worker, **taken)
            if not done.more:
                return

    def _store_away(self, exc: Exception) -> None:
        if not isinstance(exc, StoreError):
            events.emit("worker.internal_error", error=repr(exc))
        elif self._away_since is None:
            self._away_since = self._now
            events.emit("store.unavailable", store=self._location, error=str(exc))
        self._store_backoff.fail(self._now)

    def _store_answers(self) -> None:
        if self._away_since is not None:
            seconds = self._now - self._away_since
            self._away_since = None
            events.emit("store.recovered", store=self._location, after=round(seconds, 1))
        self._store_backoff.reset()


def _opening(info: SessionInfo, lease_ms: int) -> Call:
    return lambda store: store.open_session(info, lease_ms)


def _closing(session: str) -> Call:
    return lambda store: store.close_session(session)


def _reaping(dead: tuple[str, ...], by_ms: int) -> Call:
    return lambda store: store.reap(dead, lapsed_by_ms=by_ms)
