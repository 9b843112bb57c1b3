"""System checks: what `manage.py check` tells of the app, its settings and its store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, Info, Warning  # noqa: A004 - Django's names

from reliable_tasks.config.conf import store_url
from reliable_tasks.contrib.django.project import NO_APP, project_app
from reliable_tasks.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from reliable_tasks.app import App

__all__ = ["check_app", "check_production", "check_store", "check_store_of_databases"]


_MISTYPED = "no setting has this name"


def _app() -> App | None:
    try:
        return project_app()
    except ConfigError:
        return None


def check_app(**_: Any) -> list[CheckMessage]:
    """Is there an app, and are its settings possible?"""
    app = _app()
    if app is None:
        return [Error("There is no app of reliable_tasks.", NO_APP, id="reliable_tasks.E001")]
    try:
        store_url(app.settings)
    except ConfigError as error:
        return [Error(f"A setting is not possible: {error}", id="reliable_tasks.E002")]
    return [Warning(note, id="reliable_tasks.W003") for note in app.conf.notes if _MISTYPED in note]


def check_production(**_: Any) -> list[CheckMessage]:
    """Is something set that only a test or a first try wants?"""
    app = _app()
    if app is None or any(isinstance(found, Error) for found in check_app()):
        return []  # said by the other check
    notes = (note for note in (*app.conf.notes, *app.notes) if _MISTYPED not in note)
    found: list[CheckMessage] = [Info(note, id="reliable_tasks.I001") for note in notes]
    if app.settings.task_always_eager:
        found.append(
            Warning(
                "task_always_eager is on: each call runs where it is made, and nothing is stored.",
                "Set it in the settings of your tests only.",
                id="reliable_tasks.W001",
            )
        )
    if store_url(app.settings).in_memory:
        found.append(
            Warning(
                "The store sqlite:// lives in the memory of one process: no worker sees it.",
                "Set CELERY_BROKER_URL to a file, sqlite:////var/lib/…, or to a Redis.",
                id="reliable_tasks.W002",
            )
        )
    return found


def check_store(**_: Any) -> list[CheckMessage]:
    """Does the store answer? Asked with `--deploy`, and with `--database`, as databases are."""
    app = _app()
    if app is None:
        return []
    try:
        app.store.now_ms()
    except ConfigError:
        return []  # said by the check of the settings
    except StoreError as error:
        return [Error(f"The store cannot be reached: {error}", id="reliable_tasks.E003")]
    return []


def check_store_of_databases(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """The same, for `check --database default` and for `migrate`."""
    return check_store() if databases else []
