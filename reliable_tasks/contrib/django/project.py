"""The project's app, and the queues of its `TASKS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliable_tasks.app import App

__all__ = ["project_app", "queues_of_backends"]

NO_APP = (
    "no app was made while the project loaded: make one in proj/celery.py, and import it in "
    "proj/__init__.py, as the guide for Django shows"
)


def project_app() -> App:
    """The app that the project made.

    Raises:
        ConfigError: it made none.
    """
    app = context.app_made()
    if app is None:
        raise ConfigError(NO_APP)
    return app  # type: ignore[return-value] # apps are all that is made


def queues_of_backends() -> Iterable[str]:
    """The queues of those backends of `TASKS` that this package runs."""
    return ()
