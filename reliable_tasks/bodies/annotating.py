"""Give tasks the attributes that the setting `task_annotations` has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.bodies.options import attributes_of, notes_on_class
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reliable_tasks.config.annotations import Annotations
    from reliable_tasks.core.context import AppContext

__all__ = ["annotate", "annotate_all", "registered"]

_OURS = "reliable_tasks."
_AROUND = "@"


def registered(app: AppContext, task: Any, plain: type, found: Annotations) -> None:
    """Tell a task that it belongs to an app now; `plain` is `Task` itself."""
    type(task).on_bound(app)
    app.conf.note(notes_on_class(type(task), plain))
    annotate(app, task, plain, found)


def annotate_all(app: AppContext, tasks: Iterable[Any], plain: type, found: Annotations) -> None:
    """Annotate all of an app's tasks."""
    if found:
        for task in list(tasks):
            annotate(app, task, plain, found)


def annotate(app: AppContext, task: Any, plain: type, found: Annotations) -> None:
    """Set a task's attributes as annotations say: of each kind, the first that has some.

    An attribute `@name` is called with the method of that name, and gives the one to use instead.

    Raises:
        ConfigError: an attribute is not possible, or an annotation raised.
    """
    if not found or task.name.startswith(_OURS):
        return
    where = f"task_annotations: task {task.name}"
    cls, annotated = type(task), False
    for given in _answers(found, task, where):
        annotated = True
        own = {name: x for name, x in given.items() if not name.startswith(_AROUND)}
        for name, value in attributes_of(where, own, cls, plain).items():
            setattr(cls, name, value)
            vars(task).pop(name, None)
        for name in given.keys() - own.keys():
            replaced = name.removeprefix(_AROUND)
            cls.add_around(replaced, given[name])
            vars(task).pop(replaced, None)
    if annotated:
        try:
            task.prepare(app)
        except ConfigError as exc:
            raise ConfigError(f"task_annotations: {exc}") from None


def _answers(found: Annotations, task: Any, where: str) -> Iterator[Mapping[str, Any]]:
    for method, args in (("annotate", (task,)), ("annotate_any", ())):
        for each in found:
            try:
                answer = getattr(each, method)(*args) if hasattr(each, method) else None
            except Exception as exc:
                raise ConfigError(f"{where}: {method}() raised {exc!r}") from exc
            if answer:
                yield answer
                break
