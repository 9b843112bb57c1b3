"""A backend for `TASKS`, with the durability and the trail of this package.

```python
TASKS = {
    "default": {
        "BACKEND": "reliable_tasks.contrib.django.backend.ReliableTasksBackend",
        "QUEUES": ["default", "mail"],
    }
}
```
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils import timezone

from reliable_tasks.contrib.django import task_results
from reliable_tasks.contrib.django.declared import registered
from reliable_tasks.contrib.django.project import project_app
from reliable_tasks.contrib.django.task import on_commit
from reliable_tasks.contrib.django.tasks_api import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResultDoesNotExist,
    task_enqueued,
)
from reliable_tasks.errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reliable_tasks.app import App

__all__ = ["ReliableTask", "ReliableTasksBackend"]

_OPTIONS = ("enqueue_on_commit",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliableTask(Task):
    """What `@task` makes for this backend.

    Attributes:
        once: at most one message with the same arguments at a time: `once={}`, or a dict of
            `keys`, `graceful`, `timeout`, `scope` and `on_conflict`, as for `OnceTask`.
        max_attempts: how often its body may run until it succeeds; once by default.
        backoff: seconds before the second attempt, twice that before the third, and so on (True
            is 1 s), with jitter; 180 s before each by default.
    """

    once: Any = field(default=None, hash=False)
    max_attempts: int | None = None
    backoff: bool | float | None = None


class ReliableTasksBackend(BaseTaskBackend):
    """Enqueues Django's tasks as messages of the project's app.

    Its one option, `enqueue_on_commit`, makes calls inside `transaction.atomic()` wait for the
    commit.
    """

    task_class = ReliableTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        for name in self.options:
            if name not in _OPTIONS:
                near = suggest(name, _OPTIONS)
                raise ImproperlyConfigured(f"TASKS[{alias!r}]: no option {name!r}{near}")
        self._on_commit = bool(self.options.get("enqueue_on_commit"))

    @property
    def app(self) -> App:
        """The app whose store has the messages, and whose workers run them."""
        return project_app()

    def validate_task(self, task: Any) -> None:
        """Refuse what cannot run here, and register the rest with the app.

        Raises:
            InvalidTask: it cannot.
        """
        super().validate_task(task)
        try:
            registered(self.app, task)
        except ConfigError as error:
            raise InvalidTask(str(error)) from error

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Store a call of a task.

        Raises:
            InvalidTask: its queue is none of this backend's.
            TypeError: an argument is not for JSON, or the arguments do not fit the function.
            AlreadyQueued: its once-key is held, and it is not `graceful`.
            StoreError: the store refused, or could not be reached.
        """
        self.validate_task(task)
        result = task_results.enqueued(task, args, kwargs, self.alias)
        options: dict[str, Any] = {
            "queue": task.queue_name,
            "priority": task_results.priority_of(task.priority),
            "headers": task_results.headers_of(result),
        }
        if task.run_after is not None:
            moment = task.run_after
            options["eta"] = moment if timezone.is_aware(moment) else timezone.make_aware(moment)
        ours = self.app.tasks[task.module_path]  # as it has just been validated
        with on_commit() if self._on_commit else contextlib.nullcontext():
            handle = ours.apply_async(result.args, result.kwargs, **options)
        if handle.duplicate:
            return self.get_result(handle.id)
        tell = partial(task_enqueued.send, type(self), task_result=result)
        object.__setattr__(result, "id", handle.id)
        if not handle.stored:  # task_always_eager: it has run
            task_results.ended_eagerly(result, handle)
            tell()
        elif handle.receipt is None:  # the transaction around this call has to commit first
            transaction.on_commit(tell)
        else:
            tell()
        return result

    def get_result(self, result_id: str) -> Any:
        """The result of a call, by its id.

        Raises:
            TaskResultDoesNotExist: there is no call with this id, or its result has expired.
        """
        app = self.app
        record = app.store.read([str(result_id)], full=True)[0]
        if record is None:
            raise TaskResultDoesNotExist(result_id)
        if record.task not in app.tasks:
            app.import_modules()  # of the installed apps: not what a message names
        return task_results.of_record(app, record, self.alias)

    def check(self, **_: Any) -> Iterable[checks.CheckMessage]:
        """For `manage.py check`."""
        if not self.queues:
            yield checks.Info(
                f"TASKS[{self.alias!r}] has no QUEUES, so a worker serves those of the tasks that "
                "it knows.",
                "Name the queues, or start workers with -Q.",
                id="reliable_tasks.I002",
            )
