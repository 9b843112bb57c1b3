"""Locks in an SQLite file for asyncio: each verb in a thread, so the event loop never waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from locks._backend import Backend
from locks._ops import Busy, Holder, Kind, Subject, Taken
from locks.sqlite_backend import SqliteBackend

__all__ = ["AsyncSqliteBackend"]


class AsyncSqliteBackend:
    """A namespace of locks in a file."""

    def __init__(self, backend: SqliteBackend) -> None:
        self._backend = backend
        self.origin = backend.origin

    async def take(
        self, subject: Subject, owner: str, ttl_ms: int, wait_ms: int = 0, now: int | None = None
    ) -> Taken | Busy:
        """See AsyncBackend."""
        return await asyncio.to_thread(self._backend.take, subject, owner, ttl_ms, wait_ms, now)

    async def renew(
        self, subject: Subject, owner: str, ttl_ms: int, now: int | None = None
    ) -> int | None:
        """See AsyncBackend."""
        return await asyncio.to_thread(self._backend.renew, subject, owner, ttl_ms, now)

    async def free(
        self, subject: Subject, owner: str, now: int | None = None, *, forced: bool = False
    ) -> bool:
        """See AsyncBackend."""
        return await asyncio.to_thread(self._backend.free, subject, owner, now, forced=forced)

    async def read(
        self, subject: Subject, now: int | None = None
    ) -> tuple[int | None, list[Holder]]:
        """See AsyncBackend."""
        return await asyncio.to_thread(self._backend.read, subject, now)

    async def names(self) -> AsyncIterator[tuple[Kind, str]]:
        """See AsyncBackend."""
        for one in await asyncio.to_thread(lambda: list(self._backend.names())):
            yield one

    async def wait(self, subject: Subject, seconds: float) -> None:
        """See AsyncBackend.

        Many tasks may wait; none of them keeps a thread meanwhile, or the releases would find none.
        """
        watch = self._backend.watch(subject)
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            pause = await asyncio.to_thread(next, watch, None)
            left = deadline - asyncio.get_running_loop().time()
            if pause is None or left <= 0:
                return
            await asyncio.sleep(min(pause, left))

    @contextlib.contextmanager
    def blocking(self) -> Iterator[Backend]:
        """See AsyncBackend: SQLite blocks anyway."""
        yield self._backend
