"""What changes a call before its message is made: worked out once, when its task is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reliable_tasks.bodies.celery_names import CeleryNames

__all__ = ["Rewriting", "rewriting_of"]

_Call = tuple[tuple[Any, ...], dict[str, Any], Mapping[str, Any]]
Rewriting = Callable[[tuple[Any, ...], dict[str, Any], Mapping[str, Any]], _Call]


def rewriting_of(task: Any) -> Rewriting | None:
    """What the calls of a task go through; None if they go as they are."""
    models = task.call_models
    shadows = type(task).shadow_name is not CeleryNames.shadow_name
    if models is None and not shadows:
        return None

    def rewritten(
        args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
    ) -> _Call:
        if shadows and options.get("shadow") is None:
            options = {**options, "shadow": task.shadow_name(args, kwargs, options)}
        if models is not None:
            args, kwargs = models.dumped(args, kwargs)
        return args, kwargs, options

    return rewritten
