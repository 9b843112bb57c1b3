"""How values are shown in errors, and what is wrong with a duration.

`errors` imports this module, so it must not import `errors`.
"""

import datetime as dt
import numbers
import reprlib
from collections.abc import Callable
from typing import Any

__all__ = ["MAX_SPAN_S", "as_seconds", "no_span", "printable", "said", "shown"]

MAX_SPAN_S = 100 * 365 * 86_400.0
"""A hundred years: no span may be longer, so that every instant fits stores and datetimes."""


class _Short(reprlib.Repr):
    """A bounded `repr`, of whole numbers that Python does not write out, too."""

    def repr_int(self, x: int, level: int) -> str:
        """A whole number, or how long it is."""
        try:
            return super().repr_int(x, level)
        except ValueError:
            return f"<whole number of {x.bit_length():,} bits>"


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def said(value: object, how: Callable[[Any], str] = repr) -> str:
    """`repr()` (or `str()`) of a value; a placeholder if that raises.

    Nothing that the value's own method raises gets through, not even SystemExit.
    """
    try:
        return str.__str__(how(value))
    except BaseException as broken:  # noqa: BLE001 - see above
        return f"<{type(value).__name__} whose __{how.__name__}__ raised {type(broken).__name__}>"


def shown(value: object) -> str:
    """A short `repr()` for errors; never raises."""
    return said(value, _SHORT.repr)


def printable(text: str) -> str:
    """The text with lone surrogates escaped, so that UTF-8 can encode it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def as_seconds(value: Any) -> float | None:
    """A number of seconds or a timedelta as seconds; None for what is neither, or has no bounds."""
    if isinstance(value, dt.timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        seconds = float(value)
    except (OverflowError, ValueError):  # whole numbers and fractions have no bounds
        return None
    return seconds if abs(seconds) <= MAX_SPAN_S else None  # which no NaN is


def no_span(name: str, value: Any, bounds: str = "at most") -> str:
    """Why a value that `as_seconds` does not understand is refused."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real | dt.timedelta):
        return f"{name} must be a number of seconds or a timedelta, not {shown(value)}"
    return f"{name}={shown(value)} is out of bounds: give {bounds} a hundred years"
