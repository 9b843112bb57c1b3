"""Await a result: the event loop goes on meanwhile, whatever the store does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic

from reliable_tasks.core import context
from reliable_tasks.core.typevars import R
from reliable_tasks.errors import TimeoutError as ResultTimeoutError
from reliable_tasks.results.then import ended, get_as_they_end
from reliable_tasks.results.wait import not_ended, wait_span

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.store.values import Record

__all__ = ["Awaited", "AwaitedGroup"]


class Awaited(Generic[R]):
    """`await result`, and `await result.aget(timeout=…)`."""

    if TYPE_CHECKING:
        id: str
        app: AppContext
        version: int
        stored: bool
        _final: Record | None

        def _read(self, *, full: bool = False) -> Record | None: ...
        def get(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> R:
            """Wait in this thread."""

        def found(self, record: Record | None) -> Record | None:
            """Take over a record."""

        def tell_if_gone(self) -> None:
            """Raise if it was there and is no more."""

        def successful(self) -> bool:
            """Whether it has ended in success."""

    def __await__(self) -> Generator[Any, None, R]:
        context.refuse_waiting()
        if self.stored and self._final is None:
            yield from ended(self).__await__()
        return self.get(disable_sync_subtasks=False)

    async def aget(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - `get` has it as well
        propagate: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R:
        """Wait until it has ended and give what the body returned, from a coroutine.

        Args:
            timeout: seconds to wait; None waits for ever.
            propagate: raise what the body raised; otherwise return it.
            callback: called with the id and the value.
            disable_sync_subtasks: refuse to wait inside a body that a worker runs.

        Raises:
            TimeoutError, ResultGone, RuntimeError, StoreUnavailable, Exception: as `get` does.
        """
        if disable_sync_subtasks:
            context.refuse_waiting()
        limit_s = wait_span(timeout)
        if self.stored and self._final is None:
            await self._ended_within(limit_s)
        how: dict[str, Any] = {"callback": callback, "disable_sync_subtasks": False}
        return self.get(propagate=propagate, **how)

    async def _ended_within(self, limit_s: float | None) -> None:
        try:
            async with asyncio.timeout(limit_s) as limit:
                await ended(self)
        except TimeoutError:
            if not limit.expired():
                raise
            if self.version < 0:  # the time was too short to hear of it at all
                await self.app.gathering.in_thread(f"a look at {self.id}", self._read)
            if self._final is None:
                raise ResultTimeoutError(not_ended(self, limit_s)) from None


class AwaitedGroup(Generic[R]):
    """The same for the results of several messages."""

    if TYPE_CHECKING:

        def _named(self) -> str: ...
        def leaves(self) -> Iterator[Any]:
            """The handles on messages."""

        def _values(self, propagate: bool) -> list[R]: ...

    def __await__(self) -> Generator[Any, None, list[R]]:
        context.refuse_waiting()
        yield from get_as_they_end(self._open()).__await__()
        return self._values(propagate=True)

    def _open(self) -> list[Any]:
        return [leaf for leaf in self.leaves() if leaf.stored and leaf._final is None]  # noqa: SLF001

    async def aget(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - `get` has it as well
        propagate: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> list[R]:
        """Wait until all have ended and give what they returned, from a coroutine; see `get`."""
        if disable_sync_subtasks:
            context.refuse_waiting()
        limit_s = wait_span(timeout)
        try:
            async with asyncio.timeout(limit_s) as limit:
                await get_as_they_end(self._open(), propagate=propagate)
        except TimeoutError:
            if not limit.expired():  # a body raised it
                raise
            if left := self._open():
                said = not_ended(left[0], limit_s, " and others")
                raise ResultTimeoutError(f"{self._named()}: {said}") from None
        if callback is not None:
            for leaf in self.leaves():
                callback(leaf.id, leaf.get(propagate=propagate, disable_sync_subtasks=False))
        return self._values(propagate)
