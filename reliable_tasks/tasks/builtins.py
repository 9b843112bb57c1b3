"""The tasks that every app has, because workflows are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.app import App

__all__ = ["COLLECT", "EXTEND", "MAP", "STARMAP", "extension_of", "register_builtins"]

COLLECT = "reliable_tasks.collect"
"""Gives the list that it is given: the knot between two groups."""
MAP = "reliable_tasks.map"
"""Calls a task with each of many values."""
STARMAP = "reliable_tasks.starmap"
"""Calls a task with each of many tuples of arguments."""
EXTEND = "reliable_tasks.extend"
"""Stands for a member of a chord that added others to it: its value and theirs."""
_EXTENDED = "__rt_extended__"


def register_builtins(app: App) -> None:
    """Register them with `app`; once is enough, twice does no harm."""

    def collect(values: Any) -> Any:
        return values

    def call_each(task: dict[str, Any], it: list[Any]) -> list[Any]:
        function = _task_of(app, task)
        return [function(value) for value in it]

    def call_each_star(task: dict[str, Any], it: list[Any]) -> list[Any]:
        function = _task_of(app, task)
        return [function(*values) for values in it]

    def extend(added: list[Any], value: Any) -> dict[str, list[Any]]:
        return {_EXTENDED: [value, *added]}

    bodies: dict[str, Callable[..., Any]] = {
        COLLECT: collect,
        MAP: call_each,
        STARMAP: call_each_star,
        EXTEND: extend,
    }
    for name, function in bodies.items():
        if name not in app.tasks:
            app.task(name=name)(function)


def extension_of(value: Any) -> list[Any] | None:
    """A chord member's own value and those it added, where it added any."""
    if type(value) is dict and len(value) == 1 and _EXTENDED in value:
        found: list[Any] = value[_EXTENDED]
        return found
    return None


def _task_of(app: App, sig: dict[str, Any]) -> Any:
    """The task of a signature, called with the signature's own arguments after the given ones."""
    from reliable_tasks.canvas import signature  # noqa: PLC0415 - canvases are made of tasks

    return signature(sig, app=app)
