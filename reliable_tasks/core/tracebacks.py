"""A traceback as text, bounded before it is written: an exception may hold megabytes of it.

Writing them out takes seconds in which nothing else of the process moves, and nobody reads them.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, TracebackType

__all__ = ["bounded", "written"]

_MAX_TEXT = 16_384  # characters of what one exception says
_MAX_TEXTS = 262_144  # of what all of one traceback say
_MAX_NOTES = 20
_MOST_KNOWN = 1024
_HEAD = "Traceback (most recent call last):\n"

_known: dict[tuple[int, int, int], tuple[CodeType, str]] = {}
"""By the id of a code object, which is kept for that, the place in it and the line."""


def bounded(text: str, room: int = _MAX_TEXT) -> str:
    """A text, cut with a mark where it is too long."""
    lost = len(text) - room
    return text if lost <= 0 else f"{text[:room]}… [{lost} characters cut]"


def written(exc: BaseException) -> str:
    """The traceback of an exception and of what led to it.

    Raises:
        BaseException: what a user's exception makes of being looked at.
    """
    shown = traceback.TracebackException(
        type(exc), exc, exc.__traceback__, limit=0, compact=True
    )  # the frames are written by ourselves
    left: list[tuple[Any, Any]] = [(shown, exc)]
    room = _MAX_TEXTS
    while left:
        one, told = left.pop()
        room -= _bound(one, min(_MAX_TEXT, room))
        one.stack = _Frames(_frames(told.__traceback__))
        if one.__cause__ is not None:
            left.append((one.__cause__, told.__cause__))
        if one.__context__ is not None:
            left.append((one.__context__, told.__context__))
        if one.exceptions:
            left += zip(one.exceptions, told.exceptions, strict=True)
    if shown.__cause__ or shown.__context__ or shown.exceptions:
        return "".join(shown.format())
    # The same for one exception by itself, as most are, which no margin stands before.
    head = (_HEAD, *shown.stack) if shown.stack else ()
    return "".join((*head, *shown.format_exception_only()))


class _Frames(list[str]):
    """The frames of a traceback as they are written, in the place of a `StackSummary`."""

    def format(self, **_: Any) -> list[str]:
        """The texts."""
        return self


def _frames(tb: TracebackType | None) -> list[str]:
    """As `traceback.format_tb`, which compiles each line to find where in it an error was.

    Where a body fails once it fails again: what was written of a place in its code is kept.
    """
    if getattr(sys, "tracebacklimit", None) is not None:
        return traceback.format_tb(tb)
    texts, each, last = list[str](), tb, None
    while each is not None:
        code, line = each.tb_frame.f_code, each.tb_lineno
        place = code.co_filename, code.co_name, line
        if place == last:  # a recursion, of which it leaves some out
            return traceback.format_tb(tb)
        key, last = (id(code), each.tb_lasti, line), place
        known = _known.get(key)
        if known is None:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            known = _known[key] = code, "".join(traceback.format_tb(each, 1))
        texts.append(known[1])
        each = each.tb_next
    return texts


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
