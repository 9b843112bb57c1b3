"""A traceback as text, bounded before it is written: an exception may hold megabytes of it.

Writing them out takes seconds in which nothing else of the process moves, and nobody reads them.
"""

from __future__ import annotations

import traceback
from typing import Any

__all__ = ["bounded", "written"]

_MAX_TEXT = 16_384  # characters of what one exception says
_MAX_TEXTS = 262_144  # of what all of one traceback say
_MAX_NOTES = 20


def bounded(text: str, room: int = _MAX_TEXT) -> str:
    """A text, cut with a mark where it is too long."""
    lost = len(text) - room
    return text if lost <= 0 else f"{text[:room]}… [{lost} characters cut]"


def written(exc: BaseException) -> str:
    """The traceback of an exception and of what led to it.

    Raises:
        BaseException: what a user's exception makes of being looked at.
    """
    shown = traceback.TracebackException(type(exc), exc, exc.__traceback__, compact=True)
    left, room = [shown], _MAX_TEXTS
    while left:
        one = left.pop()
        room -= _bound(one, min(_MAX_TEXT, room))
        left += (other for other in (one.__cause__, one.__context__) if other is not None)
        left += one.exceptions or ()
    return "".join(shown.format())


def _bound(one: Any, room: int) -> int:
    """Bound all that an exception says of itself; returns the length of what is left."""
    before = room
    for name in ("_str", "msg", "text"):  # the latter two are a SyntaxError's
        said = getattr(one, name, None)
        if isinstance(said, str):
            cut = bounded(said, room)
            setattr(one, name, cut)
            room = max(0, room - len(cut))
    notes = one.__notes__
    if isinstance(notes, str | bytes):
        one.__notes__ = notes[:room]
    elif isinstance(notes, list | tuple):
        kept = list[str]()
        for note in notes[:_MAX_NOTES]:
            kept.append(bounded(_text_of(note), room))
            room = max(0, room - len(kept[-1]))
        one.__notes__ = kept
    return before - room


def _text_of(note: object) -> str:
    try:
        return str.__str__(str(note))
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything; Python says it so as well
        return "<note str() failed>"
