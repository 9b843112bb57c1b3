"""Django's tasks as tasks of an app: registered where they are declared, run by its workers."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from reliable_tasks.contrib.django import task_results
from reliable_tasks.contrib.django.task import DjangoTask
from reliable_tasks.contrib.django.tasks_api import (
    TaskContext,
    TaskResultStatus,
    normalize_json,
    task_backends,
    task_finished,
    task_started,
)
from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError
from reliable_tasks.tasks.task import OnceTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.app import App

__all__ = ["Declared", "registered"]


class Declared(DjangoTask[..., Any]):
    """A task of an app that stands for one of Django's.

    Attributes:
        declared: Django's.
        given: the extra arguments of `@task`.
    """

    abstract: ClassVar[bool] = True
    declared: Any = None
    given: ClassVar[dict[str, Any]] = {}

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Send Django's `task_finished`."""
        result = task_results.running(self.declared, self.request)
        task_results.end(result, TaskResultStatus.SUCCESSFUL, retval)
        task_finished.send_robust(_sender(result), task_result=result)

    def on_failure(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Send Django's `task_finished`, as Django does where the exception is being handled."""
        result = task_results.running(self.declared, self.request)
        task_results.end(result, TaskResultStatus.FAILED, error=(exc, str(einfo)))
        try:
            raise exc  # noqa: TRY301 - see the docstring
        except BaseException:  # noqa: BLE001 - only so that logs of receivers have it
            task_finished.send_robust(_sender(result), task_result=result)


class _DeclaredOnce(Declared, OnceTask[..., Any]):
    """The same, with a once-key."""

    abstract: ClassVar[bool] = True


def registered(app: App, task: Any) -> Any:
    """The app's task for one of Django's; made when it is first seen.

    Raises:
        ConfigError: an extra argument of `@task` is not possible, or differs from an earlier
            declaration of the same function.
    """
    given = {n: getattr(task, n, None) for n in ("once", "max_attempts", "backoff")}
    given["takes_context"] = task.takes_context
    known = app.tasks.get(task.module_path)
    if isinstance(known, Declared) and known.declared.func is task.func:
        if known.given != given:
            raise ConfigError(
                f"{task.module_path} is declared twice, with {known.given} and with {given}: give "
                "one function one set of arguments"
            )
        return known
    made = app.task(
        _body_of(task),
        name=task.module_path,
        base=Declared if given["once"] is None else _DeclaredOnce,
        **_options(task.module_path, given),
    )
    made.declared, made.given = task, given
    return made


def _options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    most, backoff = given["max_attempts"], given["backoff"]
    options: dict[str, Any] = {"max_retries": 0}
    if most is not None:
        if type(most) is not int or most < 1:
            raise ConfigError(f"{name}: max_attempts={most!r} must be a whole number from 1")
        options = {"max_retries": most - 1, "autoretry_for": (Exception,)}
    if backoff is not None:
        if most is None or most == 1:
            raise ConfigError(f"{name}: backoff={backoff!r} needs max_attempts above 1")
        options["retry_backoff"] = backoff
    if given["once"] is not None:
        options["once"] = {} if given["once"] is True else given["once"]
    return options


def _body_of(task: Any) -> Callable[..., Any]:
    """The function, told to Django's receivers, with its context if it takes one."""
    function = task.func
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def body(*args: Any, **kwargs: Any) -> Any:
            first = await asyncio.to_thread(_begin, task)
            return normalize_json(await function(*first, *args, **kwargs))

    else:

        @functools.wraps(function)
        def body(*args: Any, **kwargs: Any) -> Any:
            return normalize_json(function(*_begin(task), *args, **kwargs))

    if task.takes_context:
        there = inspect.signature(function)
        rest = list(there.parameters.values())[1:]
        body.__signature__ = there.replace(parameters=rest)  # type: ignore[attr-defined]
    return body


def _begin(task: Any) -> tuple[Any, ...]:
    """Tell Django's receivers that a body begins; returns what goes before its arguments."""
    attempt = context.current_attempt.get()
    if attempt is None:
        raise ConfigError(f"{task.module_path} is run by a worker; call it with .call()")
    result = task_results.running(task, attempt.request)
    task_started.send_robust(_sender(result), task_result=result)
    return (TaskContext(task_result=result),) if task.takes_context else ()


def _sender(result: Any) -> type[Any]:
    return type(task_backends[result.backend])
