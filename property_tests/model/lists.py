"""What the model's lists have on a page."""

from typing import TypeVar

from property_tests.model.tables import Row, is_dead
from reliable_tasks.store import values as v

T = TypeVar("T")


def page_of(items: list[T], after: str | None, limit: int | None) -> v.Page[T]:
    """The items after a place, which is a number: nothing changes a model between two pages."""
    start = int(after or 0)
    end = len(items) if limit is None else start + limit
    return v.Page(items[start:end], str(end) if end < len(items) else None)


def matches(r: Row, query: v.MessageQuery) -> bool:
    """Whether a record is what a query asks for."""
    return (
        query.state in {None, r.state}
        and query.queue in {None, r.m.queue}
        and query.task in {None, r.m.task}
        and (not query.dead or is_dead(r))
        and query.root_id in {None, r.m.root_id}
        and query.session in {None, r.session}
    )
