"""Threads: many bodies at once in one process, for work that waits on the network.

A thread cannot be stopped from outside, so time limits are refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from reliable_tasks.worker.executor import Started

from .base import Pool

if TYPE_CHECKING:
    from reliable_tasks import outcome
    from reliable_tasks.store.values import Claim

__all__ = ["POOL", "ThreadsPool"]


class ThreadsPool(Pool):
    """Runs each body in one of a fixed number of threads."""

    enforces_limits: ClassVar[bool] = False
    many_processes: ClassVar[bool] = False

    def run(self) -> None:
        """Run bodies until the feed is over."""
        threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"body-{slot}")
            for slot in range(self._slots)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, slot: int) -> None:
        runner = asyncio.Runner()
        claim = self.feed.take()
        while claim is not None:
            claim = self.feed.done_then_take(claim, self._attempt(slot, claim, runner))
        runner.close()

    def _attempt(self, slot: int, claim: Claim, runner: asyncio.Runner) -> outcome.Outcome:
        started = self._begin(slot, claim)
        try:
            if not isinstance(started, Started):
                return started
            try:
                value = self._call(started, runner)
            except BaseException as exc:  # noqa: BLE001 - whatever a body raises ends its attempt
                return self._raised(started, exc)
            return self._returned(started, value)
        finally:
            self._board.clear(slot)

    def _call(self, started: Started, runner: asyncio.Runner) -> Any:
        if not started.is_async:
            return started.run(*started.args, **started.kwargs)
        body = started.run(*started.args, **started.kwargs)
        return runner.run(body, context=contextvars.copy_context())


POOL = ThreadsPool
