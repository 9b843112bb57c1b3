"""`get_task_logger` under Celery's path."""

from reliable_tasks.log.setup import get_logger, get_task_logger

__all__ = ["get_logger", "get_task_logger"]
