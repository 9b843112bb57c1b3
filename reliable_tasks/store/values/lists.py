"""Lists that are read page by page, and how to read all of one."""

from collections.abc import Callable, Iterable, Iterator
from typing import Self, TypeVar

import msgspec

from reliable_tasks.store.values.audit import AuditQuery
from reliable_tasks.store.values.records import MessageQuery

__all__ = ["Page", "every", "every_of"]

T = TypeVar("T")
Q = TypeVar("Q", AuditQuery, MessageQuery)


class Page(tuple[T, ...]):  # noqa: SLOT001 - Python has no slots for one of any size
    """A part of a list, and where the next one begins.

    Attributes:
        after: what the next query takes as its `after`; None where the list ends. Where it is given
            there may be more.
    """

    after: str | None

    def __new__(cls, items: Iterable[T] = (), after: str | None = None) -> Self:
        """Make a page of these items."""
        page = super().__new__(cls, items)
        page.after = after
        return page


def every(ask: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """All that a list has: `ask` gives the page after a place, the first one after None."""
    page = ask(None)
    yield from page
    while page.after is not None:
        page = ask(page.after)
        yield from page


def every_of(ask: Callable[[Q], Page[T]], query: Q) -> Iterator[T]:
    """All that a query finds; its `limit` is the size of a page."""
    return every(lambda after: ask(msgspec.structs.replace(query, after=after or query.after)))
