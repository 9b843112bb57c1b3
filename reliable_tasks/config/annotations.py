"""`task_annotations`: attributes that the settings give to tasks, as Celery has it."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

from reliable_tasks.config.kinds import Kind
from reliable_tasks.core import texts

__all__ = ["Annotations", "task_annotations"]

Annotations = tuple[Any, ...]
"""Objects that `annotate(task)` or `annotate_any()`."""

ANY = "*"


class ByName:
    """The annotations of a dict: attributes by the names of tasks, with `*` for all."""

    def __init__(self, table: Mapping[str, Mapping[str, Any]]) -> None:
        self._table = {name: dict(attributes) for name, attributes in table.items()}

    def annotate(self, task: Any) -> Mapping[str, Any] | None:
        """The attributes for a task."""
        return self._table.get(task.name)

    def annotate_any(self) -> Mapping[str, Any] | None:
        """The attributes for all tasks."""
        return self._table.get(ANY)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByName) and other._table == self._table

    __hash__ = None  # type: ignore[assignment]


def _frozen(value: object) -> Annotations:
    return tuple(_one(part) for part in _as_list(value))


def _imported(dotted: str) -> object:
    try:
        found = pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{dotted!r} cannot be imported: {error}") from None
    return found() if isinstance(found, type) else found


def _one(part: object) -> Any:
    if isinstance(part, str):
        part = _imported(part)
    if isinstance(part, Mapping):
        for name, attributes in part.items():
            if not isinstance(name, str) or not isinstance(attributes, Mapping):
                said = f"{texts.shown(name)}: {texts.shown(attributes)}"
                raise ValueError(  # noqa: TRY004 - as all wrong values
                    f"{said}: give {{'name of a task, or *': {{'attribute': value}}}}"
                )
        return ByName(part)
    if callable(getattr(part, "annotate", None)) or callable(getattr(part, "annotate_any", None)):
        return part
    raise ValueError(
        f"{texts.shown(part)}: give a dict, or an object with annotate(task) or annotate_any()"
    )


def _checked(value: object) -> Any:
    for part in _as_list(value):
        if not isinstance(part, str):  # the module that a name is in may need this app
            _one(part)
    return value


def _as_list(value: object) -> list[object]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _parse(words: str) -> Any:
    return words.strip() or None


task_annotations = Kind("dict of a task's name, or `*`, to attributes", _checked, _parse, _frozen)
