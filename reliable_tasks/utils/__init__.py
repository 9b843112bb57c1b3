"""Helpers under the paths that Celery users know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.celery_names import no_name
from reliable_tasks.core.ids import new_id as uuid

if TYPE_CHECKING:
    from reliable_tasks.app import App

__all__ = ["gen_task_name", "gen_unique_id", "uuid"]

gen_unique_id = uuid


def gen_task_name(app: App, name: str, module_name: str | None) -> str:
    """The name of a task without `name=`: its module's and its function's."""
    return app.gen_task_name(name, module_name or "__main__")


def __getattr__(name: str) -> Any:
    raise no_name(__name__, name)
