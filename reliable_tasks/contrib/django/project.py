"""The project's app, and the queues of its `TASKS`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reliable_tasks.app import App

__all__ = ["NO_APP", "configure", "project_app", "queues_of_backends"]

NO_APP = (
    "no app was made while the project loaded: make one in proj/celery.py, and import it in "
    "proj/__init__.py, as the guide for Django shows"
)


def project_app() -> App:
    """The app that the project made; else, for its `TASKS`, one of the settings RELIABLE_TASKS_….

    Raises:
        ConfigError: it made none, and no backend of `TASKS` is this package's.
    """
    app: Any = context.app_made()
    if app is None:
        if not any(_is_ours(params) for params in _tasks().values()):
            raise ConfigError(NO_APP)
        from reliable_tasks.app import App  # noqa: PLC0415 - most projects have their own

        app = App("django")
        configure(app)
    return app  # type: ignore[no-any-return] # apps are all that is made


def configure(app: App) -> None:
    """Give an app that no module of the project made the settings RELIABLE_TASKS_…."""
    app.config_from_object("django.conf:settings", namespace="RELIABLE_TASKS")
    app.autodiscover_tasks()


def _tasks() -> dict[str, Any]:
    from django.conf import settings  # noqa: PLC0415 - Django is loaded when it is used

    return getattr(settings, "TASKS", None) or {}


def _is_ours(params: Any) -> bool:
    from django.utils.module_loading import import_string  # noqa: PLC0415

    backend = import_string(params["BACKEND"])
    return any(c.__module__ == "reliable_tasks.contrib.django.backend" for c in backend.__mro__)


def queues_of_backends() -> Iterable[str]:
    """The queues of those backends of `TASKS` that this package runs."""
    ours = [alias for alias, params in _tasks().items() if _is_ours(params)]
    return tuple(_queues(ours)) if ours else ()


def _queues(aliases: Iterable[str]) -> Iterator[str]:
    from reliable_tasks.contrib.django.tasks_api import task_backends  # noqa: PLC0415

    for alias in aliases:
        yield from sorted(task_backends[alias].queues)
    for task in project_app().tasks.values():
        declared = getattr(task, "declared", None)
        if declared is not None:
            yield declared.queue_name
