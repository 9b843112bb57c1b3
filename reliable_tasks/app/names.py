"""Celery's names for an app, beside those that enqueue: its clock, command line and bookkeeping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliable_tasks.config.configured import Configured
from reliable_tasks.core import clock

if TYPE_CHECKING:
    import datetime as dt

__all__ = ["CeleryNames"]


class CeleryNames(Configured):
    """What an app has for programs that were written for Celery's."""

    def now(self) -> dt.datetime:
        """The present instant, in the app's time zone."""
        return clock.utcnow().astimezone(self.timezone)
