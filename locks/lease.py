"""Leases: what an acquisition gives, with its fencing number."""

import asyncio
import contextlib
import datetime as dt
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ClassVar, TypeVar

from locks import _clock, _ops, _renewer
from locks._backend import AsyncBackend, Backend
from locks._renewal import Holding, Renewal
from locks._taker import note, taker

__all__ = ["AsyncLease", "Lease", "finish"]

T = TypeVar("T")
_unfinished: set[asyncio.Task[Any]] = set()


class _LeaseFacts:
    """What a lease of either kind tells."""

    _asynchronous: ClassVar[bool]

    def __init__(self, holding: Holding, forget: Callable[[Any], None]) -> None:
        self._holding = holding
        # Not the lock itself: a `with` block that nobody can leave any more is known by its end.
        self._forget_in: Callable[[], Callable[[Any], None] | None] = weakref.WeakMethod(forget)
        note(holding)

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

    def _renewal_terms(self, ttl: dt.timedelta | float | None) -> tuple[int, float]:
        """For how long to renew, and the time before the call; who renews is the holder then."""
        self._holding.check_process()
        started = _clock.monotonic()
        wanted = None if ttl is None else _ops.positive_ms("ttl", ttl)
        ttl_ms = self._holding.next_ttl_ms(wanted)
        if ttl_ms == 0:
            self._holding.lose(f"it was held for max_hold, {self._holding.options.max_hold_ms} ms")
        if self._holding.released or self._holding.reason is not None:
            self._holding.check()
        self._holding.taker, self._holding.ended = taker(asynchronous=self._asynchronous), None
        note(self._holding)
        return ttl_ms, started

    def _conclude(self, *, freed: bool) -> None:
        """Note a release that the store answered; raise LeaseLost where nothing was to be freed."""
        forget = self._forget_in()
        if forget is not None:
            forget(self)
        if self._holding.reason is None and freed:
            self._holding.released = True
            _renewer.forget(self.token)
            return
        self._holding.lose("the store had no such lease any more when it was released")
        raise self._holding.lost_error()

    def __repr__(self) -> str:
        state = "held" if self.valid else "released" if self.released else "lost"
        return f"<{type(self).__name__} {self.name!r} fence={self.fence} {state}>"


class Lease(_LeaseFacts):
    """The right to go on until it ends, is released, or is lost.

    Attributes:
        lost: set as soon as the loss is known, by the renewing thread; never without `auto_renew`.
    """

    _asynchronous = False

    def __init__(
        self, holding: Holding, backend: Backend, forget: Callable[["Lease"], None]
    ) -> None:
        super().__init__(holding, forget)
        self.lost = threading.Event()
        self._backend = backend
        if holding.options.auto_renew:
            _renewer.watch(Renewal(holding, backend.origin, self._connect, self))

    def renew(self, ttl: dt.timedelta | float | None = None) -> None:
        """Hold for `ttl` (timedelta or seconds; None = the lock's own) from now.

        A lease belongs to the thread that took it. Who calls this goes on with it: from then on it
        is renewed as long as the caller's thread lives.

        Raises:
            LeaseLost: the store does not know the lease any more, or max_hold is used up.
            LockStoreError: the store could not be asked.
        """
        ttl_ms, started = self._renewal_terms(ttl)
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
        self._holding.leaving = True
        self._conclude(freed=self._backend.free(self._holding.subject, self.token))

    @contextlib.contextmanager
    def _connect(self) -> Iterator[Backend]:
        yield self._backend  # the user's client is made for threads

    def _on_lost(self) -> None:
        self.lost.set()


class AsyncLease(_LeaseFacts):
    """As Lease, for asyncio.

    Attributes:
        lost: set as soon as the loss is known; never without `auto_renew`.
        cancelling: how many cancellations the guarded task was asked for when `guard` began.
    """

    _asynchronous = True

    def __init__(
        self, holding: Holding, backend: AsyncBackend, forget: Callable[["AsyncLease"], None]
    ) -> None:
        super().__init__(holding, forget)
        self.lost = asyncio.Event()
        self._backend = backend
        self._loop = asyncio.get_running_loop()
        self._body: asyncio.Task[Any] | None = None
        self._cancelled_body: asyncio.Task[Any] | None = None
        self.cancelling = 0
        if holding.options.auto_renew:
            _renewer.watch(Renewal(holding, backend.origin, backend.blocking, self))

    async def renew(self, ttl: dt.timedelta | float | None = None) -> None:
        """As Lease.renew; here it is the task that goes on with it."""
        ttl_ms, started = self._renewal_terms(ttl)
        until_ms = await self._backend.renew(self._holding.subject, self.token, ttl_ms)
        self._holding.extend(until_ms, started, ttl_ms)

    async def release(self) -> None:
        """As Lease.release; a cancellation waits for the store's answer first."""
        self._holding.check_process()
        if not self.released:
            self._holding.leaving = True
            await finish(self._release())

    async def _release(self) -> None:
        self._conclude(freed=await self._backend.free(self._holding.subject, self.token))

    def guard(self, body: asyncio.Task[Any] | None) -> None:
        """Cancel this task when the lease is lost; None ends that."""
        self._body = body
        if body is not None:
            self.cancelling = body.cancelling()

    def take_cancellation(self) -> bool:
        """Whether `guard` has cancelled the calling task, which is then to end that."""
        cancelled, self._cancelled_body = self._cancelled_body, None
        return cancelled is not None and cancelled is asyncio.current_task()

    def _on_lost(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._on_loop_lost)

    def _on_loop_lost(self) -> None:
        self.lost.set()
        if self._body is not None and self._body.cancel("the lease was lost"):
            self._cancelled_body = self._body


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
