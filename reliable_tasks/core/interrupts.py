"""An exception of a signal of ours is raised between our steps, never within one.

A handler runs between any two instructions of the main thread. What is marked as `whole` is not
interrupted there: the exception waits until it is over. While a local variable `in_user_code` of it
is true it may be interrupted all the same.

Exceptions of others' handlers (Ctrl-C) know nothing of this: whatever they interrupt, what they
leave behind is put in order by the stores.
"""

import sys
import threading
from collections.abc import Callable
from functools import wraps
from types import CodeType, FrameType
from typing import ParamSpec, TypeVar

__all__ = ["due", "forget", "raise_between", "whole"]

P = ParamSpec("P")
R = TypeVar("R")

_whole: set[CodeType] = set()
_pending: BaseException | None = None


def whole(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function: what is to be raised meanwhile is raised when it is over."""
    _whole.add(function.__code__)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        finally:
            if _pending is not None:
                _come(sys._getframe())  # noqa: SLF001 - who called us is the question

    return call


def raise_between(exc: BaseException) -> None:
    """Raise, now or when the innermost thing that is whole is over; in a signal's handler."""
    global _pending  # noqa: PLW0603 - there is one main thread
    if _is_whole(sys._getframe(1)):  # noqa: SLF001 - what was interrupted is the question
        _pending = exc
    else:
        raise exc


def due() -> bool:
    """Whether something waits to be raised."""
    return _pending is not None


def forget() -> None:
    """What waits was meant for a body that has ended."""
    global _pending  # noqa: PLW0603
    _pending = None


def _come(frame: FrameType) -> None:
    global _pending
    if threading.current_thread() is not threading.main_thread() or _is_whole(frame.f_back):
        return
    exc, _pending = _pending, None
    if exc is not None:
        raise exc


def _is_whole(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _whole:
            return not frame.f_locals.get("in_user_code")
        frame = frame.f_back
    return False
