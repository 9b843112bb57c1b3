"""The app, under Celery's path for it; the modules beside it have Celery's names as well."""

from __future__ import annotations

from typing import Any

from reliable_tasks.app.base import App
from reliable_tasks.celery_names import no_name
from reliable_tasks.tasks.registry import shared_task

__all__ = ["App", "Celery", "shared_task"]

Celery = App


def __getattr__(name: str) -> Any:
    raise no_name(__name__, name)
