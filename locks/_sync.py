"""Lock and Semaphore: thin shells around the store's verbs."""

import datetime as dt
import logging
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar

from locks import _clock, _ops
from locks._opening import Store, open_backend
from locks._ops import Busy, Holder, Kind
from locks._primitive import Primitive
from locks.errors import LeaseLost, LockStoreError
from locks.lease import Lease

__all__ = ["Lock", "Semaphore"]

_log = logging.getLogger("locks")
THIRTY_SECONDS = dt.timedelta(seconds=30)


class _SyncPrimitive(Primitive[Lease]):
    """What Lock and Semaphore have in common."""

    _asynchronous = False

    def __init__(self, name: str, store: Store, limit: int, **options: Any) -> None:
        super().__init__(name, limit, **options)
        self._backend = open_backend(store, self.namespace)

    def acquire(self, timeout: dt.timedelta | float | None = None) -> Lease:
        """Wait until there is room, and take it.

        Args:
            timeout: for how long to wait at most, as timedelta or seconds; None = for ever.

        Raises:
            LockTimeout: there was no room in time.
            AlreadyHeld: the calling thread holds this lock already.
            LockStoreError: the store could not be asked.
        """
        deadline = self._deadline_of(timeout)
        owner = _clock.new_owner()
        try:
            while True:
                answer = self._take(owner, wait_ms=_ops.WAIT_SLICE_MS)
                if isinstance(answer, Lease):
                    return answer
                self._refuse_to_wait_for_itself(answer, waiting=True)
                remaining = self._remaining_s(timeout, deadline)
                self._backend.wait(self._subject, _ops.wait_slice_s(answer, remaining))
        except BaseException:
            self._abandon(owner)
            raise

    def try_acquire(self) -> Lease | None:
        """Take it if there is room now, else return None.

        Raises:
            AlreadyHeld: the calling thread holds it already, through this very object.
            LockStoreError: the store could not be asked.
        """
        owner = _clock.new_owner()
        try:
            answer = self._take(owner, wait_ms=0)
        except BaseException:
            self._abandon(owner)
            raise
        if isinstance(answer, Lease):
            return answer
        self._refuse_to_wait_for_itself(answer, waiting=False)
        return None

    def release(self, lease: Lease | None = None) -> None:
        """Give `lease` back, or the one that the calling thread took last.

        Where it took none, that is one that a thread took which has ended since.

        Raises:
            NotHeld: there is none of either kind.
            LeaseLost: it was no longer held.
            LockStoreError: the store could not be asked; call again, or let it expire.
        """
        self._my_lease(lease).release()

    def renew(self, lease: Lease | None = None, ttl: dt.timedelta | float | None = None) -> None:
        """Hold `lease`, or the one that the calling thread took last, for `ttl` from now.

        Raises:
            NotHeld: the calling thread holds none.
            LeaseLost: it is no longer held, or max_hold is used up.
            LockStoreError: the store could not be asked.
        """
        self._my_lease(lease).renew(ttl)

    def locked(self) -> bool:
        """Whether there is no room now, whoever holds it."""
        return len(self._holders()) >= self._subject.limit

    def __enter__(self) -> Lease:
        return self._enter(self.acquire(), sys._getframe(1))  # noqa: SLF001 - CPython's, and PyPy's

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lease = self._leave(sys._getframe(1))  # noqa: SLF001
        if lease is None:
            return
        try:
            lease.release()
        except (LeaseLost, LockStoreError) as failure:
            if error is None:
                raise
            error.add_note(f"while this was raised: {failure}")

    def _take(self, owner: str, wait_ms: int) -> Lease | Busy:
        started = _clock.monotonic()
        ttl_ms = self._first_ttl_ms()
        answer = self._backend.take(self._subject, owner, ttl_ms, wait_ms)
        if isinstance(answer, Busy):
            return answer
        holding = self._make_holding(owner, answer, started, ttl_ms)
        return self._remember(Lease(holding, self._backend, self._forget))

    def _abandon(self, owner: str) -> None:
        """Free what a call whose reply never came may have taken, and pass a wake-up on."""
        try:
            self._backend.free(self._subject, owner)
        except LockStoreError as error:
            # The first error is on its way to the caller; what was taken ends by itself.
            _log.warning("%r may stay taken until it expires: %s", self, error)

    def _holders(self) -> list[Holder]:
        return self._backend.read(self._subject)[1]


class Lock(_SyncPrimitive):
    """A lock that one holder has at a time, across processes and machines.

    Threads may share the object; each is a holder of its own. Not reentrant. A `with` block may end
    in another thread than it began in, as that of a generator does in a web framework.

    Args:
        name: what is locked.
        store: a redis.Redis or RedisCluster, or the path of an SQLite file.
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
        store: Store,
        *,
        ttl: dt.timedelta | float = THIRTY_SECONDS,
        namespace: str = "locks",
        auto_renew: bool = True,
        max_hold: dt.timedelta | float | None = None,
        on_lost: Callable[[Lease], None] | None = None,
    ) -> None:
        super().__init__(
            name, store, 1, ttl=ttl, namespace=namespace, auto_renew=auto_renew,
            max_hold=max_hold, on_lost=on_lost,
        )  # fmt: skip

    def owner(self) -> str | None:
        """The token of who holds it now; None where it is free."""
        holders = self._holders()
        return holders[0].owner if holders else None


class Semaphore(_SyncPrimitive):
    """A lock with room for `limit` holders at a time, each with a lease of its own.

    Args:
        limit: how many. Everybody should name the same number: each goes by his own.
        name, store, ttl, namespace, auto_renew, max_hold, on_lost: as for Lock.

    Raises:
        LockError: an argument is not valid.
    """

    _kind: ClassVar[Kind] = "semaphore"

    def __init__(
        self,
        name: str,
        store: Store,
        limit: int,
        *,
        ttl: dt.timedelta | float = THIRTY_SECONDS,
        namespace: str = "locks",
        auto_renew: bool = True,
        max_hold: dt.timedelta | float | None = None,
        on_lost: Callable[[Lease], None] | None = None,
    ) -> None:
        super().__init__(
            name, store, limit, ttl=ttl, namespace=namespace, auto_renew=auto_renew,
            max_hold=max_hold, on_lost=on_lost,
        )  # fmt: skip

    def owners(self) -> tuple[str, ...]:
        """The tokens of who holds places now, by fencing number."""
        return tuple(holder.owner for holder in self._holders())
