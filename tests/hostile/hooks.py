"""A task whose hooks, and receivers whose signals, do what their call asks of their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks import Task, signals

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RECEIVERS", "task_with_hooks"]

RECEIVERS = {
    "prerun receiver": signals.task_prerun,
    "success receiver": signals.task_success,
    "failure receiver": signals.task_failure,
    "postrun receiver": signals.task_postrun,
}


def task_with_hooks(at: Callable[[Any, str, Any], object]) -> type[Task[Any, Any]]:
    """Its hooks call `at` with the task, the name of their place and the arguments of the call."""

    class Hostile(Task[Any, Any]):
        abstract = True

        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            at(self, "before_start", args)

        def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            at(self, "on_success", args)

        def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            at(self, "on_retry", args)

        def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            at(self, "on_failure", args)

        def after_return(self, status: str, retval: Any, task_id: str, *call: Any) -> None:
            at(self, "after_return", call[0])

    return Hostile
