"""The exchanger: carries a consumer's exchanges to the store, beside the running bodies.

The consumer decides; this is the thread, the lock and the waiting around it. Bodies run in other
threads (or on a loop), which take claims and hand back outcomes here. Where one thread runs all
bodies, it makes the exchanges itself while it has no body to run: a lone message then passes from
the store to its body, and its outcome to the store, without a turn of another thread.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reliable_tasks import events
from reliable_tasks.core import clock
from reliable_tasks.core.readable import readable
from reliable_tasks.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Claim, ClaimRequest, Exchange
    from reliable_tasks.worker.consumer import Consumer, Request

__all__ = ["Exchanger"]

_LONGEST_WAIT_S = 5.0
_GLANCE_S = 0.1  # a wait for a lock is not ended by a signal: its handler runs after so long
_FIRST_BACKOFF_S = 0.05
_LAST_BACKOFF_S = 2.0
_RECONCILE_S = 15.0  # how long a claim may go unnoticed that nobody told us of


@dataclass(frozen=True, slots=True)
class _Job:
    """What to ask of the store: an exchange, perhaps after waiting for work; None: what is held."""

    request: Request | None
    waits: bool = False


class _Waker:
    """Ends a thread's sleep. All but the sleep itself happens under the exchanger's lock."""

    def __init__(self) -> None:
        self.wake_fd, self._wake_end = os.pipe()
        os.set_blocking(self.wake_fd, False)
        os.set_blocking(self._wake_end, False)
        self._asleep = False

    def arm(self) -> None:
        """A sleep begins: from now on `wake` has to end it."""
        self._asleep = True

    def wake(self) -> None:
        """End the sleep, if there is one."""
        if self._asleep:
            self._asleep = False
            os.write(self._wake_end, b"!")

    def clear(self) -> None:
        """Reset after waking."""
        self._asleep = False
        try:
            while os.read(self.wake_fd, 512):
                pass
        except BlockingIOError:
            return  # empty, which is what it is read for

    def close(self) -> None:
        """Close both ends of the pipe."""
        os.close(self.wake_fd)
        os.close(self._wake_end)


class Exchanger:
    """Claims for a pool, outcomes from it.

    Args:
        consumer: decides what is exchanged.
        store: where it is exchanged.
        session: whose claims they are.
        on_claims: called after claims have come in, for pools that are not blocked in `take`.
        led: whether the thread that runs the bodies, the only one then, makes exchanges itself
            while it waits in `take`.
        on_word: called whenever the store has answered.
        on_crash: called where the consumer's thread ends by an error, which is not a store's: there
            is nobody any more to commit what bodies come to.
    """

    def __init__(
        self,
        consumer: Consumer,
        store: Store,
        session: str,
        on_claims: Callable[[], object] | None = None,
        *,
        led: bool = False,
        on_word: Callable[[], object] = lambda: None,
        on_crash: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._session = session
        self._on_claims = on_claims
        self._led = led
        self._on_word = on_word
        self._on_crash = on_crash
        self._changed = threading.Condition(threading.Lock())
        self._wakers = self._own_waker, self._bodies_waker = _Waker(), _Waker()
        self._takers = 0  # threads that wait for a claim
        self._asking = False  # whether a thread waits for an answer of the store
        self._trouble: StoreError | None = None  # what came instead of one, to a thread of bodies
        self._reconciled_at = clock.monotonic()
        self._thread = threading.Thread(target=self._consume, name="consumer", daemon=True)

    def start(self) -> None:
        """Begin to consume."""
        self._thread.start()

    def join(self) -> None:
        """Wait until all is committed, once the consumer drains."""
        self._thread.join()
        for waker in self._wakers:
            waker.close()

    # For the pool --------------------------------------------------------------------------------

    def take(self) -> Claim | None:
        """The next claim to run; blocks. None when there will be none any more."""
        with self._changed:
            return self._wait_for_next()

    def done_then_take(self, claim: Claim, outcome: Outcome) -> Claim | None:
        """`done`, and then `take`."""
        with self._changed:
            self._consumer.ended(claim, outcome, clock.monotonic())
            taken = self._next()
            if taken is None and self._led:
                return self._wait_for_next()
            self._wake()
            return self._wait_for_next() if taken is None else taken

    def _wait_for_next(self) -> Claim | None:
        self._takers += 1
        try:
            while (claim := self._next()) is None:
                if self.over:
                    return None
                if not self._led or self._asking or self._ails or not self._lead():
                    self._changed.wait(_GLANCE_S if self._led else None)
            return claim
        finally:
            self._takers -= 1
            if self.over:
                self._own_waker.wake()  # what is left to be committed is that thread's to do

    def _lead(self) -> bool:
        """Make an exchange in the thread of the bodies; returns whether there was one to make."""
        job = self._next_job(self._bodies_waker)
        if job is None:
            return False
        self._asking = True
        self._changed.release()
        trouble = None
        try:
            self._ask(job, self._bodies_waker)
        except StoreError as exc:
            trouble = exc
        finally:
            self._changed.acquire()
            self._asking = False
            if trouble is not None:
                self._trouble = trouble
                self._own_waker.wake()
        return True

    def try_take(self) -> Claim | None:
        """The next claim to run, if there is one now."""
        with self._changed:
            return self._next()

    def _next(self) -> Claim | None:
        claim = self._consumer.next_claim(clock.monotonic())
        if claim is not None and self._consumer.waiting:
            self._wake()  # from now on it counts how long the others wait
        return claim

    def done(self, claim: Claim, outcome: Outcome) -> None:
        """An attempt has come to an outcome; it is committed as soon as the store listens."""
        with self._changed:
            self._consumer.ended(claim, outcome, clock.monotonic())
            self._wake()

    @property
    def over(self) -> bool:
        """Whether there will be no claims any more."""
        return self._consumer.draining and not self._consumer.waiting

    def drain(self) -> None:
        """Claim no more, finish what runs. Safe to call from a signal handler's thread."""
        with self._changed:
            self._consumer.drain()
            self._changed.notify_all()
            self._wake()

    def _wake(self) -> None:
        """Wake who waits for the store or for something to ask it. Called under the lock."""
        for waker in self._wakers:
            waker.wake()

    @property
    def _ails(self) -> bool:
        """Whether the store failed us last: the consumer's thread sees to that, with patience."""
        return self._trouble is not None or self._consumer.uncertain

    # The consumer's thread -----------------------------------------------------------------------

    def _consume(self) -> None:
        try:
            self._pump()
        except BaseException as exc:
            if self._on_crash is None:
                raise
            self._on_crash(exc)

    def _pump(self) -> None:
        backoff_s = 0.0
        while not self._consumer.finished:
            try:
                self._turn()
                if backoff_s:
                    backoff_s = 0.0
                    events.emit("store.recovered", store=self._store.location, after=None)
            except StoreError as exc:
                # Whatever ails the store, outcomes are kept and said again until it listens.
                with self._changed:
                    self._trouble = None
                    self._consumer.failed()
                if not backoff_s:
                    events.emit("store.unavailable", store=self._store.location, error=str(exc))
                backoff_s = min(_LAST_BACKOFF_S, max(_FIRST_BACKOFF_S, backoff_s * 2))
                clock.sleep(backoff_s)
        self._tell_pool()

    def _turn(self) -> None:
        """Ask the store for what is next, or sleep until there is something to ask."""
        with self._changed:
            if self._trouble is not None:
                raise self._trouble
            others = self._asking or (self._led and self._takers and not self._ails)
            job = None if others else self._next_job(self._own_waker)
            if job is not None:
                self._asking = True
            elif self._consumer.finished:
                return
            else:
                self._own_waker.arm()
                rest_s = self._rest_s()
        if job is None:
            readable(self._own_waker.wake_fd, rest_s)
            with self._changed:
                self._own_waker.clear()
            return
        try:
            self._ask(job, self._own_waker)
        finally:
            with self._changed:
                self._asking = False
                if self._led:
                    self._changed.notify_all()

    def _rest_s(self) -> float:
        """How long there will be nothing to ask, if no body ends and nobody rings."""
        overdue_at = self._consumer.overdue_at()
        if overdue_at is None:
            return _LONGEST_WAIT_S
        return max(0.0, min(_LONGEST_WAIT_S, overdue_at - clock.monotonic()))

    # In whichever thread -------------------------------------------------------------------------

    def _next_job(self, waker: _Waker) -> _Job | None:
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

    def _ask(self, job: _Job, waker: _Waker) -> None:
        request = job.request
        if request is None:
            # Not just once, because a request that was given up for lost may reach the store after
            # we have asked what it did, and make claims then.
            held = self._store.held(self._session)
            self._on_word()
            self._reconciled_at = clock.monotonic()
            with self._changed:
                self._consumer.reconcile(held)
            self._tell_pool()
            return
        if job.waits and request.want is not None:
            reply = self._wait_then_claim(request.want, waker)
        else:
            reply = self._store.exchange(self._session, request.commits, request.want)
        self._on_word()
        with self._changed:
            stale = self._consumer.replied(reply)
            waiting = self._consumer.waiting
        for commit in stale:
            events.emit("attempt.stale", id=commit.id, fence=commit.fence)
        if waiting or reply.lost:
            self._tell_pool()

    def _wait_then_claim(self, want: ClaimRequest, waker: _Waker) -> Exchange:
        """Wait for work, or for the waker, and claim."""
        timeout = min(_LONGEST_WAIT_S, self._consumer.patience_s)
        try:
            return self._store.wait_then_claim(self._session, want, timeout, waker.wake_fd)
        finally:
            with self._changed:
                waker.clear()

    def _tell_pool(self) -> None:
        with self._changed:
            self._changed.notify_all()
        if self._on_claims is not None:
            self._on_claims()
