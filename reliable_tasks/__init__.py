"""A task queue that loses nothing: Celery's API, on SQLite or Redis.

An `App` makes tasks of functions, `delay` enqueues a call of one, and `AsyncResult` is the handle
on it. Workers are started with the command `reliable-tasks -A module worker`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reliable_tasks.core import doors, frameworks
from reliable_tasks.core.version import __version__ as __version__

if TYPE_CHECKING:
    from reliable_tasks.core.retry import RetryPolicy
    from reliable_tasks.results.groups import GroupResult
    from reliable_tasks.results.result import AsyncResult
    from reliable_tasks.results.wait import allow_join_result
    from reliable_tasks.tasks.registry import shared_task
    from reliable_tasks.tasks.task import OnceTask, QueueOnce, Task

    from . import signals
    from .app import App, Celery
    from .canvas import (
        Signature,
        chain,
        chord,
        chunks,
        group,
        maybe_signature,
        signature,
        xmap,
        xstarmap,
    )
    from .errors import AlreadyQueued, Ignore, Reject, Retry
    from .schedules import crontab
    from .utils import uuid

    current_app: App
    current_task: Task[Any, Any]

__all__ = [
    "AlreadyQueued",
    "App",
    "AsyncResult",
    "Celery",
    "GroupResult",
    "Ignore",
    "OnceTask",
    "QueueOnce",
    "Reject",
    "Retry",
    "RetryPolicy",
    "Signature",
    "Task",
    "allow_join_result",
    "chain",
    "chord",
    "chunks",
    "crontab",
    "current_app",
    "current_task",
    "group",
    "maybe_signature",
    "shared_task",
    "signals",
    "signature",
    "uuid",
    "xmap",
    "xstarmap",
]

_HOMES = {
    "AlreadyQueued": "errors",
    "App": "app",
    "Celery": "app",
    "AsyncResult": "results.result",
    "GroupResult": "results.groups",
    "Ignore": "errors",
    "OnceTask": "tasks.task",
    "QueueOnce": "tasks.task",
    "Reject": "errors",
    "Retry": "errors",
    "RetryPolicy": "core.retry",
    "Signature": "canvas",
    "Task": "tasks.task",
    "allow_join_result": "results.wait",
    "chain": "canvas",
    "chord": "canvas",
    "chunks": "canvas",
    "crontab": "schedules",
    "current_app": "tasks.current",
    "current_task": "tasks.current",
    "group": "canvas",
    "maybe_signature": "canvas",
    "shared_task": "tasks.registry",
    "signature": "canvas",
    "uuid": "utils",
    "xmap": "canvas",
    "xstarmap": "canvas",
}
_MODULES = frozenset(
    {"app", "canvas", "exceptions", "result", "schedules", "signals", "states", "utils"}
)
_ABSENT = frozenset({"bugreport", "maybe_patch_concurrency"})
"""Names of Celery's that are not here: an import of one says what is.

Not those of its version: tools ask every module for them, and take only an AttributeError as a no.
"""
_ROOMS_OF_AN_APP = ("canvas", "results", "tasks")


def __getattr__(name: str) -> Any:
    """Load what is asked for, when it is: the import of the package itself costs nothing."""
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    home = _HOMES.get(name)
    if home is None:
        if name in _ABSENT:
            raise import_module(".celery_names", __name__).no_name(__name__, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if home.startswith(_ROOMS_OF_AN_APP):
        import_module(".app", __name__)  # which makes the default app, should there be none
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _django() -> Any:
    return import_module(".contrib.django.fixup", __name__).installed()


def _door() -> Any:
    return import_module(".contrib.bridge.door", __name__).BridgeDoor()


frameworks.announce("DJANGO_SETTINGS_MODULE", "django.conf", _django)
doors.announce(_door)
