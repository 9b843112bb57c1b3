"""The base of all schedules, and fixed intervals.

A schedule is a set of *slots*: instants in UTC, on whole milliseconds, that follow from the
schedule, a time zone and an anchor alone. They do not depend on when the last run took place, so
that late runs do not make them drift, and every beat computes the same ones. Only `is_due` and
`remaining_estimate`, which are here for Celery compatibility, ask for the time, through `nowfun`.
"""

from __future__ import annotations

import abc
import math
import numbers
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from reliable_tasks.beat.zones import (
    EPOCH,
    as_zone,
    first_instant,
    from_ms,
    to_ms,
    wall_time,
    zone_name,
)
from reliable_tasks.core import clock, context
from reliable_tasks.errors import BadSchedule

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BaseSchedule",
    "maybe_schedule",
    "schedstate",
    "schedule",
    "schedule_to_spec",
]

_MILLISECOND = timedelta(milliseconds=1)
_DAY = timedelta(days=1)


class schedstate(NamedTuple):  # noqa: N801 - Celery's name
    """Whether a schedule is due, and after how many seconds to look again."""

    is_due: bool
    next: float


class BaseSchedule(abc.ABC):
    """A set of slots: a value, of which only `nowfun` and `app` can be set later.

    Attributes:
        tz: the schedule's own time zone; None: that of the entry or the app.
        nowfun: gives the present instant to `is_due` and `remaining_estimate`; None: the clock.
        app: whose time zone naive datetimes are in; the current app unless it was given.
    """

    tz: tzinfo | None
    nowfun: Callable[[], datetime] | None
    _app: Any

    def __init__(self, nowfun: Callable[[], datetime] | None = None, app: Any = None) -> None:
        self.nowfun = nowfun
        self.app = app

    def __setattr__(self, name: str, value: object) -> None:
        if name != "nowfun" and name in getattr(self, "__dataclass_fields__", ()):
            kind = type(self).__name__
            raise AttributeError(f"{kind}.{name} cannot be changed: make another {kind}")
        object.__setattr__(self, name, value)

    def __reduce__(self) -> Any:
        # Without its app: a schedule from another process belongs to the current one of this.
        return _restored, (type(self), {**vars(self), "_app": None})

    @property
    def app(self) -> Any:
        """The app it was made for, else the current one."""
        return self._app or context.get_current_app()

    @app.setter
    def app(self, app: Any) -> None:
        self._app = app

    def next_slot(
        self, after: datetime, tz: tzinfo = UTC, anchor: datetime | None = None
    ) -> datetime | None:
        """Return the first slot strictly after `after`, in UTC; None: there is none.

        Args:
            after: an aware datetime.
            tz: the zone to count in, unless the schedule has its own.
            anchor: where the grid of an interval starts, unless the schedule has its own.

        Raises:
            ValueError: `after` or `anchor` is naive.
        """
        for name, moment in (("after", after), ("anchor", anchor)):
            if moment is not None and moment.utcoffset() is None:
                raise ValueError(f"next_slot: {name}={moment!r} is naive; give it a time zone")
        try:
            return self._next(after.astimezone(UTC), self.tz or tz, anchor)
        except OverflowError:
            return None  # past the year 9999

    @abc.abstractmethod
    def _next(self, after: datetime, zone: tzinfo, anchor: datetime | None) -> datetime | None:
        """Return the first slot strictly after `after`, which is in UTC."""

    @abc.abstractmethod
    def to_spec(self) -> dict[str, Any]:
        """Return what `schedule_from_spec` makes an equal schedule of, ready for JSON."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        return _aware((self.nowfun or clock.utcnow)())

    @property
    def utc_enabled(self) -> bool:
        """Always true: instants are in UTC, and only what people read is in a time zone."""
        return True

    def maybe_make_aware(self, dt: datetime, naive_as_utc: bool = True) -> datetime:
        """Return `dt` with a time zone: a naive one is in UTC, or else in the schedule's zone."""
        if dt.utcoffset() is not None:
            return dt
        zone: tzinfo = self.tz or self.app.timezone
        return dt.replace(tzinfo=UTC).astimezone(zone) if naive_as_utc else dt.replace(tzinfo=zone)

    def to_local(self, dt: datetime) -> datetime:
        """Return `dt` as it is: no other clock than the time zone's is followed."""
        return dt

    def remaining_estimate(
        self, last_run_at: datetime, *, tz: str | tzinfo | None = None
    ) -> timedelta:
        """Return the time from now to the slot after `last_run_at`: not positive when it is due.

        Args:
            last_run_at: naive datetimes are taken to be in UTC, as in Celery.
            tz: the zone to count in, unless the schedule has its own; None: that of `last_run_at`,
                or the app's if that is naive.

        Returns:
            `timedelta.max` if no slot follows.
        """
        return self._remaining(last_run_at, self.now(), tz)

    def is_due(self, last_run_at: datetime, *, tz: str | tzinfo | None = None) -> schedstate:
        """Return whether a slot has passed since `last_run_at`, and the seconds to the next.

        The arguments are those of `remaining_estimate`. Beat does not use this: it keeps the next
        slot in the store.
        """
        now = self.now()
        remaining = self._remaining(last_run_at, now, tz)
        due = remaining <= timedelta(0)
        if due:
            remaining = self._remaining(now, now, tz or self.maybe_make_aware(last_run_at).tzinfo)
        endless = remaining == timedelta.max
        return schedstate(due, math.inf if endless else remaining.total_seconds())

    def _remaining(self, last: datetime, now: datetime, tz: str | tzinfo | None) -> timedelta:
        zone = as_zone(tz) if isinstance(tz, str) else tz
        last = self.maybe_make_aware(last)
        slot = self.next_slot(last, zone or last.tzinfo or UTC, last)
        return timedelta.max if slot is None else slot - now


def _restored(cls: type[BaseSchedule], values: dict[str, Any]) -> BaseSchedule:
    made = object.__new__(cls)
    vars(made).update(values)
    return made


@dataclass(unsafe_hash=True, init=False, repr=False)
class schedule(BaseSchedule):  # noqa: N801 - Celery's name
    """Slots at a fixed distance: `anchor`, `anchor + run_every`, and so on.

    Args:
        run_every: a timedelta or seconds, rounded to whole milliseconds.
        relative: the grid starts at the local midnight before the anchor instead of at the anchor,
            so that an hourly schedule fires on the hour and a daily one at midnight. Whole days are
            then counted by the local clock; shorter periods in time that really passes.
        nowfun: see `BaseSchedule`.
        app: see `BaseSchedule`.
        anchor: where the grid starts; None: as `next_slot` is told, else 1970-01-01T00:00Z.
        tz: the zone of the midnight of `relative`; None: as `next_slot` is told.

    Raises:
        BadSchedule: `run_every` is shorter than a millisecond or not a duration, `anchor` is naive,
            or `tz` is not known.
    """

    run_every: timedelta
    relative: bool
    anchor: datetime | None
    tz: tzinfo | None
    nowfun: Callable[[], datetime] | None = field(compare=False)

    def __init__(
        self,
        run_every: timedelta | float,
        relative: bool = False,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
        *,
        anchor: datetime | None = None,
        tz: str | tzinfo | None = None,
    ) -> None:
        if anchor is not None and anchor.utcoffset() is None:
            raise BadSchedule(f"schedule anchor={anchor!r} is naive; give it a time zone")
        whole = None if anchor is None else from_ms(to_ms(anchor))
        object.__setattr__(self, "run_every", _period(run_every))
        object.__setattr__(self, "relative", bool(relative))
        object.__setattr__(self, "anchor", whole)
        object.__setattr__(self, "tz", as_zone(tz))
        BaseSchedule.__init__(self, nowfun, app)

    @property
    def seconds(self) -> float:
        """The period in seconds."""
        return self.run_every.total_seconds()

    @property
    def human_seconds(self) -> str:
        """The period in its largest unit, such as `1.50 hours`."""
        units = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
        for unit, length in units:
            if (count := round(self.seconds, 2) / length) >= 1:
                return f"{count:.2f} {unit}{'' if count == 1 else 's'}"
        return "now"

    def __repr__(self) -> str:
        relative = ", relative" if self.relative else ""
        return f"<freq: {self.run_every}{relative}>"

    def _next(self, after: datetime, zone: tzinfo, anchor: datetime | None) -> datetime | None:
        start = self.anchor or anchor or EPOCH
        if not self.relative:
            return _grid(from_ms(to_ms(start)), self.run_every, after)
        midnight = datetime.combine(start.astimezone(zone).date(), time())
        if self.run_every % _DAY:
            return _grid(first_instant(midnight, zone), self.run_every, after)
        wall = _grid(midnight, self.run_every, wall_time(after, zone))
        slot = first_instant(wall, zone)
        # While the clock repeats the minutes around a midnight, the one ahead has been already.
        return slot if slot > after else first_instant(wall + self.run_every, zone)

    def to_spec(self) -> dict[str, Any]:
        """Return what `schedule_from_spec` makes an equal schedule of, ready for JSON."""
        return {
            "type": "interval",
            "every_ms": self.run_every // _MILLISECOND,
            "relative": self.relative,
            "anchor_ms": None if self.anchor is None else to_ms(self.anchor),
            "tz": zone_name(self.tz),
        }


def maybe_schedule(
    value: BaseSchedule | timedelta | float, relative: bool = False, app: Any = None
) -> BaseSchedule:
    """Return `value` as a schedule: a timedelta or a number of seconds becomes an interval.

    Raises:
        BadSchedule: `value` is none of these.
    """
    if not isinstance(value, BaseSchedule):
        return schedule(value, relative, app=app)
    if app is not None:
        value.app = app
    return value


def schedule_to_spec(value: BaseSchedule) -> dict[str, Any]:
    """Return what `schedule_from_spec` makes an equal schedule of, ready for JSON."""
    return value.to_spec()


def _period(run_every: object) -> timedelta:
    period = run_every
    if not isinstance(period, bool) and isinstance(period, numbers.Real):
        try:
            period = timedelta(seconds=float(period))
        except (OverflowError, ValueError) as error:
            raise BadSchedule(
                f"schedule run_every={run_every!r} is no duration: {error}"
            ) from error
    if not isinstance(period, timedelta):
        raise BadSchedule(
            f"schedule {run_every!r} is not understood; give a timedelta, seconds, or a schedule "
            "(crontab.from_string(...) for cron's notation)"
        )
    whole = round(period / _MILLISECOND) * _MILLISECOND
    if whole < _MILLISECOND:
        raise BadSchedule(f"schedule run_every={run_every!r} must be at least a millisecond")
    return whole


def _grid(start: datetime, step: timedelta, after: datetime) -> datetime:
    return start + ((after - start) // step + 1) * step


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.utcoffset() is None else moment
