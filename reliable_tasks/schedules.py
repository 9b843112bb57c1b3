"""The schedules, under the names that Celery has in `celery.schedules`."""

from reliable_tasks.beat.crontab import crontab
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

__all__ = [
    "BadSchedule",
    "BaseSchedule",
    "crontab",
    "maybe_schedule",
    "schedstate",
    "schedule",
    "schedule_from_spec",
    "schedule_to_spec",
    "solar",
]
