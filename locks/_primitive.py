"""What Lock, Semaphore and their asyncio twins have in common; no I/O."""

import contextlib
import datetime as dt
import os
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from locks import _clock, _ops
from locks._ops import Kind, Options, Subject, Taken
from locks._renewal import Holding
from locks.errors import AlreadyHeld, LockTimeout, NotHeld
from locks.lease import AsyncLease, Lease

__all__ = ["Primitive"]

L = TypeVar("L", Lease, AsyncLease)


class Primitive(Generic[L]):
    """Names, options, and which leases this process holds through this object.

    A holder is a thread or an asyncio task. The list of leases needs no mutex, which a fork could
    leave locked: single operations on a list are atomic.
    """

    _kind: ClassVar[Kind]
    _holder: Callable[[], object]

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
        self._entered: list[L] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} in {self.namespace!r}>"

    def _mine(self, leases: list[L]) -> list[L]:
        """The calling holder's of these leases, the latest last; none of another process."""
        me, pid = self._holder(), os.getpid()
        return [
            lease
            for lease in list(leases)
            if lease._holder is me and lease._holding.pid == pid  # noqa: SLF001 - its own lease
        ]

    def _my_lease(self, lease: L | None) -> L:
        """`lease`, or the calling holder's latest."""
        if lease is not None:
            return lease
        mine = self._mine(self._held)
        if not mine:
            raise NotHeld(
                f"this {self._holder_word()} holds no lease of {self._kind} {self.name!r}; pass "
                "the lease if another one took it"
            )
        return mine[-1]

    def _refuse_reentry(self) -> None:
        if self._kind == "lock" and any(lease.valid for lease in self._mine(self._held)):
            raise AlreadyHeld(
                f"this {self._holder_word()} holds lock {self.name!r} already and would wait for "
                "itself; release it first (locks are not reentrant)"
            )

    def _holder_word(self) -> str:
        return "task" if type(self).__name__.startswith("Async") else "thread"

    def _holding(self, owner: str, taken: Taken, started: float, ttl_ms: int) -> Holding:
        return Holding(self._subject, owner, taken, started, self._options, ttl_ms)

    def _first_ttl_ms(self) -> int:
        return _ops.held_ttl_ms(self._options, 0)

    def _remember(self, lease: L) -> L:
        for old in self._mine(self._held):
            if not old.valid:
                self._forget(old)  # lost, and its holder has gone on
        self._held.append(lease)
        return lease

    def _forget(self, lease: L) -> None:
        with contextlib.suppress(ValueError):
            self._held.remove(lease)

    def _entered_lease(self) -> L | None:
        """The lease of the calling holder's innermost `with`; None in a fork, which has none."""
        mine = self._mine(self._entered)
        if not mine:
            return None
        self._entered.remove(mine[-1])
        return mine[-1]

    def _remaining_s(
        self, timeout: dt.timedelta | float | None, deadline: float | None
    ) -> float | None:
        """How long there is left to wait, None = for ever; LockTimeout where nothing is left."""
        if timeout is None or deadline is None:
            return None
        remaining = deadline - _clock.monotonic()
        if remaining <= 0:
            raise LockTimeout(
                f"{self._kind} {self.name!r} was not free within {_ops.seconds(timeout):g} s"
            )
        return remaining

    @staticmethod
    def _deadline(timeout: dt.timedelta | float | None) -> float | None:
        return None if timeout is None else _clock.monotonic() + max(0.0, _ops.seconds(timeout))
