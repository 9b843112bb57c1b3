"""The registry of an app's tasks, and how functions become tasks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from . import _state
from .errors import ConfigError, NotRegistered, suggest
from .task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from .app import App

__all__ = ["TaskRegistry", "shared_task", "task_of_function"]

P = ParamSpec("P")
R = TypeVar("R")


class TaskRegistry(dict[str, Task[Any, Any]]):
    """The tasks of an app by name; a missing one raises `NotRegistered` with the nearest name."""

    def __missing__(self, name: str) -> Task[Any, Any]:
        raise NotRegistered(f"no task is registered as {name!r}{suggest(name, self)}")


def task_of_function(
    app: App, function: Callable[..., Any], options: dict[str, Any]
) -> Task[Any, Any]:
    """Make a task of a function and register it with an app.

    Raises:
        ConfigError: an option is unknown or not possible, or the name is taken.
    """
    options = dict(options)
    base = options.pop("base", None) or app.Task
    if not (isinstance(base, type) and issubclass(base, Task)):
        raise ConfigError(f"base must be a subclass of Task, not {base!r}")
    name = options.pop("name", None) or app.gen_task_name(function)
    known = {n for n in dir(Task) if not n.startswith("_")} | set(dir(base))
    for option in options:
        if option not in known or option.startswith("_"):
            raise ConfigError(f"task {name}: unknown option {option!r}{suggest(option, known)}")
    taken = app.tasks.get(name)
    if taken is not None:
        if _same_function(taken.__wrapped__, function):
            return taken
        raise ConfigError(
            f"task {name!r} is registered already, with the function at "
            f"{_place(taken.__wrapped__)}; give {_place(function)} another name="
        )
    attributes = {
        "typing": app.strict_typing,
        **options,
        "name": name,
        "abstract": False,
        "run": function if options.get("bind") else staticmethod(function),
        "__wrapped__": staticmethod(function),
        "__doc__": function.__doc__,
        "__module__": function.__module__,
    }
    return app.register_task(type(function.__name__, (base,), attributes)())


def _place(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _same_function(one: Any, other: Any) -> bool:
    """Whether two functions are one that was imported twice (as a module and as `__main__`)."""
    if one is other:
        return True
    return inspect.isfunction(one) and inspect.isfunction(other) and _place(one) == _place(other)


@overload
def shared_task(fun: Callable[P, R], /) -> Task[P, R]: ...


@overload
def shared_task(**options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def shared_task(fun: Any = None, /, **options: Any) -> Any:
    """Make a task of a function for whichever app is current when it is used.

    For libraries: the function is registered with the current app and with each one that becomes
    current later; the object returned stands for the current app's task.
    """

    def declare(function: Callable[..., Any]) -> Any:
        names: dict[int, str] = {}

        def register(app: App) -> None:
            names[id(app)] = task_of_function(app, function, options).name

        _state.on_each_app(register)

        def task() -> Task[Any, Any]:
            app = _state.get_current_app()
            if id(app) not in names:
                register(app)
            return app.tasks[names[id(app)]]

        return _state.Proxy(task)

    return declare(fun) if fun is not None else declare
