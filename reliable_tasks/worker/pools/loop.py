"""Asyncio: many coroutine bodies at once on one loop; plain functions run in threads beside it.

A hard limit would have to kill the process and with it the neighbours, so time limits are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from locks import contexts
from reliable_tasks import events
from reliable_tasks.attempts.executor import StartedAttempt
from reliable_tasks.worker.copies import in_copies

from .base import Pool

if TYPE_CHECKING:
    from reliable_tasks.core import outcome
    from reliable_tasks.store.values import Claim

    _Ended = tuple[Any, BaseException | None]

__all__ = ["POOL", "LoopPool"]


class LoopPool(Pool):
    """Runs bodies on an asyncio loop in the main thread."""

    enforces_limits: ClassVar[bool] = False
    many_processes: ClassVar[bool] = False

    _loop: asyncio.AbstractEventLoop | None = None
    _broken: BaseException | None = None  # an error of ours that ends the process

    def run(self) -> None:
        """Run bodies until the exchanger is over."""
        # As many threads as slots, so that whatever is claimed runs. They start when needed.
        self._threads = ThreadPoolExecutor(self._slots, thread_name_prefix="body")
        runner = asyncio.Runner()
        loop = runner.get_loop()
        main = loop.create_task(self._main())
        in_copies(partial(self._end_copy_of_loop, loop, threading.get_ident()))
        while not main.done():
            try:
                loop.run_until_complete(main)
            except (SystemExit, KeyboardInterrupt, RuntimeError) as exc:
                if main.done() or loop.is_closed() or self._broken is not None:
                    raise
                # A body's own task has exited, or a body has stopped the loop. Others still use it.
                events.report("what a body left on the loop has stopped it; it goes on", exc)
        # Not reached after an error: closing cancels bodies, and that would pass for an outcome.
        runner.close()
        self._threads.shutdown(wait=False)

    def _end_copy_of_loop(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        """End a forked copy of the loop's thread once its body lets the loop go on."""
        if threading.get_ident() == thread and not loop.is_closed():
            loop.call_soon(self._end_copy)

    async def _main(self) -> None:
        self._came = asyncio.Event()
        self._loop = asyncio.get_running_loop()  # from here on `claims_came` wakes it
        self._bodies: dict[int, asyncio.Task[_Ended]] = {}  # a loop keeps only weak references
        free = list(range(self._slots))
        while not self.exchanger.over or len(free) < self._slots:
            self._came.clear()
            while free and (claim := self.exchanger.try_take()) is not None:
                self._start(free, claim)
            with contextlib.suppress(asyncio.CancelledError):  # of a body that cancels all tasks
                await self._came.wait()
            if self._broken is not None:
                raise self._broken

    def claims_came(self) -> None:
        """Wake the loop; called in the consumer's thread."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._came.set)
        except RuntimeError:
            return  # the loop is closed: nobody waits, and there are outcomes left to commit

    def hear_of_revocation(self, number: signal.Signals) -> bool:
        """Cancel the coroutine; a plain body runs in a thread, which cannot be stopped."""
        if number != signal.SIGUSR1 or self._loop is None:
            return False
        self._loop.call_soon_threadsafe(self._cancel_revoked)
        return True

    def _cancel_revoked(self) -> None:
        for slot, fence in self._newly_revoked():
            if slot in self._bodies:
                self._bodies[slot].cancel()
            else:
                self._tell_in_vain(fence)

    def _stops(self, started: StartedAttempt) -> bool:
        return started.is_async

    # `_attempt` in two halves, since there are many bodies and none has a thread to wait in.

    def _start(self, free: list[int], claim: Claim) -> None:
        slot, context = free.pop(), contextvars.copy_context()
        started = context.run(self._begin, slot, claim)
        finish = partial(self._finish, free, slot, claim)
        if not isinstance(started, StartedAttempt):
            finish(started)
        elif started.is_async:
            task = asyncio.create_task(self._ended_of_coroutine(started), context=context)
            self._bodies[slot] = task
            task.add_done_callback(lambda task: finish(self._outcome(slot, started, context, task)))
        else:
            loop = asyncio.get_running_loop()
            body = self._threads.submit(context.run, self._ended, started)
            body.add_done_callback(
                lambda body: loop.call_soon_threadsafe(
                    lambda: finish(self._outcome(slot, started, context, body))
                )
            )

    def _outcome(
        self,
        slot: int,
        started: StartedAttempt,
        context: contextvars.Context,
        body: asyncio.Task[_Ended] | Future[_Ended],
    ) -> outcome.Outcome:
        try:
            value, error = body.result()
        except BaseException as exc:  # noqa: BLE001 - cancelled before it had begun
            value, error = None, exc
        contexts.has_ended(context, "the task")
        if error is None:
            return context.run(self._returned, started, value)
        return context.run(self._raised, slot, started, error)

    def _finish(self, free: list[int], slot: int, claim: Claim, done: outcome.Outcome) -> None:
        self._end_copy()
        try:
            self._bodies.pop(slot, None)
            done = self._with_word_of_revocation(slot, claim, done)
            self._board.clear(slot)
            self.exchanger.done(claim, done)
        except BaseException as exc:  # noqa: BLE001 - `run` raises it, or the slot would be lost
            self._broken = exc
        free.append(slot)
        self._came.set()

    # How a body ended, as a value: futures refuse StopIteration and do not keep exits.

    async def _ended_of_coroutine(self, started: StartedAttempt) -> _Ended:
        value, error = None, None
        try:
            value = await started.run(*started.args, **started.kwargs)
        except BaseException as exc:  # noqa: BLE001 - whatever a body raises ends its attempt
            error = exc
        self._end_copy(error)
        return value, error

    def _ended(self, started: StartedAttempt) -> _Ended:
        value, error = None, None
        try:
            value = started.run(*started.args, **started.kwargs)
        except BaseException as exc:  # noqa: BLE001 - whatever a body raises ends its attempt
            error = exc
        self._end_copy(error)
        return value, error


POOL = LoopPool
