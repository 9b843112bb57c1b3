"""The app, under Celery's path for it; the modules beside it have Celery's names as well."""

from reliable_tasks.app.base import App

__all__ = ["App"]
