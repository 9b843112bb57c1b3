"""The entry for `INSTALLED_APPS`: "reliable_tasks.contrib.django"."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

__all__ = ["ReliableTasksConfig"]


class ReliableTasksConfig(AppConfig):
    """Brings the command, the checks and the admin's pages."""

    name = "reliable_tasks.contrib.django"
    label = "reliable_tasks"
    verbose_name = "Reliable tasks"

    def ready(self) -> None:
        """Register the system checks."""
        from reliable_tasks.contrib.django import checks as ours  # noqa: PLC0415 - apps are ready

        checks.register(ours.check_app, "reliable_tasks")
        checks.register(ours.check_production, "reliable_tasks", deploy=True)
        checks.register(ours.check_store, "reliable_tasks", deploy=True)
        checks.register(ours.check_store_of_databases, checks.Tags.database)
