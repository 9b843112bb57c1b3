"""What `app.control` and its `inspect()` are, in the module that Celery has them in."""

from reliable_tasks.control import Control, Inspect

__all__ = ["Control", "Inspect"]
