"""`get_task_logger` under Celery's path."""

from __future__ import annotations

from typing import Any

from reliable_tasks.celery_names import no_name
from reliable_tasks.log.setup import get_logger, get_task_logger

__all__ = ["get_logger", "get_task_logger"]


def __getattr__(name: str) -> Any:
    raise no_name(__name__, name)
