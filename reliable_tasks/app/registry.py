"""What `app.tasks` is, in the module that Celery has it in."""

from reliable_tasks.tasks.registry import TaskRegistry

__all__ = ["TaskRegistry"]
