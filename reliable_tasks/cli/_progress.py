"""Tell on a terminal how far a long reading has come."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TypeVar

from reliable_tasks.core.clock import monotonic

from ._say import overwrite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["told"]

T = TypeVar("T")
_LOOK_EVERY: Final = 500
_EVERY_S: Final = 0.5


def _shows(printed: bool) -> bool:
    """Whether there is a terminal, on which nothing else tells it."""
    return sys.stderr.isatty() and not (printed and sys.stdout.isatty())


def told(items: Iterable[T], what: str, *, printed: bool = False) -> Iterator[T]:
    """The items; meanwhile a line on standard error says how many there were so far.

    Args:
        items: what is read.
        what: they are, in words.
        printed: whether they are printed as they come.
    """
    if not _shows(printed):
        yield from items
        return
    said_at, number = monotonic(), 0
    try:
        for number, item in enumerate(items, 1):
            yield item
            if number % _LOOK_EVERY == 0 and monotonic() > said_at + _EVERY_S:
                overwrite(f"{number:,} {what} read")
                said_at = monotonic()
    finally:
        overwrite("")
