"""Tasks that every app has: workflows are built with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core.additions import extension
from reliable_tasks.core.message import COLLECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.context import AppContext


__all__ = ["COLLECT", "EXTEND", "MAP", "STARMAP", "register_builtins"]

MAP = "reliable_tasks.map"
"""Calls a task with each of many values."""
STARMAP = "reliable_tasks.starmap"
"""Calls a task with each of many tuples of arguments."""
EXTEND = "reliable_tasks.extend"
"""Collects a chord member's value and those of the calls that it added to the chord."""


def register_builtins(app: AppContext) -> None:
    """Register them with `app`. Safe to call twice."""

    def collect(values: Any) -> Any:
        return values

    def call_each(task: dict[str, Any], it: list[Any]) -> list[Any]:
        function = app.signature(task)
        return [function(value) for value in it]

    def call_each_star(task: dict[str, Any], it: list[Any]) -> list[Any]:
        function = app.signature(task)
        return [function(*values) for values in it]

    def extend(added: list[Any], value: Any) -> dict[str, list[Any]]:
        return extension(value, added)

    bodies: dict[str, Callable[..., Any]] = {
        COLLECT: collect,
        MAP: call_each,
        STARMAP: call_each_star,
        EXTEND: extend,
    }
    for name, function in bodies.items():
        if name not in app.tasks:
            app.task(name=name)(function)
