"""Leases: what an acquisition gives, with its fencing number."""

import asyncio
import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from locks import _clock, _ops
from locks._backend import AsyncBackend, Backend
from locks._renewal import Holding, Renewer

__all__ = ["AsyncLease", "Lease", "finish"]

T = TypeVar("T")
_unfinished: set[asyncio.Task[Any]] = set()


class _LeaseFacts:
    """What a lease of either kind tells."""

    def __init__(self, holding: Holding, holder: object) -> None:
        self._holding = holding
        self._holder = holder

    @property
    def name(self) -> str:
        """The name of the lock or semaphore."""
        return self._holding.subject.name

    @property
    def token(self) -> str:
        """The owner's token in the store; no other acquisition has it."""
        return self._holding.owner

    @property
    def fence(self) -> int:
        """The fencing number: greater than that of every earlier acquisition of this name."""
        return self._holding.taken.fence

    @property
    def acquired_at(self) -> dt.datetime:
        """When the store gave it, by the store's clock."""
        return _clock.from_ms(self._holding.taken.since_ms)

    @property
    def expires_at(self) -> dt.datetime:
        """When it ends unless renewed, by the store's clock."""
        return _clock.from_ms(self._holding.until_ms)

    @property
    def valid(self) -> bool:
        """Whether it is safe to believe that the lease is held; asks no store."""
        return self._holding.valid

    @property
    def released(self) -> bool:
        """Whether the store confirmed the release."""
        return self._holding.released

    def check(self) -> None:
        """Return if it is safe to believe that the lease is held; asks no store.

        Raises:
            LeaseLost: its time ended, or the store told that it is gone, or it was released.
            LockError: this process is a fork of the one that holds it.
        """
        self._holding.check()

    def __repr__(self) -> str:
        state = "held" if self.valid else "released" if self.released else "lost"
        return f"<{type(self).__name__} {self.name!r} fence={self.fence} {state}>"


class Lease(_LeaseFacts):
    """The right to go on until it ends, is released, or is lost.

    Attributes:
        lost: set as soon as the loss is known, by the renewing thread; never without `auto_renew`.
    """

    def __init__(
        self, holding: Holding, holder: object, backend: Backend, forget: Callable[["Lease"], None]
    ) -> None:
        super().__init__(holding, holder)
        self.lost = threading.Event()
        self._backend = backend
        self._forget = forget
        if holding.options.auto_renew:
            Renewer(holding, lambda: contextlib.nullcontext(backend), self._on_lost).start()

    def renew(self, ttl: dt.timedelta | float | None = None) -> None:
        """Hold for `ttl` (timedelta or seconds; None = the lock's own) from now.

        Raises:
            LeaseLost: the store does not know the lease any more, or max_hold is used up.
            LockStoreError: the store could not be asked.
        """
        self._holding.check_process()
        ttl_ms, started = _renewal_terms(self._holding, ttl)
        until_ms = self._backend.renew(self._holding.subject, self.token, ttl_ms)
        self._holding.extend(until_ms, started, ttl_ms)

    def release(self) -> None:
        """Give it back. Once the store has confirmed this, further calls do nothing.

        Raises:
            LeaseLost: it was no longer held.
            LockStoreError: the store could not be asked; call again, or let it expire.
        """
        self._holding.check_process()
        if self.released:
            return
        self._holding.ended.set()
        freed = self._backend.free(self._holding.subject, self.token)
        self._forget(self)
        _conclude(self._holding, freed=freed)

    def _on_lost(self) -> None:
        self.lost.set()
        if self._holding.options.on_lost is not None:
            self._holding.options.on_lost(self)


class AsyncLease(_LeaseFacts):
    """As Lease, for asyncio.

    Attributes:
        lost: set as soon as the loss is known; never without `auto_renew`.
        cancelling: how many cancellations the guarded task was asked for when `guard` began.
    """

    def __init__(
        self,
        holding: Holding,
        holder: object,
        backend: AsyncBackend,
        forget: Callable[["AsyncLease"], None],
    ) -> None:
        super().__init__(holding, holder)
        self.lost = asyncio.Event()
        self._backend = backend
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._body: asyncio.Task[Any] | None = None
        self._cancelled_body = False
        self.cancelling = 0
        if holding.options.auto_renew:
            Renewer(holding, backend.blocking, self._on_lost).start()

    async def renew(self, ttl: dt.timedelta | float | None = None) -> None:
        """As Lease.renew."""
        self._holding.check_process()
        ttl_ms, started = _renewal_terms(self._holding, ttl)
        until_ms = await self._backend.renew(self._holding.subject, self.token, ttl_ms)
        self._holding.extend(until_ms, started, ttl_ms)

    async def release(self) -> None:
        """As Lease.release; a cancellation waits for the store's answer first."""
        self._holding.check_process()
        if not self.released:
            self._holding.ended.set()
            await finish(self._release())

    async def _release(self) -> None:
        freed = await self._backend.free(self._holding.subject, self.token)
        self._forget(self)
        _conclude(self._holding, freed=freed)

    def guard(self, body: asyncio.Task[Any] | None) -> None:
        """Cancel this task when the lease is lost; None ends that."""
        self._body = body
        if body is not None:
            self.cancelling = body.cancelling()

    def take_cancellation(self) -> bool:
        """Whether the body was cancelled by `guard`; the cancellation is then this one's to end."""
        cancelled, self._cancelled_body = self._cancelled_body, False
        return cancelled

    def _on_lost(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._on_loop_lost)
        if self._holding.options.on_lost is not None:
            self._holding.options.on_lost(self)

    def _on_loop_lost(self) -> None:
        self.lost.set()
        if self._body is not None:
            self._cancelled_body = self._body.cancel("the lease was lost")


def _renewal_terms(holding: Holding, ttl: dt.timedelta | float | None) -> tuple[int, float]:
    started = _clock.monotonic()
    wanted = None if ttl is None else _ops.positive_ms("ttl", ttl)
    ttl_ms = holding.next_ttl_ms(wanted)
    if ttl_ms == 0:
        holding.lose(f"it was held for max_hold, {holding.options.max_hold_ms} ms")
    if holding.released or holding.reason is not None:
        holding.check()
    return ttl_ms, started


def _conclude(holding: Holding, *, freed: bool) -> None:
    """Note a release that the store answered; raise LeaseLost where there was nothing to free."""
    if holding.reason is None and freed:
        holding.released = True
        return
    holding.lose("the store had no such lease any more when it was released")
    raise holding.lost_error()


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end even where the caller is cancelled, then let the cancellation go on.

    A second cancellation stops the waiting, not the work.
    """
    task = asyncio.ensure_future(work)
    _unfinished.add(task)
    task.add_done_callback(_unfinished.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen; the cancellation matters more
        raise
