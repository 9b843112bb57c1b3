"""The exchanger: carries a consumer's exchanges to the store, beside the running bodies.

The consumer decides; this is the thread, the lock and the waiting around it. Bodies run in other
threads (or on a loop), which take claims and hand back outcomes here.

There are two kinds. A `ThreadedExchanger` makes every exchange in the consumer's thread. Where one
thread runs all bodies, an `InlineExchanger` lets that thread exchange while it has no body to run.
A lone message then passes from the store to its body, and its outcome to the store, without waking
another thread.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import events
from reliable_tasks.core import clock
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.core.waker import Waker
from reliable_tasks.errors import StoreError
from reliable_tasks.worker.store_health import StoreHealth

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.protocol import WorkerStore
    from reliable_tasks.store.values import Claim, ClaimRequest, Exchange
    from reliable_tasks.worker.consumer import Consumer, Request

__all__ = ["Exchanger", "InlineExchanger", "ThreadedExchanger"]

_LONGEST_WAIT_S = 5.0
_GLANCE_S = 0.1  # a wait for a lock is not ended by a signal: its handler runs after so long
_STORE_BACKOFF = Backoff(first_s=0.05, longest_s=2.0)
_RECONCILE_S = 15.0  # how long a claim may go unnoticed that nobody told us of


class _Job(msgspec.Struct, frozen=True):
    """What to ask of the store: an exchange, perhaps after waiting for work; None: what is held."""

    request: Request | None
    waits: bool = False


class _SleepWaker(Waker):
    """A waker that costs a system call only while a thread sleeps.

    All but the sleep itself happens under the exchanger's lock.
    """

    asleep = False

    def arm(self) -> None:
        """A sleep begins: from now on `wake` has to end it."""
        self.asleep = True

    def wake(self) -> None:
        """End the sleep, if there is one."""
        if self.asleep:
            self.asleep = False
            super().wake()

    def clear(self) -> None:
        """Reset after waking; if nobody ended the sleep, nothing was written."""
        if self.asleep:
            self.asleep = False
        else:
            super().clear()


class Exchanger:
    """Claims for a pool, outcomes from it; what both kinds share.

    Args:
        consumer: decides what is exchanged.
        store: where it is exchanged.
        session: whose claims they are.
        on_claims: called after claims have come in, for pools that are not blocked in `take`.
        on_answer: called whenever the store has answered.
        on_crash: called when the consumer's thread ends with an error that is not a store's: nobody
            is left to commit the outcomes of bodies.
    """

    def __init__(
        self,
        consumer: Consumer,
        store: WorkerStore,
        session: str,
        on_claims: Callable[[], object] | None = None,
        *,
        on_answer: Callable[[], object] = lambda: None,
        on_crash: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._session = session
        self._on_claims = on_claims
        self._on_answer = on_answer
        self._on_crash = on_crash
        self._health = StoreHealth(store.location, _STORE_BACKOFF)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._own_waker = _SleepWaker()
        self._reconciled_at = clock.monotonic()
        self._thread = threading.Thread(target=self._consume, name="consumer", daemon=True)

    def start(self) -> None:
        """Begin to consume."""
        self._thread.start()

    def join(self) -> None:
        """Wait until everything is committed, once the consumer drains."""
        self._thread.join()
        self._own_waker.close()

    # For the pool --------------------------------------------------------------------------------

    def take(self) -> Claim | None:
        """Block until there is a claim to run; None when there will be none any more."""
        with self._lock:
            return self._wait_for_next()

    def try_take(self) -> Claim | None:
        """The next claim to run, if there is one now."""
        with self._lock:
            return self._next()

    def done(self, claim: Claim, outcome: Outcome) -> None:
        """An attempt has come to an outcome, which is committed as soon as the store listens."""
        with self._lock:
            self._consumer.ended(claim, outcome, clock.monotonic())
            self._wake()

    def done_then_take(self, claim: Claim, outcome: Outcome) -> Claim | None:
        """`done`, and then `take`."""
        raise NotImplementedError

    @property
    def over(self) -> bool:
        """Whether there will be no claims any more."""
        return self._consumer.draining and not self._consumer.waiting

    def drain(self) -> None:
        """Claim no more and finish what runs. Safe to call from a signal handler's thread."""
        with self._lock:
            self._consumer.drain()
            self._changed.notify_all()
            self._wake()

    def _next(self) -> Claim | None:
        claim = self._consumer.next_claim(clock.monotonic())
        if claim is not None and self._consumer.waiting:
            self._wake()  # from now on it counts how long the others wait
        return claim

    def _wait_for_next(self) -> Claim | None:
        """`take`, under the lock."""
        raise NotImplementedError

    def _wake(self) -> None:
        """Wake whoever waits for the store, or for something to ask it. Called under the lock."""
        self._own_waker.wake()

    # The consumer's thread -----------------------------------------------------------------------

    def _consume(self) -> None:
        try:
            self._pump()
        except BaseException as exc:
            if self._on_crash is None:
                raise
            self._on_crash(exc)

    def _pump(self) -> None:
        while not self._consumer.finished:
            try:
                self._turn()
                self._health.answered(clock.monotonic())
            except StoreError as exc:
                # Whatever ails the store, outcomes are kept and said again until it listens.
                with self._lock:
                    self._failed()
                self._health.failed(exc, clock.monotonic())
                clock.sleep(self._health.pause_s)
        self._tell_pool()

    def _failed(self) -> None:
        self._consumer.failed()

    def _turn(self) -> None:
        """Ask the store for what is next, or sleep until there is something to ask."""
        with self._lock:
            job = self._next_job(self._own_waker) if self._may_ask() else None
            if job is None:
                if self._consumer.finished:
                    return
                self._own_waker.arm()
                rest_s = self._rest_s()
        if job is not None:
            self._ask(job, self._own_waker)
            return
        self._own_waker.wait(rest_s)
        with self._lock:
            self._own_waker.clear()

    def _may_ask(self) -> bool:
        """Whether the exchanges are this thread's to make now. Called under the lock."""
        return True

    def _rest_s(self) -> float:
        """How long there will be nothing to ask, if no body ends and nobody wakes us."""
        overdue_at = self._consumer.overdue_at()
        if overdue_at is None:
            return _LONGEST_WAIT_S
        return max(0.0, min(_LONGEST_WAIT_S, overdue_at - clock.monotonic()))

    # In whichever thread -------------------------------------------------------------------------

    def _next_job(self, waker: _SleepWaker) -> _Job | None:
        """What to ask of the store now; None for nothing. Called under the lock."""
        consumer, now = self._consumer, clock.monotonic()
        if consumer.uncertain or now - self._reconciled_at >= _RECONCILE_S:
            return _Job(None)
        request, waits = consumer.request(now), False
        if request is None and consumer.starved(now):
            consumer.woken()  # asked before there is work, to be answered when there is
            request = consumer.request(now)
            waits = request is not None and not request.commits
        if waits:
            waker.arm()
        return None if request is None else _Job(request, waits)

    def _ask(self, job: _Job, waker: _SleepWaker) -> None:
        request = job.request
        if request is None:
            self._reconcile()
            return
        if job.waits and request.want is not None:
            reply = self._wait_then_claim(request.want, waker)
        else:
            reply = self._store.exchange(self._session, request.commits, request.want)
        self._on_answer()
        with self._lock:
            stale = self._consumer.replied(reply)
            waiting = self._consumer.waiting
        for commit in stale:
            outcome = type(commit.outcome).__name__
            events.emit("attempt.stale", id=commit.id, fence=commit.fence, outcome=outcome)
        if waiting or reply.lost:
            self._tell_pool()

    def _reconcile(self) -> None:
        """Ask which claims this session holds.

        Again and again, and not only after a failure: a request given up for lost may reach the
        store after we have asked, and make claims then.
        """
        held = self._store.held(self._session)
        self._on_answer()
        self._reconciled_at = clock.monotonic()
        with self._lock:
            self._consumer.reconcile(held)
        self._tell_pool()

    def _wait_then_claim(self, want: ClaimRequest, waker: _SleepWaker) -> Exchange:
        """Wait for work, or for the waker, and claim."""
        timeout = min(_LONGEST_WAIT_S, self._consumer.patience_s)
        try:
            return self._store.wait_then_claim(self._session, want, timeout, waker.fd)
        finally:
            with self._lock:
                waker.clear()

    def _tell_pool(self) -> None:
        with self._lock:
            self._changed.notify_all()
        if self._on_claims is not None:
            self._on_claims()


class ThreadedExchanger(Exchanger):
    """Makes every exchange in the consumer's thread; any number of threads run bodies."""

    def done_then_take(self, claim: Claim, outcome: Outcome) -> Claim | None:
        """`done`, and then `take`."""
        with self._lock:
            self._consumer.ended(claim, outcome, clock.monotonic())
            self._wake()
            return self._wait_for_next()

    def _wait_for_next(self) -> Claim | None:
        while (claim := self._next()) is None and not self.over:
            self._changed.wait()
        return claim


class InlineExchanger(Exchanger):
    """Exchanges in the one thread that runs bodies while that waits for a claim.

    The consumer's thread makes the exchanges that come due while a body runs, and takes over while
    the store is failing, since it has the patience for that.
    """

    _taking = False  # whether the thread of the bodies waits for a claim
    _asking = False  # whether either thread waits for an answer of the store
    _trouble: StoreError | None = None  # what the thread of the bodies got instead of an answer

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bodies_waker = _SleepWaker()

    def join(self) -> None:
        """Wait until everything is committed, once the consumer drains."""
        super().join()
        self._bodies_waker.close()

    def done_then_take(self, claim: Claim, outcome: Outcome) -> Claim | None:
        """`done`, and then `take`."""
        with self._lock:
            now = clock.monotonic()
            self._consumer.ended(claim, outcome, now)
            taken = self._consumer.next_claim(now)
            if taken is None:
                return self._wait_for_next()  # which commits it
            if self._own_waker.asleep:
                self._own_waker.wake()
            return taken

    def _wait_for_next(self) -> Claim | None:
        self._taking = True
        try:
            while (claim := self._next()) is None and not self.over:
                if self._asking or self._ails or not self._lead():
                    self._changed.wait(_GLANCE_S)
            return claim
        finally:
            self._taking = False
            if self.over:
                self._own_waker.wake()  # what is left to commit is for the consumer's thread

    def _lead(self) -> bool:
        """Make an exchange in the thread of the bodies; returns whether there was one to make.

        Called with the lock held, which is let go while the store answers: the consumer's thread
        must be able to look meanwhile. Nothing decided before is relied on after that, as after any
        wait for a condition.
        """
        job = self._next_job(self._bodies_waker)
        if job is None:
            return False
        self._lock.release()
        trouble = None
        try:
            super()._ask(job, self._bodies_waker)
        except StoreError as exc:
            trouble = exc
        finally:
            self._lock.acquire()  # the caller's `with` releases it
            self._asking = False
            if trouble is not None:
                self._trouble = trouble
                self._own_waker.wake()
        return True

    def _wake(self) -> None:
        super()._wake()
        self._bodies_waker.wake()

    @property
    def _ails(self) -> bool:
        """Whether the store failed us last: the consumer's thread sees to that, with patience."""
        return self._trouble is not None or self._consumer.uncertain

    # The consumer's thread -----------------------------------------------------------------------

    def _failed(self) -> None:
        self._trouble = None
        super()._failed()

    def _may_ask(self) -> bool:
        if self._trouble is not None:
            raise self._trouble
        return not self._asking and (self._ails or not self._taking)

    def _next_job(self, waker: _SleepWaker) -> _Job | None:
        job = super()._next_job(waker)
        self._asking = job is not None
        return job

    def _ask(self, job: _Job, waker: _SleepWaker) -> None:
        try:
            super()._ask(job, waker)
        finally:
            with self._lock:
                self._asking = False
                self._changed.notify_all()
