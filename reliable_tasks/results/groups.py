"""`GroupResult`: one handle on the messages of a group, nested as the canvas was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from reliable_tasks.core import context, ids
from reliable_tasks.core.typevars import R
from reliable_tasks.errors import ReliableTasksError
from reliable_tasks.results.base import ResultBase
from reliable_tasks.results.result import AsyncResult
from reliable_tasks.results.sets import ResultSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliable_tasks.core.context import AppContext


__all__ = ["GroupResult", "result_from_tuple"]


class GroupResult(ResultSet[R]):
    """A `ResultSet` with an id, under which it can be saved.

    Its members are `AsyncResult`s, and `GroupResult`s where groups were nested.

    Attributes:
        id: of the group.
        results: the handles of its members.
        parent: the handle of what came before the group in a chain.
    """

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - Celery's name
        results: Iterable[Any] | None = None,
        parent: Any = None,
        app: AppContext | None = None,
        ready_barrier: object = None,
    ) -> None:
        super().__init__(results or (), app, ready_barrier)
        self.id = id or ids.new_id()
        self.parent = parent

    def __bool__(self) -> bool:
        return True

    # Keeping it ----------------------------------------------------------------------------------

    def save(self, backend: object = None) -> Self:  # noqa: ARG002 - Celery's position
        """Store the ids of its members for `restore`, for as long as results are kept."""
        self.app.store.save_group(
            self.id, msgspec.json.encode(self.as_tuple()), self.app.result_ttl_ms
        )
        return self

    def delete(self, backend: object = None) -> None:  # noqa: ARG002 - Celery's position
        """Forget what `save` kept."""
        self.app.store.delete_group(self.id)

    @classmethod
    def restore(
        cls,
        id: str,  # noqa: A002 - Celery's name
        backend: object = None,  # noqa: ARG003 - Celery's position
        app: AppContext | None = None,
    ) -> GroupResult | None:
        """The group that was saved under this id; None if there is none."""
        app = app or context.get_current_app()
        saved = app.store.load_group(id)
        return None if saved is None else _made(msgspec.json.decode(saved), app)

    def _named(self) -> str:
        return f"group {self.id}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return self.id == other.id and self.results == other.results
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<GroupResult: {self.id} {self._members()}>"

    def __reduce__(self) -> Any:
        return GroupResult, (self.id, self.results)


def result_from_tuple(value: Any, app: AppContext | None = None) -> Any:
    """The handle that `as_tuple` describes; a handle is returned as it is.

    Raises:
        ReliableTasksError: it describes none.
    """
    if isinstance(value, ResultBase):
        return value
    try:
        own, members = [] if isinstance(value, str) else list(value)
        return _made((own, members), app or context.get_current_app())
    except (TypeError, ValueError):
        raise ReliableTasksError(f"{value!r} is not the tuple of a result") from None


def _made(value: Any, app: AppContext) -> Any:
    """The handle of ids: of `as_tuple`, or as earlier releases saved groups."""
    line = list[tuple[str, Any]]()
    while value is not None:
        (own, members) = (value, None) if isinstance(value, str) else value
        own_id, value = own if isinstance(own, list | tuple) else (own, None)
        line.append((own_id, members))
    handle: Any = None
    for own_id, members in reversed(line):
        if members is None:
            handle = AsyncResult(own_id, app=app, parent=handle)
        else:
            handle = GroupResult(own_id, [_made(each, app) for each in members], handle, app)
    return handle
