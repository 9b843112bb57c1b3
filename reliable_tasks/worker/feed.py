"""The feed: carries a consumer's exchanges to the store, beside the running bodies.

The consumer decides; this is the thread, the lock and the waiting around it. Bodies run in other
threads (or on a loop), which take claims and hand back outcomes here.
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from reliable_tasks import clock, events
from reliable_tasks.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.outcome import Outcome
    from reliable_tasks.store.base import Store
    from reliable_tasks.store.values import Claim, Exchange, Want

    from .consumer import Consumer

__all__ = ["Feed"]

_LONGEST_WAIT_S = 5.0
_FIRST_BACKOFF_S = 0.05
_LAST_BACKOFF_S = 2.0
_RECONCILE_S = 15.0  # how long a claim may go unnoticed that nobody told us of


class Feed:
    """Claims for a pool, outcomes from it.

    Args:
        consumer: decides what is exchanged.
        store: where it is exchanged.
        session: whose claims they are.
        on_claims: called after claims have come in, for pools that are not blocked in `take`.
    """

    def __init__(
        self,
        consumer: Consumer,
        store: Store,
        session: str,
        on_claims: Callable[[], object] | None = None,
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._session = session
        self._on_claims = on_claims
        self._changed = threading.Condition()
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._asleep = False
        self._reconciled_at = clock.monotonic()
        self._thread = threading.Thread(target=self._pump, name="consumer", daemon=True)

    def start(self) -> None:
        """Begin to consume."""
        self._thread.start()

    def join(self) -> None:
        """Wait until all is committed, once the consumer drains."""
        self._thread.join()
        os.close(self._wake_out)
        os.close(self._wake_in)

    # For the pool --------------------------------------------------------------------------------

    def take(self) -> Claim | None:
        """The next claim to run; blocks. None when there will be none any more."""
        with self._changed:
            return self._wait_for_next()

    def done_then_take(self, claim: Claim, outcome: Outcome) -> Claim | None:
        """`done`, and then `take`."""
        with self._changed:
            self._consumer.ended(claim, outcome, clock.monotonic())
            self._poke()
            return self._wait_for_next()

    def _wait_for_next(self) -> Claim | None:
        while (claim := self._next()) is None:
            if self._consumer.draining and not self._consumer.waiting:
                return None
            self._changed.wait()
        return claim

    def try_take(self) -> Claim | None:
        """The next claim to run, if there is one now."""
        with self._changed:
            return self._next()

    def _next(self) -> Claim | None:
        claim = self._consumer.next_claim(clock.monotonic())
        if claim is not None and self._consumer.waiting:
            self._poke()  # from now on it counts how long the others wait
        return claim

    def done(self, claim: Claim, outcome: Outcome) -> None:
        """An attempt has come to an outcome; it is committed as soon as the store listens."""
        with self._changed:
            self._consumer.ended(claim, outcome, clock.monotonic())
            self._poke()

    @property
    def over(self) -> bool:
        """Whether there will be no claims any more."""
        return self._consumer.draining and not self._consumer.waiting

    def drain(self) -> None:
        """Claim no more, finish what runs. Safe to call from a signal handler's thread."""
        with self._changed:
            self._consumer.drain()
            self._changed.notify_all()
            self._poke()

    def _poke(self) -> None:
        """Wake the consumer's thread if it waits. Called under the lock."""
        if self._asleep:
            self._asleep = False
            os.write(self._wake_in, b"!")

    # The consumer's thread -----------------------------------------------------------------------

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
                    self._consumer.failed()
                if not backoff_s:
                    events.emit("store.unavailable", store=self._store.location, error=str(exc))
                backoff_s = min(_LAST_BACKOFF_S, max(_FIRST_BACKOFF_S, backoff_s * 2))
                clock.sleep(backoff_s)
        self._tell_pool()

    def _turn(self) -> None:
        consumer = self._consumer
        if consumer.uncertain or clock.monotonic() - self._reconciled_at >= _RECONCILE_S:
            # The second, because a request that was given up for lost may reach the store after we
            # have asked what it did, and make claims then.
            held = self._store.held(self._session)
            self._reconciled_at = clock.monotonic()
            with self._changed:
                consumer.reconcile(held)
            self._tell_pool()
            return
        with self._changed:
            now = clock.monotonic()
            request, waits = consumer.request(now), False
            if request is None and consumer.starved(now):
                consumer.woken()  # asked before there is work, to be answered when there is
                request = consumer.request(now)
                waits = request is not None and not request.commits
            self._asleep = waits or (request is None and not consumer.finished)
            overdue_at = consumer.overdue_at()
        if request is None:
            if not consumer.finished:
                self._rest(overdue_at)
            return
        if waits and request.want is not None:
            reply = self._wait_then_claim(request.want)
        else:
            reply = self._store.exchange(self._session, request.commits, request.want)
        with self._changed:
            stale = consumer.replied(reply)
        for commit in stale:
            events.emit("attempt.stale", id=commit.id, fence=commit.fence)
        if reply.claims or reply.lost:
            self._tell_pool()

    def _wait_then_claim(self, want: Want) -> Exchange:
        """Wait for work, or for a body to end, and claim."""
        timeout = min(_LONGEST_WAIT_S, self._consumer.patience_s)
        try:
            return self._store.wait_then_claim(self._session, want, timeout, self._wake_out)
        finally:
            self._awake()

    def _rest(self, overdue_at: float | None) -> None:
        """Wait for a body to end, or for claims to become overdue."""
        timeout = _LONGEST_WAIT_S
        if overdue_at is not None:
            timeout = max(0.0, min(timeout, overdue_at - clock.monotonic()))
        try:
            select.select([self._wake_out], [], [], timeout)
        finally:
            self._awake()

    def _awake(self) -> None:
        with self._changed:
            self._asleep = False
            self._drain_pipe()

    def _drain_pipe(self) -> None:
        try:
            while os.read(self._wake_out, 512):
                pass
        except BlockingIOError:
            return  # empty, which is what it is read for

    def _tell_pool(self) -> None:
        with self._changed:
            self._changed.notify_all()
        if self._on_claims is not None:
            self._on_claims()
