"""How the store of a lock is chosen by what the user gives."""

import asyncio
import os
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from locks._backend import AsyncBackend, Backend
from locks.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["AsyncStore", "Client", "Store", "open_async_backend", "open_backend"]


@runtime_checkable
class Client(Protocol):
    """A redis-py client, sync or asyncio, single or cluster."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command."""


Store: TypeAlias = Client | str | os.PathLike[str]
AsyncStore: TypeAlias = Client | str | os.PathLike[str]


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
