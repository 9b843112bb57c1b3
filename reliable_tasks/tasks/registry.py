"""The registry of an app's tasks, and how functions become tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Literal, overload

from reliable_tasks.bodies import functions
from reliable_tasks.bodies.models import OPTIONS as MODEL_OPTIONS
from reliable_tasks.bodies.models import models_of
from reliable_tasks.bodies.options import attributes_of, notes_on_options
from reliable_tasks.core import context
from reliable_tasks.core.checks import text
from reliable_tasks.core.texts import shown
from reliable_tasks.errors import ConfigError, NotRegistered, suggest
from reliable_tasks.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.typevars import P, R
    from reliable_tasks.tasks.typed import AsyncTask, MakesTask


__all__ = ["TaskRegistry", "shared_task", "task_of_function"]


class TaskRegistry(dict[str, Task[Any, Any]]):
    """The tasks of an app by name; a missing one raises `NotRegistered` with the nearest name."""

    def __init__(self) -> None:
        super().__init__()
        self.modules: dict[str, functions.Modules] = {}

    def __missing__(self, name: str) -> Task[Any, Any]:
        raise NotRegistered(f"no task is registered as {name!r}{suggest(name, self)}")


def task_of_function(app: AppContext, function: Any, options: dict[str, Any]) -> Task[Any, Any]:
    """Make a task of a function and register it with an app.

    Raises:
        ConfigError: an option is unknown or not possible, or the name is taken.
    """
    options = dict(options)
    handed_on = options.get("filter") or (lambda task: task)
    base = options.pop("base", None) or app.Task
    if not (isinstance(base, type) and issubclass(base, Task)):
        raise ConfigError(f"base must be a subclass of Task, not {shown(base)}")
    name = options.pop("name", None)
    _check_callable(function, named=bool(name))
    made = name or app.gen_task_name(function.__name__, function.__module__ or "__main__")
    name = text("name" if name else "gen_task_name()", made)
    models = models_of(app, f"task {name}", name, function, options)
    options = {option: x for option, x in options.items() if option not in MODEL_OPTIONS}
    given = attributes_of(f"task {name}", options, base, Task)
    taken: Task[Any, Any] | None = app.tasks.get(name)
    modules = functions.modules_of(function)
    before = app.tasks.modules.get(name, {})
    if taken is not None and not functions.was_loaded_again(before, modules):
        if functions.same_function(taken.__wrapped__, function):
            return handed_on(taken)  # type: ignore[no-any-return]
        raise ConfigError(
            f"task {name!r} is registered already, with the function at "
            f"{functions.place(taken.__wrapped__)}; give {functions.place(function)} another "
            "name=, or, if a decorator made both, let it use functools.wraps"
        )
    attributes = {
        "typing": app.strict_typing,
        **given,
        "name": name,
        "abstract": False,
        "run": functions.body_of(
            models.wrapped() if models else function, bool(options.get("bind"))
        ),
        "call_models": models,
        "__wrapped__": staticmethod(function),
        "__doc__": functions.doc_of(function),
        "__module__": getattr(function, "__module__", None) or __name__,
        "__annotations__": functions.annotations_of(function),
    }
    made = type(functions.name_of(function) or name, (base,), attributes)()
    task = _register(app, made, taken)
    app.tasks.modules[task.name] = modules
    app.conf.note(notes_on_options(f"task {name}", options, base))
    return handed_on(task)  # type: ignore[no-any-return]


def _check_callable(function: Any, *, named: bool) -> None:
    said = shown(function)
    if not callable(function):
        raise ConfigError(
            f"a task is made of a function or another callable, not {said}; give the options by "
            "name: @app.task(queue='mail')"
        )
    if not named and functions.name_of(function) is None:
        raise ConfigError(f"{said} has no name of its own: write app.task(name='…')({said})")


def _register(
    app: AppContext, task: Task[Any, Any], taken: Task[Any, Any] | None
) -> Task[Any, Any]:
    """Register a task, in the place of one whose module has been loaded again."""
    if taken is not None:
        del app.tasks[taken.name]
    try:
        app.register_task(task)
    except BaseException:
        if taken is not None:
            app.tasks[taken.name] = taken
        raise
    return task


@overload
def shared_task(
    fun: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
    /,
    *,
    bind: Literal[True],
    **options: Any,
) -> AsyncTask[P, R]: ...


@overload
def shared_task(
    fun: Callable[Concatenate[Any, P], R], /, *, bind: Literal[True], **options: Any
) -> Task[P, R]: ...


@overload
def shared_task(
    fun: Callable[P, Coroutine[Any, Any, R]], /, *, bind: Literal[False] = ..., **options: Any
) -> AsyncTask[P, R]: ...


@overload
def shared_task(
    fun: Callable[P, R], /, *, bind: Literal[False] = ..., **options: Any
) -> Task[P, R]: ...


@overload
def shared_task(*, bind: Literal[True], **options: Any) -> MakesTask[Literal[True]]: ...


@overload
def shared_task(**options: Any) -> MakesTask[Literal[False]]: ...


def shared_task(fun: Any = None, /, **options: Any) -> Any:
    """Make a task of a function for whichever app is current when it is used.

    For libraries: the function is registered with the current app and with each one that becomes
    current later; the object returned stands for the current app's task.
    """

    def declare(function: Callable[..., Any]) -> Any:
        names: dict[int, str] = {}

        def register(app: AppContext) -> None:
            names[id(app)] = task_of_function(app, function, options).name

        context.on_each_app(register)

        def task() -> Task[Any, Any]:
            app = context.get_current_app()
            if id(app) not in names:
                register(app)
            found: Task[Any, Any] = app.tasks[names[id(app)]]
            return found

        return context.Proxy(task)

    return declare(fun) if fun is not None else declare
