"""What a lock asks of a store."""

from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from locks._ops import Busy, Holder, Kind, Subject, Taken

__all__ = ["AsyncBackend", "Backend"]


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
