"""A worker in the test's own thread: the real consumer and executor, stepped until all is done."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reliable_tasks.attempts.executor import Executor, StartedAttempt
from reliable_tasks.core import clock, ids
from reliable_tasks.core.message import LIVE_STATES, State
from reliable_tasks.store.values import MessageQuery, SessionInfo, every_of
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.pools.base import FencedStore

from .binding import time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliable_tasks.app import App
    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.values import Claim

    from .time import VirtualTime

__all__ = ["InlineWorker", "NotIdle", "Ran", "run_until_idle"]

_FOR_EVER_MS = 10**12  # a session that lapses with virtual time would take its claims away
_SHOWN = 5
_BRIDGES = "reliable_tasks."  # queues that bridges alone serve


class NotIdle(AssertionError):
    """Some messages never reach a final state."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One attempt that was run.

    Attributes:
        id: of the message.
        task: name of the task.
        attempt: 1 for the first, one more for each retry.
        outcome: how it ended: "Succeeded", "Failed", "Retry", …
    """

    id: str
    task: str
    attempt: int
    outcome: str


def run_until_idle(app: App, *, max_steps: int = 10_000, advance: bool = True) -> tuple[Ran, ...]:
    """Run what is enqueued, and what that enqueues, in this thread; returns what ran, in order.

    Args:
        app: bound to a store in memory: the fixture `task_app`, or within `bound(app)`.
        max_steps: how many attempts may run.
        advance: where nothing is due, move virtual time to when something is. Without it, what is
            not due yet is left where it is.

    Raises:
        NotIdle: `max_steps` attempts have run and there is more; or messages are left that nothing
            will ever start.
        ConfigError: the app is not bound to a store in memory.
    """
    worker = InlineWorker(app, time_of(app))
    worker.run(max_steps, advance=advance)
    return tuple(worker.ran)


class InlineWorker:
    """One session's worth of a worker, without threads.

    Args:
        app: whose tasks.
        time: of its store.
        after_body: called when a body has ended, before anything comes of that.

    Attributes:
        session: its id in the store.
        ran: the attempts so far.
    """

    def __init__(
        self, app: App, time: VirtualTime, after_body: Callable[[], object] = lambda: None
    ) -> None:
        self._time = time
        self._after_body = after_body
        self._store = app.store
        outlived = (Exception, SystemExit, asyncio.CancelledError)  # see _attempt
        self._executor = Executor(app, "test@localhost", timer=time.monotonic, outlived=outlived)
        self._consume(app.settings.task_default_queue)
        self.session = ids.new_id()
        self.ran: list[Ran] = []

    def _consume(self, *queues: str) -> None:
        self._queues = queues
        self._consumer = Consumer(queues, ahead_s=0.0)

    def run(self, max_steps: int, *, advance: bool) -> None:
        """Work until nothing is left to do; see `run_until_idle`."""
        with self.opened(_FOR_EVER_MS):
            self._until_idle(max_steps, advance=advance)

    @contextlib.contextmanager
    def opened(self, lease_ms: int) -> Iterator[None]:
        """Within the block, the store has a session for this worker."""
        self._store.open_session(SessionInfo(id=self.session, worker="test@localhost"), lease_ms)
        try:
            yield
        except Exception:
            self._store.close_session(self.session)
            raise
        self._store.close_session(self.session)

    def _until_idle(self, max_steps: int, *, advance: bool) -> None:
        while True:
            self._work(max_steps)
            reaped = self._store.reap()  # what supervisors do beside the work
            moved = (reaped.requeued, reaped.promoted, reaped.expired, reaped.unparked)
            if not (reaped.more or any(moved) or reaped.dead_lettered or reaped.deleted):
                due = self._next_instant(reaped.next_due_ms) if advance else None
                if due is None:
                    break
                self._time.advance_to_ms(due)
            self._consumer.woken()
        if advance:
            self._check_idle()

    def _work(self, max_steps: int) -> None:
        """Claim, run and commit until the store has nothing for now."""
        # The consumer measures how long bodies take, and that is real time.
        while not self._consumer.finished:  # it is, early, when its session was taken away
            if self._consumer.starved(clock.monotonic()) and not self._more_queues():
                return
            request = self._consumer.request(clock.monotonic())
            if request is not None:
                reply = self._store.exchange(self.session, request.commits, request.want)
                self._consumer.replied(reply)
            claim = self._consumer.next_claim(clock.monotonic())
            if claim is None:
                continue
            if len(self.ran) >= max_steps:
                raise NotIdle(
                    f"{max_steps} attempts have run and {claim.task}[{claim.id}] is next: is "
                    "something retried or enqueued for ever? (max_steps=)"
                )
            outcome = self._attempt(claim)
            self.ran.append(Ran(claim.id, claim.task, claim.attempt, type(outcome).__name__))
            self._consumer.ended(claim, outcome, clock.monotonic())

    def _more_queues(self) -> bool:
        """Start consuming new queues; return whether there were any."""
        there = [q for q in self._store.counts().queues if not q.startswith(_BRIDGES)]
        found = sorted({*self._queues, *there})
        if len(found) == len(self._queues) or not self._consumer.idle:
            return False
        self._consume(*found)
        return True

    def _attempt(self, claim: Claim) -> Outcome:
        context = contextvars.copy_context()
        store = FencedStore(self._store, claim)
        started = context.run(self._executor.begin, claim, store)
        if not isinstance(started, StartedAttempt):
            return started
        try:
            value = context.run(_call, started)
            self._after_body()
        except (Exception, SystemExit, asyncio.CancelledError) as exc:  # noqa: BLE001 - as pools do
            # But for what pytest raises to fail or skip a test, for Ctrl-C, and for a `Death`.
            return context.run(self._executor.raised, started, exc)
        return context.run(self._executor.returned, started, value)

    def _next_instant(self, due: int | None) -> int | None:
        """When the next thing happens by itself: a message is due or expires, or a lock lapses."""
        instants = [] if due is None else [due]
        instants += [lock.until_ms for lock in self._store.locks() if lock.until_ms and lock.parked]
        waiting = every_of(self._store.find, MessageQuery(state=State.WAITING))
        instants += [r.expires_ms for r in waiting if r.expires_ms is not None]
        return min(instants, default=None)

    def _check_idle(self) -> None:
        queries = [MessageQuery(state=state) for state in LIVE_STATES]
        left = [r for query in queries for r in every_of(self._store.find, query)]
        if left:
            named = ", ".join(f"{r.task}[{r.id}] is {r.state}" for r in left[:_SHOWN])
            raise NotIdle(f"{len(left)} messages will never start: {named}")


def _call(started: StartedAttempt) -> Any:
    if started.is_async:
        return asyncio.run(started.run(*started.args, **started.kwargs))
    return started.run(*started.args, **started.kwargs)
