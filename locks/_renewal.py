"""What a lease knows about itself, and the thread that renews it.

The thread is not the holder's: a body that blocks its event loop, or waits for long, keeps its
lease. It measures with this process's monotonic clock from before each call, so it believes the
lease to end a moment before the store does, never after.
"""

import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from locks import _clock, _ops
from locks._backend import Backend
from locks._ops import Options, Subject, Taken
from locks.errors import LeaseLost, LockError, LockStoreError

__all__ = ["Holding", "Renewer"]

_log = logging.getLogger("locks")


class Holding:
    """The holder's side of one lease: until when it is safe to believe in it, and whether it went.

    Args:
        subject: what is held.
        owner: the token in the store.
        taken: what the store said.
        started: monotonic seconds from before the call that took it.
        options: how it is to be held.
        ttl_ms: for how long it was taken.
    """

    def __init__(
        self,
        subject: Subject,
        owner: str,
        taken: Taken,
        started: float,
        options: Options,
        ttl_ms: int,
    ) -> None:
        self.subject = subject
        self.owner = owner
        self.taken = taken
        self.started = started
        self.options = options
        self.until_ms = taken.until_ms
        self.deadline = started + ttl_ms / 1000
        self.pid = os.getpid()
        self.released = False
        self.reason: str | None = None
        self.ended = threading.Event()
        self._mutex = threading.Lock()

    @property
    def valid(self) -> bool:
        """Whether it is safe to believe that the lease is held."""
        return (
            not self.released
            and self.reason is None
            and self.pid == os.getpid()
            and _clock.monotonic() < self.deadline
        )

    def next_ttl_ms(self, ttl_ms: int | None = None) -> int:
        """For how long to renew now; 0 where max_hold is used up."""
        held_ms = int((_clock.monotonic() - self.started) * 1000)
        return _ops.held_ttl_ms(self.options, held_ms, ttl_ms)

    def extend(self, until_ms: int | None, started: float, ttl_ms: int) -> None:
        """Note what the store said to a renewal; raise LeaseLost where it said no."""
        if until_ms is None:
            self.lose("the store has no such lease any more")
            raise self.lost_error()
        self.until_ms = until_ms
        self.deadline = started + ttl_ms / 1000

    def lose(self, reason: str) -> bool:
        """Note that the lease is lost; whether this was news."""
        with self._mutex:
            if self.released or self.reason is not None:
                return False
            self.reason = reason
        self.ended.set()
        return True

    def lost_error(self) -> LeaseLost:
        """The error that says how the lease was lost."""
        reason = self.reason or "its time ended before it was renewed"
        return LeaseLost(
            f"the lease of {self.subject.kind} {self.subject.name!r} with fence "
            f"{self.taken.fence} is lost: {reason}"
        )

    def check(self) -> None:
        """Raise LeaseLost unless it is safe to believe that the lease is held."""
        if not self.valid:
            self.check_process()
            raise LeaseLost("the lease was released") if self.released else self.lost_error()

    def check_process(self) -> None:
        """Raise LockError in a fork of the process that holds the lease."""
        if self.pid != os.getpid():
            raise LockError(
                f"the lease of {self.subject.name!r} belongs to process {self.pid}, of which this "
                "one is a fork; a fork must take the lock itself"
            )


class Renewer(threading.Thread):
    """Renews a lease at a third of its time to live until it ends or is lost.

    Args:
        holding: the lease.
        connect: opens the store for this thread.
        on_lost: called in this thread, once, when the lease is lost.
    """

    def __init__(
        self,
        holding: Holding,
        connect: Callable[[], AbstractContextManager[Backend]],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(name=f"locks-renew-{holding.subject.name}", daemon=True)
        self._holding = holding
        self._connect = connect
        self._on_lost = on_lost

    def run(self) -> None:
        """Renew until told to stop."""
        holding = self._holding
        pause = _ops.renew_pause_s(holding.options)
        try:
            while not holding.ended.wait(self._until_due(pause)):
                pause = self._step()
        except Exception as error:  # noqa: BLE001
            # Whatever broke here, the holder must hear that nobody renews any more.
            _log.exception("renewal of %s ended", holding.subject.name)
            holding.lose(f"its renewal failed: {error!r}")
        if holding.reason is not None:
            self._tell()

    def _until_due(self, pause: float) -> float:
        return max(0.0, min(pause, self._holding.deadline - _clock.monotonic()))

    def _step(self) -> float:
        """Renew once; the seconds after which to go on."""
        holding = self._holding
        started = _clock.monotonic()
        ttl_ms = holding.next_ttl_ms()
        if started + ttl_ms / 1000 <= holding.deadline + 0.001:
            if started >= holding.deadline:
                holding.lose(f"it was held for max_hold, {holding.options.max_hold_ms} ms")
            return _ops.renew_pause_s(holding.options)
        # A call can hang for as long as the client's timeouts let it; the holder must hear of the
        # end of its lease all the same. So the call has a thread of its own, and this one waits.
        attempt = _Attempt(holding, self._connect, started, ttl_ms)
        attempt.start()
        attempt.join(max(0.0, holding.deadline - _clock.monotonic()))
        if attempt.renewed:
            return _ops.renew_pause_s(holding.options)
        if _clock.monotonic() >= holding.deadline:
            holding.lose(f"it could not be renewed in time: {attempt.error or 'no answer'}")
        return _ops.retry_pause_s(holding.options)

    def _tell(self) -> None:
        _log.warning("%s", self._holding.lost_error())
        try:
            self._on_lost()
        except Exception:  # noqa: BLE001 - the user's callback; there is nobody else to tell
            _log.exception("on_lost of %s failed", self._holding.subject.name)


class _Attempt(threading.Thread):
    """One renewal."""

    def __init__(
        self,
        holding: Holding,
        connect: Callable[[], AbstractContextManager[Backend]],
        started: float,
        ttl_ms: int,
    ) -> None:
        super().__init__(name=f"locks-call-{holding.subject.name}", daemon=True)
        self._holding = holding
        self._connect = connect
        self._began = started
        self._ttl_ms = ttl_ms
        self.renewed = False
        self.error: LockError | None = None

    def run(self) -> None:
        """Ask the store, and note what it says."""
        holding = self._holding
        try:
            with self._connect() as backend:
                until_ms = backend.renew(holding.subject, holding.owner, self._ttl_ms)
            if not holding.ended.is_set():
                holding.extend(until_ms, self._began, self._ttl_ms)
                self.renewed = True
        except LeaseLost:
            return  # the holding knows
        except LockStoreError as error:
            self.error = error  # worth trying again
        except Exception as error:  # noqa: BLE001 - a thread of its own: who would see it?
            _log.exception("renewal of %s failed", holding.subject.name)
            holding.lose(f"its renewal failed: {error!r}")
