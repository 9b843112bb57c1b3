"""What an attempt calls: a task's body, or the `__call__` of its own that is around it.

Worked out when a task is registered and prepared: a task without such a `__call__` pays nothing.
"""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["called_by_attempts", "prepare_run"]

_called: ContextVar[Any] = ContextVar("called_by_attempt", default=None)
"""The task whose plain `__call__` an attempt has called, and whose body is a coroutine."""


def prepare_run(task: Any, plain: Callable[..., Any]) -> None:
    """Prepare a coroutine body for a plain `__call__` around it; `plain` is the usual one."""
    own = type(task).__call__
    if own is plain or inspect.iscoroutinefunction(own):
        return
    if inspect.iscoroutinefunction(task.run):
        task.run = _WaitedFor(task, task.run)


def called_by_attempts(task: Any, plain: Callable[..., Any]) -> tuple[Callable[..., Any], bool]:
    """What the attempts of a task call, and whether that gives a coroutine to await."""
    own = type(task).__call__
    if own is plain:
        return task.run, inspect.iscoroutinefunction(task.run)
    if isinstance(task.run, _WaitedFor):
        return partial(_call_and_wait, task), False
    return task, inspect.iscoroutinefunction(own)


def _call_and_wait(task: Any, *args: Any, **kwargs: Any) -> Any:
    token = _called.set(task)
    try:
        return task(*args, **kwargs)
    finally:
        _called.reset(token)


class _WaitedFor:
    """A coroutine body that a plain `__call__` of its task is around.

    In an attempt it runs to its end, on a loop of its own, so that what `__call__` opens is open
    for all of the body. A direct call gives the coroutine, to be awaited by the caller.
    """

    def __init__(self, task: Any, run: Callable[..., Any]) -> None:
        functools.update_wrapper(self, run)
        self._task = task
        self._run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        coroutine = self._run(*args, **kwargs)
        if _called.get() is not self._task:
            return coroutine
        import asyncio  # noqa: PLC0415 - few programs need it here

        token = _called.set(None)
        try:
            return asyncio.run(coroutine)
        finally:
            _called.reset(token)
