"""From what is stored of a schedule, back to the schedule."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from reliable_tasks.beat.crontab import crontab
from reliable_tasks.beat.schedules import schedule
from reliable_tasks.beat.solar import solar
from reliable_tasks.beat.zones import from_ms
from reliable_tasks.errors import BadSchedule, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.beat.schedules import BaseSchedule

__all__ = ["schedule_from_spec"]


def schedule_from_spec(spec: Mapping[str, Any]) -> BaseSchedule:
    """Return the schedule that `schedule_to_spec` described.

    Raises:
        BadSchedule: `spec` does not describe a schedule.
    """
    makers = {"crontab": crontab.from_spec, "interval": _from_interval, "solar": solar.from_spec}
    kind = str(spec.get("type"))
    if kind not in makers:
        raise BadSchedule(
            f"schedule spec has the type {kind!r}; known are {', '.join(makers)}"
            f"{suggest(kind, makers)}"
        )
    try:
        return makers[kind](spec)
    except (KeyError, TypeError) as error:
        raise BadSchedule(f"schedule spec {dict(spec)!r} is damaged: {error!r}") from error


def _from_interval(spec: Mapping[str, Any]) -> schedule:
    anchor = spec["anchor_ms"]
    return schedule(
        timedelta(milliseconds=spec["every_ms"]),
        spec["relative"],
        anchor=None if anchor is None else from_ms(anchor),
        tz=spec["tz"],
    )
