"""`DjangoTask`: calls that wait for the end of the transaction around them."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from reliable_tasks.core import ids
from reliable_tasks.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.results.result import AsyncResult

__all__ = ["DjangoTask", "at_commit", "on_commit"]

P = ParamSpec("P")
R = TypeVar("R")

_asked: ContextVar[str | None] = ContextVar("on_commit", default=None)


@contextlib.contextmanager
def on_commit(using: str | None = None) -> Iterator[None]:
    """Within the block, store what is enqueued when the transaction around it commits.

    Args:
        using: alias of the database whose transaction it is; the default one if None.
    """
    from django.db import DEFAULT_DB_ALIAS  # noqa: PLC0415 - Django is loaded when it is used

    token = _asked.set(using or DEFAULT_DB_ALIAS)
    try:
        yield
    finally:
        _asked.reset(token)


def at_commit(app: AppContext, publish: Callable[[], object]) -> bool:
    """Call `publish` when the transaction commits; False if none is open, or nobody asked."""
    using = _asked.get()
    if using is None and not app.settings.enqueue_on_commit:
        return False
    from django.db import transaction  # noqa: PLC0415

    connection = transaction.get_connection(using)
    if not connection.in_atomic_block:
        return False
    transaction.on_commit(publish, using=using)
    return True


class DjangoTask(Task[P, R]):
    """The class of tasks in a Django project; subclass it for a base of your own."""

    abstract: ClassVar[bool] = True

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Enqueue a call once the transaction around it has committed; see the other one."""
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        *rest: Any,
        using: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Enqueue a call, with options, once the transaction around it has committed.

        The call is checked and encoded here and now; a `countdown` begins at the commit. Outside of
        a transaction it is enqueued at once. After a rollback there is no message, and its handle
        stays PENDING. A once-task's duplicate is found at the commit, where it is no error.

        Args:
            args: positional arguments.
            kwargs: keyword arguments.
            *rest: as `apply_async` takes them.
            using: alias of the database whose transaction it is.
            **options: those of `apply_async`.

        Returns:
            the handle on the message that will be there (Celery returns None). Do not wait for it
            before the commit.
        """
        with on_commit(using):
            return self.apply_async(args, kwargs, *rest, **options)

    def apply_async(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: Any = None,
        *rest: Any,
        **options: Any,
    ) -> AsyncResult[R]:
        """Enqueue a call with options: see `Task.apply_async`.

        With `task_always_eager`, a call that is to wait for a commit runs at the commit.
        """
        call = super().apply_async
        if self.app.settings.task_always_eager:
            task_id = task_id or ids.new_id()
            later = partial(call, args, kwargs, task_id, *rest, **options)
            if at_commit(self.app, later):
                handle: AsyncResult[R] = self.app.AsyncResult(task_id, task_name=self.name)
                return handle
        return call(args, kwargs, task_id, *rest, **options)
