"""Prefork: one body at a time, in the main thread of a process of its own.

Soft limits are raised in the body, hard ones kill the process. Coroutine functions run on one loop
that is kept for the life of the child.
"""

from __future__ import annotations

import asyncio
import resource
import signal
from typing import TYPE_CHECKING, Any, ClassVar

from reliable_tasks.core import clock, interrupts
from reliable_tasks.errors import SoftTimeLimitExceeded
from reliable_tasks.worker.copies import take_back

from .base import Pool
from .coroutines import Coroutines

if TYPE_CHECKING:
    import contextvars

    from reliable_tasks.attempts.executor import StartedAttempt

__all__ = ["POOL", "PreforkPool"]


async def limited(started: StartedAttempt) -> Any:
    """Run a coroutine body under its soft limit: it is cancelled, and told why."""
    limit_s = started.prepared.soft_limit_s
    try:
        async with asyncio.timeout(limit_s) as scope:
            return await started.run(*started.args, **started.kwargs)
    except TimeoutError as exc:
        if not scope.expired():
            raise
        raise SoftTimeLimitExceeded(f"the body ran longer than {limit_s:g} s") from exc


class PreforkPool(Pool):
    """Runs bodies in the main thread."""

    inline: ClassVar[bool] = True

    _coroutines: Coroutines
    _body = 0  # the claim whose body runs right now; 0 for none
    _soft_at = 0.0  # when the soft limit of the body that runs right now passes; 0.0 for none

    def run(self) -> None:
        """Run bodies until the exchanger is over."""
        self._coroutines = Coroutines()
        claim = self.exchanger.take()
        while claim is not None:
            done = self._attempt(0, claim, self._call)
            take_back()
            if self._max_memory_kib is not None:
                used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                if used > self._max_memory_kib:
                    self.exchanger.drain()
            claim = self.exchanger.done_then_take(claim, done)
        self._coroutines.close()

    def _call(self, started: StartedAttempt, context: contextvars.Context) -> Any:
        prepared, self._body = started.prepared, started.claim.fence
        try:
            if prepared.is_async:
                return self._coroutines.run(limited(started), context)
            if prepared.soft_limit_s:
                self._soft_at = clock.monotonic() + prepared.soft_limit_s
            return context.run(prepared.run, *started.args, **started.kwargs)
        finally:
            self._soft_at, self._body = 0.0, 0
            interrupts.forget()

    def soft_limit(self) -> None:
        """Raise in the body that runs, unless the signal was meant for one that has ended.

        If the body is inside a call of ours, that call finishes first.
        """
        if 0.0 < self._soft_at <= clock.monotonic() + 0.01:
            self._soft_at = 0.0
            interrupts.raise_between(
                SoftTimeLimitExceeded("the body ran longer than its soft time limit")
            )

    def hear_of_revocation(self, number: signal.Signals) -> bool:
        """Raise in the body, as Python does on this signal, or as programs that tidy up do."""
        fence = self._board.revoked(0)
        if not fence:
            return False
        if fence != self._body:
            self._board.heed(0)  # the body has ended in the meantime
            return True
        self._body = 0  # once
        word: BaseException = SystemExit(128 + number)
        if number == signal.SIGINT:
            word = KeyboardInterrupt()
        elif number == signal.SIGUSR1:
            word = SoftTimeLimitExceeded("the message was revoked")
        interrupts.raise_between(word)
        return True


POOL = PreforkPool
