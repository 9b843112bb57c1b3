"""Cut what is large into steps: nobody else has to wait for a long script or transaction."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

__all__ = ["STEP_BYTES", "STEP_MESSAGES", "in_steps"]

T = TypeVar("T")

STEP_MESSAGES: Final = 100
"""How many messages one step of an operator's or a housekeeper's verb may change."""
STEP_BYTES: Final = 4_194_304
"""How many bytes of arguments or results one step takes, unless a single one has more."""


def _nothing(_: object) -> int:
    return 0


def in_steps(
    items: Sequence[T], most: int = STEP_MESSAGES, size_of: Callable[[T], int] = _nothing
) -> Iterator[Sequence[T]]:
    """Slices of at most `most` items, and of at most `STEP_BYTES` unless it is a single item."""
    first = size = 0
    for at, item in enumerate(items):
        added = size_of(item)
        if at > first and (at - first >= most or size + added > STEP_BYTES):
            yield items[first:at]
            first, size = at, 0
        size += added
    if items:
        yield items[first:]
