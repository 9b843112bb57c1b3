"""Where a name of Celery's is here."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from reliable_tasks.celery_names import instead

__all__ = ["is_celerys", "moved", "moved_module", "resolved", "words"]

_OWN = "reliable_tasks"
_MOVED = {
    ("celery", "Celery"): (_OWN, "App"),
    ("celery.app", "Celery"): (_OWN, "App"),
    ("celery.app.base", "Celery"): (_OWN, "App"),
    ("celery_once", "QueueOnce"): (_OWN, "QueueOnce"),
    ("celery_once", "AlreadyQueued"): (_OWN, "AlreadyQueued"),
    ("celery_once.tasks", "QueueOnce"): (_OWN, "QueueOnce"),
    ("celery_once.tasks", "AlreadyQueued"): (_OWN, "AlreadyQueued"),
}
"""What has another name, or lives in another module."""

_UNLIKE = frozenset({"beat", "cli", "contrib", "core", "events", "log", "migrate", "worker"})
"""Rooms of ours that share no more than their name with a module of Celery's."""

_NOTHING_KNOWN = "nothing is known of it here; see docs/reference/celery-names.md"


def is_celerys(module: str | None) -> bool:
    """Whether a module is one of Celery's or celery_once's."""
    return module is not None and module.partition(".")[0] in {"celery", "celery_once"}


def moved_module(module: str) -> str | None:
    """The module of ours with the same names; None where there is none."""
    package, _, inner = module.partition(".")
    if package == "celery_once":
        return _OWN if not inner else None
    if inner and inner.partition(".")[0] in _UNLIKE and not _is_compatible(inner):
        return None
    name = f"{_OWN}.{inner}" if inner else _OWN
    return name if _module(name) is not None else None


def _is_compatible(inner: str) -> bool:
    """In `contrib` there are modules under Celery's paths; of the other rooms none is."""
    return inner.startswith("contrib.")


def moved(module: str, name: str) -> tuple[str, str] | None:
    """The module and the name that `from module import name` becomes; None where it cannot."""
    if (module, name) in _MOVED:
        return _MOVED[module, name]
    if name != "*" and is_celerys(module) and moved_module(f"{module}.{name}") is not None:
        return f"{_OWN}{module.removeprefix('celery')}", name
    target = moved_module(module)
    if target is None or module.startswith("celery_once"):
        return None
    return (target, name) if name == "*" or _has(_module(target), name) else None


def resolved(module: str, path: tuple[str, ...]) -> tuple[str, str] | None:
    """The first part of `module.a.b` that is not here: its section of the table, and its name."""
    for name in path:
        if moved_module(f"{module}.{name}") is not None:
            module = f"{module}.{name}"
            continue
        target = moved_module(module)
        known = (module, name) in _MOVED or (target and _has(_module(target), name))
        return None if known else (module, name)
    return None


def words(section: str, name: str) -> str:
    """What is here instead; of a module, what is said of all its names."""
    whole = f"{section}.{name}"
    said = instead(section, name) or instead(whole, "*") or _of_room(section)
    if said is None and section == "celery":
        said = instead("modules", name)
    return said or _NOTHING_KNOWN


def _of_room(section: str) -> str | None:
    while section:
        if said := instead(section, "*"):
            return said
        section = section.rpartition(".")[0]
    return None


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module of ours may need a library that is not installed: then it is here all the same.
        if error.name is not None and name.startswith(error.name):
            return None
        return ModuleType(name)


def _has(module: Any, name: str) -> bool:
    try:
        # A module counts by its own name, not as an attribute of its package.
        return not isinstance(getattr(module, name, module), ModuleType)
    except ImportError:  # it says in words what is here instead
        return False
