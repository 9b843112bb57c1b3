"""`self.step(...)`: an effect that is recorded once and replayed on later attempts.

A step is begun in the store before its function is called, and recorded after it has returned. What
a store knows of a step is one value for ever, so a function that raised is recorded as that under
the step's name, and the next try goes under a name of its own: `charge`, `charge (try 2)`, …
"""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import TYPE_CHECKING, Any

from reliable_tasks.core import interrupts
from reliable_tasks.core.checks import check_size, text
from reliable_tasks.core.codec import dumps, loads
from reliable_tasks.errors import (
    ConfigError,
    ReliableTasksError,
    SoftTimeLimitExceeded,
    StaleClaim,
    StepOutcomeUnknown,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.request import AttemptContext, AttemptStore

__all__ = ["run_step"]

_RAISED = b"!"  # begins what is recorded of a function that raised; no JSON text begins so
_LEAVES_OPEN = (SoftTimeLimitExceeded, StepOutcomeUnknown)
_MAX_TRIES = 1000
_TRY = re.compile(r" \(try \d+\)$")


def run_step(
    running: AttemptContext | None, name: str, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    """Call `function` unless an earlier attempt recorded this step; record what it returns.

    A function that raises has not done its work: the exception goes on to the body, and the step
    may be tried again, by this attempt or a later one. The outcome stays unknown where the function
    was interrupted (a soft time limit, a cancellation) or says so (`raise StepOutcomeUnknown`).

    Raises:
        StepOutcomeUnknown: an earlier attempt began it and died before its outcome was recorded.
        StaleClaim: the claim was taken away.
        ConfigError: no body is running, or the name is not possible.
        MessageTooLarge: what it returned is larger than a result may be. It took effect, so that
            its outcome is unknown to later attempts.
    """
    if running is None:
        raise ConfigError("step() works from inside the body of a task")
    name = text("a step's name", name)
    if _TRY.search(name):
        raise ConfigError(f"step {name!r}: names that end in '(try …)' are kept for repeated tries")
    if running.store is None:
        return function(*args, **kwargs)
    step = _Step(running, running.store, name)
    if inspect.iscoroutinefunction(function):
        return _run_async(step, function, args, kwargs)
    return _run(step, function, args, kwargs)


@interrupts.whole
def _run(step: _Step, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run a step so that a soft time limit can interrupt only the function."""
    if step.begin():
        return step.value
    if interrupts.due():
        step.skipped("a soft time limit")
        return None  # to the one that waits to be raised
    in_user_code = True
    try:
        value = function(*args, **kwargs)
    except BaseException as exc:
        in_user_code = False
        step.raised(exc)
        raise
    in_user_code = False  # noqa: F841 - see interrupts
    step.returned(value)
    return value


async def _run_async(step: _Step, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The same for a coroutine function; the store is called in a thread."""
    if await asyncio.to_thread(step.begin):
        return step.value
    try:
        value = await function(*args, **kwargs)
    except Exception as exc:
        await asyncio.to_thread(step.raised, exc)
        raise
    await asyncio.to_thread(step.returned, value)
    return value


class _Step:
    """One step of a running attempt: its name, and the current try."""

    def __init__(self, running: AttemptContext, store: AttemptStore, name: str) -> None:
        self.value: Any = None
        self._running = running
        self._store = store
        self._name = name
        self._key = name

    def begin(self) -> bool:
        """Begin the next try. Returns True if the step was done before; `value` has its result."""
        for number in range(1, _MAX_TRIES + 1):
            self._key = self._name if number == 1 else f"{self._name} (try {number})"
            begun = self._store.step(self._key, None)
            if begun.known == "begun":
                raise StepOutcomeUnknown(
                    f"{self._where()} was begun by an earlier attempt that died; find out whether "
                    "it took effect, then go on without it or do it under another name"
                )
            self._check(begun.known)
            if begun.value is None:
                return False
            if not begun.value.startswith(_RAISED):
                self.value = loads(begun.value, "json")
                return True
        raise ReliableTasksError(f"{self._where()} raised in each of {_MAX_TRIES} tries")

    def returned(self, value: Any) -> None:
        """Record what the function returned.

        Raises:
            MessageTooLarge: it is larger than a result may be; the step stays begun, hence unknown.
        """
        recorded = dumps(value, "json")
        most = self._running.task.app.settings.max_result_bytes
        check_size(f"the value of {self._where()}", len(recorded), most, "max_result_bytes")
        self._check(self._store.step(self._key, recorded).known)

    def skipped(self, why: str) -> None:
        """Record that the function was not called."""
        self._check(self._store.step(self._key, _RAISED + why.encode()).known)

    def raised(self, exc: BaseException) -> None:
        """Record that the function raised, unless that leaves open whether it took effect."""
        if not isinstance(exc, Exception) or isinstance(exc, _LEAVES_OPEN):
            return
        try:
            self._check(self._store.step(self._key, _RAISED + type(exc).__name__.encode()).known)
        except StoreError as error:
            # The body gets its own exception. The step stays begun, so its outcome is unknown.
            exc.add_note(f"{self._where()} raised, which could not be recorded: {error}")

    def _check(self, known: str) -> None:
        if known == "stale":
            raise StaleClaim(
                f"{self._where()}: the claim with fence {self._running.request.fence} was taken "
                "away from this worker"
            )

    def _where(self) -> str:
        return f"step {self._key!r} of {self._running.request.id}"
