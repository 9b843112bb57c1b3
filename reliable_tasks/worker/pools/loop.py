"""Asyncio: many coroutine bodies at once on one loop; plain functions run in threads beside it.

A hard limit would have to kill the process and with it the neighbours, so time limits are refused.
"""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from reliable_tasks.worker.executor import Started

from .base import Pool

if TYPE_CHECKING:
    from reliable_tasks import outcome
    from reliable_tasks.store.values import Claim

__all__ = ["POOL", "LoopPool"]


class LoopPool(Pool):
    """Runs bodies on an asyncio loop in the main thread."""

    enforces_limits: ClassVar[bool] = False
    many_processes: ClassVar[bool] = False

    _loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        """Run bodies until the feed is over."""
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._came = asyncio.Event()
        self._loop = asyncio.get_running_loop()  # from here on `claims_came` wakes it
        free = list(range(self._slots))
        running: set[asyncio.Task[None]] = set()
        while not self.feed.over or running:
            self._came.clear()
            while free and (claim := self.feed.try_take()) is not None:
                slot = free.pop()
                context = contextvars.copy_context()
                task = self._loop.create_task(self._attempt(slot, claim), context=context)
                running.add(task)
                task.add_done_callback(running.discard)
                task.add_done_callback(partial(self._freed, free, slot))
            await self._came.wait()

    def _freed(self, free: list[int], slot: int, _: object) -> None:
        free.append(slot)
        self._came.set()

    def claims_came(self) -> None:
        """Wake the loop; called in the consumer's thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._came.set)

    async def _attempt(self, slot: int, claim: Claim) -> None:
        started = self._begin(slot, claim)
        done: outcome.Outcome
        if not isinstance(started, Started):
            done = started
        else:
            try:
                value = await self._call(started)
            except BaseException as exc:  # noqa: BLE001 - whatever a body raises ends its attempt
                done = self._raised(started, exc)
            else:
                done = self._returned(started, value)
        self._board.clear(slot)
        self.feed.done(claim, done)

    async def _call(self, started: Started) -> Any:
        if started.is_async:
            return await started.run(*started.args, **started.kwargs)
        return await asyncio.to_thread(started.run, *started.args, **started.kwargs)


POOL = LoopPool
