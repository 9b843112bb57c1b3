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
            # A daemon, for the case that another one has failed: then nobody waits for it.
            name = f"body-{slot}"
            threading.Thread(target=self._work, args=(slot, ended), name=name, daemon=True).start()
        for _ in range(self._slots):
            error = _next(ended)
            if error is not None:
                # Without this thread its slot would stay taken, and the lease be renewed for ever.
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
        """A thread cannot be stopped: say so."""
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
    """Wait for it and look up now and then: a signal that has come does not end a wait for a lock.

    System calls that a signal interrupts are restarted (see `copies.handle`), this one among them,
    and its handler runs in this thread alone.
    """
    while True:
        try:
            return ended.get(timeout=_GLANCE_S)
        except queue.Empty:
            continue


POOL = ThreadsPool
