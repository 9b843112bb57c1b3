"""Convert between instants and what the clocks of a time zone show.

Twice a year or so a zone's clock jumps: forward over a *gap*, times that it never shows, or back,
so that it shows the times of a *fold* twice. What schedules make of that is said in `crontab`; here
are the questions they ask. Instants are in UTC; *wall* times are naive.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from reliable_tasks.errors import BadSchedule, suggest

__all__ = [
    "EPOCH",
    "as_zone",
    "first_instant",
    "fold_width",
    "from_ms",
    "real_instants",
    "to_ms",
    "wall_time",
    "zone_name",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)
_NO_TIME = timedelta(0)


def to_ms(moment: datetime) -> int:
    """Return an aware datetime as whole milliseconds since the epoch, rounded down."""
    return (moment - EPOCH) // _MILLISECOND


def from_ms(moment_ms: int) -> datetime:
    """Return milliseconds since the epoch as a datetime in UTC."""
    return EPOCH + timedelta(milliseconds=moment_ms)


def as_zone(value: str | tzinfo | None) -> tzinfo | None:
    """Return the time zone of a name like `Europe/Berlin`, or of an object that has such a name.

    Raises:
        BadSchedule: there is no such zone, or it has no name to be stored under.
    """
    if value is None or value is UTC or value == "UTC":
        return None if value is None else UTC
    key = value if isinstance(value, str) else getattr(value, "key", None)
    if key is None:
        raise BadSchedule(
            f"tz={value!r} has no name to store it under; give one such as 'Europe/Berlin'"
        )
    try:
        return UTC if key == "UTC" else ZoneInfo(key)
    # Beyond the error that zoneinfo documents: names of folders and odd paths raise these.
    except (KeyError, ValueError, OSError) as error:
        raise BadSchedule(
            f"tz={key!r} is not a time zone known here{suggest(key, available_timezones())}"
        ) from error


def zone_name(zone: tzinfo | None) -> str | None:
    """Return the name that `as_zone` takes."""
    return None if zone is None else str(getattr(zone, "key", "UTC"))


def wall_time(instant: datetime, zone: tzinfo) -> datetime:
    """Return what the clock shows at `instant`."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def real_instants(wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """Return when the clock shows `wall`: at no instant in a gap, at two in a fold, else at one."""
    local = wall.replace(tzinfo=zone, fold=0)
    first = local.astimezone(UTC)
    if wall_time(first, zone) != wall:
        return ()
    second = local.replace(fold=1).astimezone(UTC)
    return (first,) if second == first else (first, second)


def first_instant(wall: datetime, zone: tzinfo) -> datetime:
    """Return the first instant at which the clock shows `wall`, or, in a gap, the gap's end.

    `wall` is in whole seconds. A later one never gives an earlier instant.
    """
    local = wall.replace(tzinfo=zone, fold=0)
    late = local.astimezone(UTC)
    if wall_time(late, zone) == wall:
        return late
    # In a gap, fold=0 counts with the offset before the jump and so lands behind it, fold=1 with
    # the offset after it and lands before it. Zones change at whole seconds.
    early = local.replace(fold=1).astimezone(UTC)
    after_jump = late.astimezone(zone).utcoffset()
    while late - early > _SECOND:
        middle = early + (late - early) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == after_jump:
            late = middle
        else:
            early = middle
    return late


def fold_width(wall: datetime, zone: tzinfo) -> timedelta:
    """Return by how much the clock goes back in the fold around `wall`; zero outside folds."""
    instants = real_instants(wall, zone)
    return instants[-1] - instants[0] if instants else _NO_TIME
