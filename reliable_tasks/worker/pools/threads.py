"""Threads: many bodies at once in one process, for work that waits on the network.

A thread cannot be stopped from outside, so time limits are refused.
"""

from __future__ import annotations

import queue
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from .base import Pool
from .coroutines import Coroutines

if TYPE_CHECKING:
    import contextvars

    from reliable_tasks.attempts.executor import StartedAttempt

__all__ = ["POOL", "ThreadsPool"]

_GLANCE_S = 0.1


class ThreadsPool(Pool):
    """Runs each body in one of a fixed number of threads."""

    enforces_limits: ClassVar[bool] = False
    many_processes: ClassVar[bool] = False

    def run(self) -> None:
        """Run bodies until the exchanger is over.

        Raises:
            BaseException: a thread ended by an error of ours; the process is to end with it.
        """
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for slot in range(self._slots):
            # A daemon: if another one fails, nobody waits for this one.
            name = f"body-{slot}"
            threading.Thread(target=self._work, args=(slot, ended), name=name, daemon=True).start()
        for _ in range(self._slots):
            error = _next(ended)
            if error is not None:
                # If we went on without this thread, its slot would stay taken for ever.
                raise error

    def _work(self, slot: int, ended: queue.SimpleQueue[BaseException | None]) -> None:
        try:
            coroutines = Coroutines()
            call = partial(self._call, coroutines)
            claim = self.exchanger.take()
            while claim is not None:
                claim = self.exchanger.done_then_take(claim, self._attempt(slot, claim, call))
            coroutines.close()
        except BaseException as exc:  # noqa: BLE001 - the main thread raises it
            ended.put(exc)
        else:
            ended.put(None)

    def hear_of_revocation(self, number: signal.Signals) -> bool:
        """Log that the body goes on: a thread cannot be stopped."""
        if number != signal.SIGUSR1:
            return False
        for _, fence in self._newly_revoked():
            self._tell_in_vain(fence)
        return True

    def _call(
        self, coroutines: Coroutines, started: StartedAttempt, context: contextvars.Context
    ) -> Any:
        if not started.is_async:
            return context.run(started.run, *started.args, **started.kwargs)
        return coroutines.run(started.run(*started.args, **started.kwargs), context)


def _next(ended: queue.SimpleQueue[BaseException | None]) -> BaseException | None:
    """Wait for the next thread to end, waking up now and then.

    Python restarts a lock's wait after a signal, and signal handlers run in this thread alone: in
    one long wait they would not run at all.
    """
    while True:
        try:
            return ended.get(timeout=_GLANCE_S)
        except queue.Empty:
            continue


POOL = ThreadsPool
