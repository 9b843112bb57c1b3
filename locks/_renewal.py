"""What a lease knows about itself, and what its renewal is to do next. Nothing here does I/O.

Times are this process's monotonic clock from before each call, so the lease is believed to end a
moment before the store ends it, never after.
"""

import logging
import os
import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol

from locks import _clock, _ops
from locks._backend import Backend
from locks._ops import Options, Subject, Taken
from locks._taker import Taker
from locks.errors import LeaseLost, LockError, LockStoreError

__all__ = ["Holding", "Renewal", "Step", "Told"]

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
        taker: who took it.

    Attributes:
        leaving: it is being given back, so it is not renewed any more.
        block: gives the lock in whose open `with` block the lease is held; None outside of one, and
            where that lock is gone, so that nobody can leave the block.
        ended: how what took it has ended, as those say who ran it; None where they do not.
        on_news: called when the lease is known to be lost.
    """

    def __init__(
        self,
        subject: Subject,
        owner: str,
        taken: Taken,
        started: float,
        options: Options,
        ttl_ms: int,
        taker: Taker,
    ) -> None:
        self.subject = subject
        self.owner = owner
        self.taken = taken
        self.started = started
        self.options = options
        self.taker = taker
        self.until_ms = taken.until_ms
        self.deadline = started + ttl_ms / 1000
        self.pid = os.getpid()
        self.released = False
        self.leaving = False
        self.reason: str | None = None
        self.block: Callable[[], object] = lambda: None
        self.ended: str | None = None
        self.on_news: Callable[[], None] = lambda: None
        self._mutex = threading.RLock()

    @property
    def valid(self) -> bool:
        """Whether it is safe to believe that the lease is held."""
        return (
            not self.released
            and self.reason is None
            and self.pid == os.getpid()
            and _clock.monotonic() < self.deadline
        )

    def next_ttl_ms(self, ttl_ms: int | None = None, now: float | None = None) -> int:
        """For how long to renew now; 0 where max_hold is used up."""
        now = _clock.monotonic() if now is None else now
        return _ops.held_ttl_ms(self.options, int((now - self.started) * 1000), ttl_ms)

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
        self.on_news()
        return True

    def abandoned(self) -> str | None:
        """How its holder ended without giving it back; None while somebody may yet do so."""
        in_block = self.block() is not None
        return self.taker.ending(in_block=in_block) or (None if in_block else self.ended)

    def lost_error(self) -> LeaseLost:
        """The error that says how the lease was lost."""
        reason = self.reason or "its time ended before it was renewed"
        return LeaseLost(f"the lease of {self.words} is lost: {reason}")

    @property
    def words(self) -> str:
        """What it is a lease of, for messages."""
        return f"{self.subject.kind} {self.subject.name!r} with fence {self.taken.fence}"

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


class Told(Protocol):
    """A lease as its renewal sees it: whom to tell of the loss."""

    def _on_lost(self) -> None:
        """Set the lease's event."""


class Step(Enum):
    """What is to be done about a lease."""

    WAIT = "wait"
    RENEW = "renew"
    TELL = "tell"
    END = "end"


class Renewal:
    """The renewal of one lease: decides, with the time passed in, what to do now and when next.

    Args:
        holding: the lease.
        origin: the store that it is in, and the namespace: a store that hangs holds up none but the
            calls of its own, and one connection serves a namespace.
        connect: opens the store for a thread.
        lease: as the user has it.

    Attributes:
        due: when to look at it next, in monotonic seconds.
        calling: the store is being asked.
    """

    def __init__(
        self,
        holding: Holding,
        origin: tuple[Hashable, str],
        connect: Callable[[], AbstractContextManager[Backend]],
        lease: Told,
    ) -> None:
        self.holding = holding
        self.origin = origin
        self.connect = connect
        self.lease = lease
        self.due = min(holding.deadline, holding.started + _ops.renew_pause_s(holding.options))
        self.calling = False
        self.ttl_ms = 0
        self._error: str | None = None
        self._abandoned: str | None = None

    def step(self, now: float) -> Step:
        """Decide what to do now; after WAIT and RENEW, `due` says when to come back."""
        holding = self.holding
        if now >= holding.deadline and not holding.leaving:
            holding.lose(self._why())
        if holding.reason is not None:
            return Step.TELL
        if holding.released or now >= holding.deadline:
            return Step.END  # its holder has let go of it, even if the store did not answer
        self.due = holding.deadline
        if holding.leaving or self.calling or self._is_abandoned():
            return Step.WAIT
        self.ttl_ms = holding.next_ttl_ms(now=now)
        if now + self.ttl_ms / 1000 <= holding.deadline + 0.001:  # nothing would be gained
            self.due = min(holding.deadline, now + _ops.renew_pause_s(holding.options))
            return Step.WAIT
        self.calling = True
        return Step.RENEW

    def call(self, opened: Callable[[], Backend]) -> None:
        """Ask the store, and note what it says; `due` is when to go on."""
        holding, began = self.holding, _clock.monotonic()
        pause = _ops.retry_pause_s(holding.options)
        try:
            until_ms = opened().renew(holding.subject, holding.owner, self.ttl_ms)
            if not holding.leaving:
                holding.extend(until_ms, began, self.ttl_ms)
                self._error = None
                pause = _ops.renew_pause_s(holding.options)
        except LeaseLost:
            pass  # the holding knows
        except LockStoreError as error:
            self._error = str(error)  # worth trying again
        self.due = min(holding.deadline, _clock.monotonic() + pause)

    def _why(self) -> str:
        holding, max_hold_ms = self.holding, self.holding.options.max_hold_ms
        if self._abandoned is not None:
            return f"{self._abandoned} without giving it back"
        if max_hold_ms is not None and holding.next_ttl_ms(now=holding.deadline + 0.002) == 0:
            return f"it was held for max_hold, {max_hold_ms} ms"
        return f"it could not be renewed in time: {self._error or 'no answer'}"

    def _is_abandoned(self) -> bool:
        before, self._abandoned = self._abandoned, self.holding.abandoned()
        if self._abandoned is not None and before is None:
            _log.warning(
                "the lease of %s is not renewed any more: %s without giving it back. Take locks in "
                "a `with` block, or let who goes on with a lease call its renew()",
                self.holding.words,
                self._abandoned,
            )
        return self._abandoned is not None
