"""Tasks and their requests, in the module that Celery has them in."""

from reliable_tasks.core.request import Request as Context
from reliable_tasks.tasks.task import Task

__all__ = ["Context", "Task"]
