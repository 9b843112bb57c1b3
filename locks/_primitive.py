"""What Lock, Semaphore and their asyncio twins have in common; no I/O."""

import contextlib
import datetime as dt
import os
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from locks import _clock, _ops
from locks._ops import Busy, Kind, Options, Subject, Taken
from locks._renewal import Holding
from locks._taker import Taker, known, taker
from locks.errors import AlreadyHeld, LockTimeout, NotHeld
from locks.lease import AsyncLease, Lease

__all__ = ["Primitive"]

L = TypeVar("L", Lease, AsyncLease)


class _Block(NamedTuple, Generic[L]):
    """An open `with` block: its lease, and which frame runs it, be that in another thread later."""

    lease: L
    frame: int


class Primitive(Generic[L]):
    """Names, options, and which leases this process holds through this object.

    A holder is a thread or an asyncio task. The lists need no mutex, which a fork could leave
    locked: single operations on a list are atomic.
    """

    _kind: ClassVar[Kind]
    _asynchronous: ClassVar[bool]

    def __init__(
        self,
        name: str,
        limit: int,
        *,
        ttl: dt.timedelta | float,
        namespace: str,
        auto_renew: bool,
        max_hold: dt.timedelta | float | None,
        on_lost: Callable[[Any], None] | None,
    ) -> None:
        self.name = name
        self.namespace = namespace
        self._subject: Subject = _ops.check_subject(self._kind, name, limit)
        self._options: Options = _ops.make_options(
            ttl, max_hold, auto_renew=auto_renew, on_lost=on_lost
        )
        self._held: list[L] = []
        self._blocks: list[_Block[L]] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} in {self.namespace!r}>"

    def _me(self) -> Taker:
        return taker(asynchronous=self._asynchronous)

    def _mine(self) -> list[L]:
        """The calling holder's leases, the latest last; none of another process."""
        me = self._me()
        return [lease for lease in list(self._held) if _holding(lease).taker.is_same(me)]

    def _my_lease(self, lease: L | None) -> L:
        """`lease`, the calling holder's latest, or the latest of one that is gone.

        The last is what `asyncio.wait_for(lock.acquire(), 1)` leaves on Python 3.11, which runs it
        in a task of its own.
        """
        if lease is not None:
            return lease
        found = self._mine() or [
            lease
            for lease in list(self._held)
            if _holding(lease).pid == os.getpid()
            and _holding(lease).taker.is_gone()
            and _holding(lease).block() is None
        ]
        if not found:
            raise NotHeld(
                f"this {self._holder_word()} holds no lease of {self._kind} {self.name!r}; pass "
                "the lease if another one took it"
            )
        return found[-1]

    def _refuse_to_wait_for_itself(self, busy: Busy, *, waiting: bool) -> None:
        """Raise AlreadyHeld where the store names a lease of the caller's as the holder's.

        One of another object that ends by itself may be waited for, as every other may.
        """
        holding = None if busy.owner is None else known(busy.owner)
        if holding is None or not holding.valid or holding.abandoned() is not None:
            return
        ours = any(_holding(lease) is holding for lease in list(self._held))
        if not ours and not (waiting and holding.options.auto_renew):
            return
        if holding.taker.keeps_waiting(self._me(), holding.owner):
            raise AlreadyHeld(
                f"this {self._holder_word()} holds lock {self.name!r} already and would wait for "
                "itself; release it first (locks are not reentrant)"
            )

    def _holder_word(self) -> str:
        return "task" if self._asynchronous else "thread"

    def _make_holding(self, owner: str, taken: Taken, started: float, ttl_ms: int) -> Holding:
        return Holding(self._subject, owner, taken, started, self._options, ttl_ms, self._me())

    def _first_ttl_ms(self) -> int:
        return _ops.held_ttl_ms(self._options, 0)

    def _remember(self, lease: L) -> L:
        me = self._me()
        for old in list(self._held):
            taken_by = _holding(old).taker
            foreign = taken_by.pid != me.pid or taken_by.is_gone()
            if not old.valid and (foreign or taken_by.is_same(me)):
                self._forget(old)  # lost, and its holder has gone on
        self._held.append(lease)
        return lease

    def _forget(self, lease: L) -> None:
        with contextlib.suppress(ValueError):
            self._held.remove(lease)

    def _enter(self, lease: L, frame: FrameType) -> L:
        """Note the `with` block that begins in `frame`."""
        _holding(lease).block = weakref.ref(self)
        self._blocks.append(_Block(lease, id(frame)))
        return lease

    def _leave(self, frame: FrameType) -> L | None:
        """The lease of the `with` block that ends in `frame`; None in a fork, which has none.

        A generator's frame may go on in another thread or task than it was entered in.
        """
        while self._blocks:
            block = self._block_of(frame)
            if block is None:
                return None
            with contextlib.suppress(ValueError):  # another thread was quicker
                self._blocks.remove(block)
                _holding(block.lease).block = _no_block
                return block.lease if _holding(block.lease).pid == os.getpid() else None
        raise NotHeld(f"a `with` of {self._kind} {self.name!r} ends that has never begun")

    def _block_of(self, frame: FrameType) -> _Block[L] | None:
        blocks, me = list(self._blocks), self._me()
        for block in reversed(blocks):
            if block.frame == id(frame):
                return block
        # Entered by a helper such as contextlib.ExitStack, whose frame has ended.
        blocks = [block for block in blocks if _holding(block.lease).pid == me.pid]
        for block in reversed(blocks):
            if _holding(block.lease).taker.is_same(me):
                return block
        # It cannot be known which; what is lost goes first, so that none is freed too early.
        return min(blocks, key=lambda block: block.lease.valid, default=None)

    def _remaining_s(
        self, timeout: dt.timedelta | float | None, deadline: float | None
    ) -> float | None:
        """How long there is left to wait, None = for ever; LockTimeout where nothing is left."""
        if timeout is None or deadline is None:
            return None
        remaining = deadline - _clock.monotonic()
        if remaining <= 0:
            raise LockTimeout(
                f"{self._kind} {self.name!r} was not free within "
                f"{_ops.seconds('timeout', timeout):g} s"
            )
        return remaining

    @staticmethod
    def _deadline_of(timeout: dt.timedelta | float | None) -> float | None:
        if timeout is None:
            return None
        return _clock.monotonic() + max(0.0, _ops.seconds("timeout", timeout))


def _holding(lease: Lease | AsyncLease) -> Holding:
    return lease._holding  # noqa: SLF001 - its own lease


def _no_block() -> None:
    return None
