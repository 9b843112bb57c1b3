"""AsyncLock and AsyncSemaphore: thin shells around the store's verbs, for asyncio."""

import asyncio
import datetime as dt
import logging
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar

from locks import _clock, _ops
from locks._opening import AsyncStore, open_async_backend
from locks._ops import Busy, Holder, Kind, Taken
from locks._primitive import Primitive
from locks.errors import LeaseLost, LockStoreError
from locks.lease import AsyncLease, finish

__all__ = ["AsyncLock", "AsyncSemaphore"]

_log = logging.getLogger("locks")
THIRTY_SECONDS = dt.timedelta(seconds=30)


class _AsyncPrimitive(Primitive[AsyncLease]):
    """What AsyncLock and AsyncSemaphore have in common."""

    _asynchronous = True

    def __init__(self, name: str, store: AsyncStore, limit: int, **options: Any) -> None:
        super().__init__(name, limit, **options)
        self._backend = open_async_backend(store, self.namespace)

    async def acquire(self, timeout: dt.timedelta | float | None = None) -> AsyncLease:  # noqa: ASYNC109
        """Wait until there is room, and take it.

        Args:
            timeout: for how long to wait at most, as timedelta or seconds; None = for ever.

        Raises:
            LockTimeout: there was no room in time.
            AlreadyHeld: the calling task holds this lock already.
            LockStoreError: the store could not be asked.
        """
        deadline = self._deadline_of(timeout)
        owner = _clock.new_owner()
        try:
            while True:
                answer = await self._take(owner, wait_ms=_ops.WAIT_SLICE_MS)
                if isinstance(answer, AsyncLease):
                    return answer
                self._refuse_to_wait_for_itself(answer, waiting=True)
                remaining = self._remaining_s(timeout, deadline)
                await self._backend.wait(self._subject, _ops.wait_slice_s(answer, remaining))
        except BaseException:
            await finish(self._abandon(owner))
            raise

    async def try_acquire(self) -> AsyncLease | None:
        """Take it if there is room now, else return None.

        Raises:
            AlreadyHeld: the calling task holds it already, through this very object.
            LockStoreError: the store could not be asked.
        """
        owner = _clock.new_owner()
        try:
            answer = await self._take(owner, wait_ms=0)
        except BaseException:
            await finish(self._abandon(owner))
            raise
        if isinstance(answer, AsyncLease):
            return answer
        self._refuse_to_wait_for_itself(answer, waiting=False)
        return None

    async def release(self, lease: AsyncLease | None = None) -> None:
        """Give `lease` back, or the one that the calling task took last.

        Where it took none, that is one that a task took which has ended since: on Python 3.11
        `asyncio.wait_for` runs what it is given in a task of its own.

        Raises:
            NotHeld: there is none of either kind.
            LeaseLost: it was no longer held.
            LockStoreError: the store could not be asked; call again, or let it expire.
        """
        await self._my_lease(lease).release()

    async def renew(
        self, lease: AsyncLease | None = None, ttl: dt.timedelta | float | None = None
    ) -> None:
        """Hold `lease`, or the one that the calling task took last, for `ttl` from now.

        Raises:
            NotHeld: the calling task holds none.
            LeaseLost: it is no longer held, or max_hold is used up.
            LockStoreError: the store could not be asked.
        """
        await self._my_lease(lease).renew(ttl)

    async def locked(self) -> bool:
        """Whether there is no room now, whoever holds it."""
        return len(await self._holders()) >= self._subject.limit

    async def __aenter__(self) -> AsyncLease:
        frame = sys._getframe(1)  # noqa: SLF001 - CPython's, and PyPy's
        lease = self._enter(await self.acquire(), frame)
        lease.guard(asyncio.current_task())
        return lease

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lease = self._leave(sys._getframe(1))  # noqa: SLF001
        if lease is None:
            return
        lease.guard(None)
        if self._body_was_cancelled(lease) and isinstance(error, asyncio.CancelledError):
            error = None
        try:
            await lease.release()
        except (LeaseLost, LockStoreError) as failure:
            if error is None:
                raise failure from None
            error.add_note(f"while this was raised: {failure}")

    @staticmethod
    def _body_was_cancelled(lease: AsyncLease) -> bool:
        """Whether the loss of the lease, and nobody else, cancelled the body; ends that."""
        task = asyncio.current_task()
        if task is None or not lease.take_cancellation():
            return False
        return task.uncancel() <= lease.cancelling

    async def _take(self, owner: str, wait_ms: int) -> AsyncLease | Busy:
        started = _clock.monotonic()
        ttl_ms = self._first_ttl_ms()
        call = asyncio.ensure_future(self._backend.take(self._subject, owner, ttl_ms, wait_ms))
        try:
            answer = await asyncio.shield(call)
        except asyncio.CancelledError:
            # Not cut off in the middle: what it takes is freed after it has been applied, however
            # often the caller is cancelled meanwhile.
            await finish(self._take_back(call, owner))
            raise
        if isinstance(answer, Busy):
            return answer
        holding = self._make_holding(owner, answer, started, ttl_ms)
        return self._remember(AsyncLease(holding, self._backend, self._forget))

    async def _take_back(self, call: "asyncio.Future[Taken | Busy]", owner: str) -> None:
        await asyncio.wait({call})
        if not call.cancelled():
            call.exception()  # seen; the cancellation matters more
        await self._abandon(owner)

    async def _abandon(self, owner: str) -> None:
        """Free what a call whose reply never came may have taken, and pass a wake-up on."""
        try:
            await self._backend.free(self._subject, owner)
        except LockStoreError as error:
            # The first error is on its way to the caller; what was taken ends by itself.
            _log.warning("%r may stay taken until it expires: %s", self, error)

    async def _holders(self) -> list[Holder]:
        return (await self._backend.read(self._subject))[1]


class AsyncLock(_AsyncPrimitive):
    """A lock that one holder has at a time, across processes and machines.

    Tasks may share the object; each is a holder of its own. Not reentrant. The body of an
    `async with` is cancelled when the lease is lost, and the `async with` raises LeaseLost. The
    block may end in another task than it began in; the one in which it began is what is cancelled.

    Args:
        name: what is locked.
        store: a Redis or RedisCluster of redis.asyncio, or the path of an SQLite file.
        ttl: after how long a holder that has died loses it, as timedelta or seconds.
        namespace: keeps names apart; the fencing numbers are counted per namespace (Redis) or
            file (SQLite).
        auto_renew: renew from a thread at a third of `ttl` while held.
        max_hold: for how long it may be held in all, renewed or not; None = without bound.
        on_lost: called with the lease, in a thread of its own, when it is lost.

    Raises:
        LockError: an argument is not valid.
    """

    _kind: ClassVar[Kind] = "lock"

    def __init__(
        self,
        name: str,
        store: AsyncStore,
        *,
        ttl: dt.timedelta | float = THIRTY_SECONDS,
        namespace: str = "locks",
        auto_renew: bool = True,
        max_hold: dt.timedelta | float | None = None,
        on_lost: Callable[[AsyncLease], None] | None = None,
    ) -> None:
        super().__init__(
            name, store, 1, ttl=ttl, namespace=namespace, auto_renew=auto_renew,
            max_hold=max_hold, on_lost=on_lost,
        )  # fmt: skip

    async def owner(self) -> str | None:
        """The token of who holds it now; None where it is free."""
        holders = await self._holders()
        return holders[0].owner if holders else None


class AsyncSemaphore(_AsyncPrimitive):
    """A lock with room for `limit` holders at a time, each with a lease of its own.

    Args:
        limit: how many. Everybody should name the same number: each goes by his own.
        name, store, ttl, namespace, auto_renew, max_hold, on_lost: as for AsyncLock.

    Raises:
        LockError: an argument is not valid.
    """

    _kind: ClassVar[Kind] = "semaphore"

    def __init__(
        self,
        name: str,
        store: AsyncStore,
        limit: int,
        *,
        ttl: dt.timedelta | float = THIRTY_SECONDS,
        namespace: str = "locks",
        auto_renew: bool = True,
        max_hold: dt.timedelta | float | None = None,
        on_lost: Callable[[AsyncLease], None] | None = None,
    ) -> None:
        super().__init__(
            name, store, limit, ttl=ttl, namespace=namespace, auto_renew=auto_renew,
            max_hold=max_hold, on_lost=on_lost,
        )  # fmt: skip

    async def owners(self) -> tuple[str, ...]:
        """The tokens of who holds places now, by fencing number."""
        return tuple(holder.owner for holder in await self._holders())
