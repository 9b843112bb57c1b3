"""Beat: fires tasks at the slots of their schedules, each slot once, with any number of beats.

The schedules that programs write (`crontab`, `schedule`, `solar`) are to be imported from
`reliable_tasks.schedules`. `Schedules`, the schedule's entries at run time, is here under its own
name; it loads when it is asked for, so that a program which only declares schedules loads no
scheduler.
"""

from typing import TYPE_CHECKING, Any

from reliable_tasks.celery_names import no_name

if TYPE_CHECKING:
    from .entries import Schedules

__all__ = ["Schedules"]


def __getattr__(name: str) -> Any:
    if name != "Schedules":
        raise no_name(__name__, name)
    from .entries import Schedules  # noqa: PLC0415 - only those who ask for it pay for it

    return Schedules
