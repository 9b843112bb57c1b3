"""`app.AsyncResult` and `app.GroupResult`: they are called as the classes are, for their app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.results.groups import GroupResult
from reliable_tasks.results.result import AsyncResult

if TYPE_CHECKING:
    from uuid import UUID

    from reliable_tasks.core.context import AppContext

__all__ = ["GroupsOfApp", "ResultsOfApp"]


class ResultsOfApp:
    """Makes handles on messages of an app; `isinstance` knows it as their class."""

    def __init__(self, app: AppContext) -> None:
        self.app = app

    def __call__(
        self,
        id: str | UUID | None = None,  # noqa: A002 - Celery's name
        **kwargs: Any,
    ) -> AsyncResult[Any]:
        """A handle on the message with this id."""
        return AsyncResult(id, app=self.app, **kwargs)

    def __instancecheck__(self, handle: object) -> bool:
        return isinstance(handle, AsyncResult)


class GroupsOfApp:
    """Makes handles on groups of an app; `isinstance` knows it as their class."""

    def __init__(self, app: AppContext) -> None:
        self.app = app

    def __call__(
        self,
        id: str | None = None,  # noqa: A002 - Celery's name
        results: Any = None,
        **kwargs: Any,
    ) -> GroupResult[Any]:
        """A handle on several messages."""
        return GroupResult(id, results, app=self.app, **kwargs)

    def restore(self, id: str, backend: object = None) -> GroupResult[Any] | None:  # noqa: A002
        """The group that was saved under this id; None if there is none."""
        return GroupResult.restore(id, backend, app=self.app)

    def __instancecheck__(self, handle: object) -> bool:
        return isinstance(handle, GroupResult)
