"""Raise exceptions of our signals between our own steps, never in the middle of one.

A signal handler runs between any two instructions of the main thread. A function marked as `whole`
is not interrupted: the exception waits until the function returns. While its local variable
`in_user_code` is true, it may be interrupted all the same.

Handlers of others (Ctrl-C) know nothing of this. The stores clean up whatever such an exception
leaves behind.
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
    """Mark a function: an exception of `raise_between` waits until the function returns."""
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
    """Raise now, or when the outermost function marked as whole returns; for signal handlers."""
    global _pending  # noqa: PLW0603 - there is one main thread
    if _is_whole(sys._getframe(1)):  # noqa: SLF001 - what was interrupted is the question
        _pending = exc
    else:
        raise exc


def due() -> bool:
    """Whether an exception waits to be raised."""
    return _pending is not None


def forget() -> None:
    """Drop the exception that waits: it was meant for a body that has ended."""
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
