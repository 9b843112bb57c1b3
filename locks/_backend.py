"""What a lock asks of a store, and how the store is chosen by what the user gives."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, runtime_checkable

from locks._ops import Busy, Holder, Kind, Subject, Taken
from locks.errors import LockError

__all__ = ["AsyncBackend", "AsyncStore", "Backend", "Store", "open_async_backend", "open_backend"]


@runtime_checkable
class Client(Protocol):
    """A redis-py client, sync or asyncio, single or cluster."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command."""


Store: TypeAlias = Client | str | os.PathLike[str]
AsyncStore: TypeAlias = Client | str | os.PathLike[str]


class Backend(Protocol):
    """The verbs of a store of locks.

    `now` (ms) replaces the store's own clock in tests. A ttl of 0 ms lasts until released. Every
    call is safe to repeat. Every driver's error is a LockStoreError.

    Attributes:
        origin: which store it is, equal for all that go through the same client or file; and the
            namespace.
    """

    origin: tuple[Hashable, str]

    def take(
        self, subject: Subject, owner: str, ttl_ms: int, wait_ms: int = 0, now: int | None = None
    ) -> Taken | Busy:
        """Take a place; `wait_ms` says that the caller will wait about so long for one."""

    def renew(
        self, subject: Subject, owner: str, ttl_ms: int, now: int | None = None
    ) -> int | None:
        """Hold for `ttl_ms` from now; the new end in ms, or None where `owner` holds nothing."""

    def free(
        self, subject: Subject, owner: str, now: int | None = None, *, forced: bool = False
    ) -> bool:
        """Give the place back; whether `owner` had it (or has given it back a moment ago).

        Forced by another, it leaves the owner no trace to take for a release of his own.
        """

    def read(self, subject: Subject, now: int | None = None) -> tuple[int | None, list[Holder]]:
        """How many wait (None = not known), and the live leases."""

    def names(self) -> Iterator[tuple[Kind, str]]:
        """Every lock and semaphore on record in the namespace."""

    def wait(self, subject: Subject, seconds: float) -> None:
        """Return when a place may be free, after `seconds` at the latest."""


class AsyncBackend(Protocol):
    """The same verbs for asyncio, and the same attribute."""

    origin: tuple[Hashable, str]

    async def take(
        self, subject: Subject, owner: str, ttl_ms: int, wait_ms: int = 0, now: int | None = None
    ) -> Taken | Busy:
        """As Backend.take."""

    async def renew(
        self, subject: Subject, owner: str, ttl_ms: int, now: int | None = None
    ) -> int | None:
        """As Backend.renew."""

    async def free(
        self, subject: Subject, owner: str, now: int | None = None, *, forced: bool = False
    ) -> bool:
        """As Backend.free."""

    async def read(
        self, subject: Subject, now: int | None = None
    ) -> tuple[int | None, list[Holder]]:
        """As Backend.read."""

    def names(self) -> AsyncIterator[tuple[Kind, str]]:
        """As Backend.names."""

    async def wait(self, subject: Subject, seconds: float) -> None:
        """As Backend.wait."""

    def blocking(self) -> AbstractContextManager[Backend]:
        """The same store for a thread, which cannot use the event loop's connections."""


def open_backend(store: Store, namespace: str) -> Backend:
    """The backend for a redis-py client or an SQLite path.

    Raises:
        LockError: `store` is neither, or an asyncio client.
    """
    if isinstance(store, str | os.PathLike):
        from locks.sqlite_backend import SqliteBackend  # noqa: PLC0415 - only who uses it loads it

        return SqliteBackend(store, namespace)
    if _is_async(_client(store)):
        raise LockError(f"{type(store).__name__} is an asyncio client; use the Async… classes")
    from locks.redis_backend import RedisBackend  # noqa: PLC0415 - only who uses it loads it

    return RedisBackend(store, namespace)


def open_async_backend(store: AsyncStore, namespace: str) -> AsyncBackend:
    """The backend for a client of redis.asyncio or an SQLite path.

    Raises:
        LockError: `store` is neither, or a client that would block the event loop.
    """
    if isinstance(store, str | os.PathLike):
        from locks.sqlite_async import AsyncSqliteBackend  # noqa: PLC0415
        from locks.sqlite_backend import SqliteBackend  # noqa: PLC0415 - only who uses it loads it

        return AsyncSqliteBackend(SqliteBackend(store, namespace))
    if not _is_async(_client(store)):
        raise LockError(f"{type(store).__name__} would block the event loop; use redis.asyncio")
    from locks.redis_async import AsyncRedisBackend  # noqa: PLC0415 - only who uses it loads it

    return AsyncRedisBackend(store, namespace)


def _client(store: object) -> Client:
    if not isinstance(store, Client):
        raise LockError(f"{store!r} is neither a redis-py client nor the path of an SQLite file")
    return store


def _is_async(client: Client) -> bool:
    command: Callable[..., Awaitable[Any] | Any] = client.execute_command
    return asyncio.iscoroutinefunction(command)
