"""The schedules, under the names that Celery has in `celery.schedules`."""

from reliable_tasks import app  # noqa: F401 - it makes the default app, should there be none
from reliable_tasks.beat.crontab import crontab, crontab_parser
from reliable_tasks.beat.schedules import (
    BaseSchedule,
    maybe_schedule,
    schedstate,
    schedule,
    schedule_to_spec,
)
from reliable_tasks.beat.solar import solar
from reliable_tasks.beat.specs import schedule_from_spec
from reliable_tasks.errors import BadSchedule

ParseException = BadSchedule
"""Celery's name for it."""

__all__ = [
    "BadSchedule",
    "BaseSchedule",
    "ParseException",
    "crontab",
    "crontab_parser",
    "maybe_schedule",
    "schedstate",
    "schedule",
    "schedule_from_spec",
    "schedule_to_spec",
    "solar",
]
