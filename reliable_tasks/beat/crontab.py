"""`crontab`: schedules in cron's notation, with Celery's spelling and meaning.

cronsim walks the calendar; time zones are dealt with here. A schedule that leaves the hour open
(`*`, or all 24 of them) follows the time that really passes: it fires whenever the clock shows one
of its minutes, in a repeated hour both times, and a jump forward takes nothing from it, since the
time jumped over does not pass. Every other schedule follows the wall clock: each of its times fires
once a day, the first time the clock shows it, and times that the clock jumps over fire together,
once, at the end of the jump. So no slot is skipped and none doubled. In New York:

    0 * * * *      clock goes back     at both 01:00
    */30 * * * *   clock goes back     at 01:00, 01:30, 01:00, 01:30
    30 1 * * *     clock goes back     at the first 01:30
    30 2 * * *     clock goes forward  at 03:00
    0,30 2 * * *   clock goes forward  at 03:00, once
"""

import itertools
import numbers
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, NoReturn, Self

from cronsim import CronSim

from reliable_tasks.beat.schedules import BaseSchedule
from reliable_tasks.beat.zones import (
    as_zone,
    first_instant,
    fold_width,
    real_instants,
    wall_time,
    zone_name,
)
from reliable_tasks.errors import BadSchedule, suggest

__all__ = ["CronField", "crontab", "crontab_parser"]

CronField = int | str | Iterable[int]
"""What a field may be: a number, a pattern, or some numbers."""

_PART = re.compile(
    r"(?:(?P<star>\*)|(?P<first>[0-9]+|[A-Za-z]+)(?:-(?P<last>[0-9]+|[A-Za-z]+))?)"
    r"(?:/(?P<step>[0-9]+))?"
)
_LONGEST_NUMBER = 9  # digits; far more than any field needs
_SHORTEST_NAME = 3  # letters
_MONTH_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MINUTES_PER_DAY = 1440  # no clock jumps by more than a day


@dataclass(frozen=True, slots=True)
class _Field:
    """One field's name and values; `names` are those of the values from `low` on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    remark: str = ""

    @property
    def every(self) -> frozenset[int]:
        return frozenset(range(self.low, self.high + 1))

    def expand(self, value: object) -> tuple[frozenset[int], str]:
        """Return the numbers that `value` stands for, and `value` as a pattern.

        Raises:
            BadSchedule: it is none of what Celery accepts.
        """
        if isinstance(value, str):
            return self._parse(value)
        if isinstance(value, Iterable) and not isinstance(value, bytes | Mapping):
            members = list(value)
        else:
            members = [value]
        if not members:
            raise BadSchedule(f"crontab {self.name}={value!r} is empty and would never fire")
        numbers_ = sorted({self._member(value, member) for member in members})
        return frozenset(numbers_), ",".join(map(str, numbers_))

    def _member(self, value: object, member: object) -> int:
        if isinstance(member, bool) or not isinstance(member, numbers.Integral):
            self._refuse(value, f"{member!r} is a {type(member).__name__}, not an integer")
        if not self.low <= int(member) <= self.high:
            self._refuse(value, f"{member!r} is outside {self.low}-{self.high}")
        return int(member)

    def _parse(self, pattern: str) -> tuple[frozenset[int], str]:
        found: set[int] = set()
        texts: list[str] = []
        offset = 0
        for part in pattern.split(","):
            text = part.strip()
            start = offset + len(part) - len(part.lstrip())
            found.update(self._parse_part(pattern, text, start))
            texts.append(text.lower())
            offset += len(part) + 1
        return frozenset(found), ",".join(texts)

    def _parse_part(self, pattern: str, text: str, start: int) -> list[int]:
        match = _PART.fullmatch(text)
        if match is None:
            self._refuse(pattern, f"cannot read {text!r}" if text else "nothing stands", start)
        span = range(self.low, self.high + 1)
        if match["star"]:
            numbers_ = list(span)
        else:
            first = last = self._number(pattern, match["first"], start)
            if match["last"]:
                last = self._number(pattern, match["last"], start + match.start("last"))
            elif match["step"]:
                self._refuse(pattern, f"{text!r} steps through a single value", start)
            around = first <= last
            numbers_ = [n for n in span if n >= first and (n <= last or not around)]
            numbers_ += [] if around else [n for n in span if n <= last]
        if match["step"] is None:
            return numbers_
        step = match["step"].lstrip("0")[:_LONGEST_NUMBER]
        if not step:
            self._refuse(pattern, "the step is 0", start + match.start("step"))
        return numbers_[:: int(step)]

    def _number(self, pattern: str, token: str, position: int) -> int:
        if token.isdigit():
            number = int(token) if len(token) <= _LONGEST_NUMBER else self.high + 1
            if not self.low <= number <= self.high:
                self._refuse(pattern, f"{token} is outside {self.low}-{self.high}", position)
            return number
        name = token.lower()
        if len(name) >= _SHORTEST_NAME:
            for number, known in enumerate(self.names, self.low):
                if known.startswith(name):
                    return number
        hint = suggest(name, self.names)
        problem = f"{token!r} is not a name or number of this field{hint}"
        return self._refuse(pattern, problem, position)

    def _refuse(self, value: object, problem: str, position: int | None = None) -> NoReturn:
        where = "" if position is None else f" at character {position + 1}"
        names = f", names such as {self.names[1][:3]!r} or {self.names[1]!r}" if self.names else ""
        raise BadSchedule(
            f"crontab {self.name}={value!r}: {problem}{where}. Accepted are {self.low}-{self.high}"
            f"{self.remark}{names}, '*', ranges 'a-b', steps '*/n' and 'a-b/n', and lists of these "
            "with commas"
        )


_MINUTE: Final = _Field("minute", 0, 59)
_HOUR: Final = _Field("hour", 0, 23)
_DAY_OF_WEEK: Final = _Field(
    "day_of_week",
    0,
    6,
    ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
    " (0 is Sunday)",
)
_DAY_OF_MONTH: Final = _Field("day_of_month", 1, 31)
_MONTH_OF_YEAR: Final = _Field(
    "month_of_year",
    1,
    12,
    (
        *("january", "february", "march", "april", "may", "june", "july"),
        *("august", "september", "october", "november", "december"),
    ),
)
_CRON_ORDER: Final = (_MINUTE, _HOUR, _DAY_OF_MONTH, _MONTH_OF_YEAR, _DAY_OF_WEEK)


class crontab_parser:  # noqa: N801 - Celery's name
    """Reads one field of a crontab: `crontab_parser(60).parse("*/15")` is `{0, 15, 30, 45}`.

    Args:
        max_: how many values the field has.
        min_: the first of them. 7 from 0 are days of the week and 12 from 1 months, with names.
    """

    ParseException = BadSchedule

    def __init__(self, max_: int = 60, min_: int = 0) -> None:
        self.max_ = max_
        self.min_ = min_

    def parse(self, spec: str) -> set[int]:
        """Return the values that a pattern stands for.

        Raises:
            BadSchedule: it is none of what `crontab` accepts.
        """
        low, high = self.min_, self.min_ + self.max_ - 1
        named = (f.names for f in _CRON_ORDER if (f.low, f.high) == (low, high))
        return set(_Field("field", low, high, next(named, ())).expand(spec)[0])


@dataclass(unsafe_hash=True, init=False, repr=False)
class crontab(BaseSchedule):  # noqa: N801 - Celery's name
    """Slots at the minutes that match all five fields; both day fields must match, unlike in cron.

    A field is an integer, some integers, or a pattern: parts with commas between them, each of them
    `*`, a value, or a range `a-b`, where `*` and ranges may have a step `/n`. Ranges may wrap:
    `22-2`, `fri-mon`. Days of the week are 0 (Sunday) to 6, not 7; they and months may be given by
    name, in any case, whole or shortened to at least three letters. Schedules that fire at the same
    times are equal, however written. This module's docstring says what changes of the clock do.

    Args:
        minute: 0-59.
        hour: 0-23.
        day_of_week: 0-6.
        day_of_month: 1-31.
        month_of_year: 1-12.
        tz: the schedule's own time zone; None: that of the entry or the app.
        nowfun: see `BaseSchedule`.
        app: see `BaseSchedule`.

    Raises:
        BadSchedule: a field is not valid, or no date ever matches, as 30 February.
    """

    minute: frozenset[int]
    hour: frozenset[int]
    day_of_week: frozenset[int]
    day_of_month: frozenset[int]
    month_of_year: frozenset[int]
    tz: tzinfo | None
    nowfun: Callable[[], datetime] | None = field(compare=False)
    _texts: tuple[str, ...] = field(compare=False)  # in cron's order
    _expression: str = field(compare=False)  # what cronsim gets

    def __init__(
        self,
        minute: CronField = "*",
        hour: CronField = "*",
        day_of_week: CronField = "*",
        day_of_month: CronField = "*",
        month_of_year: CronField = "*",
        *,
        tz: str | tzinfo | None = None,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
    ) -> None:
        values = (minute, hour, day_of_month, month_of_year, day_of_week)
        texts: list[str] = []
        expression: list[str] = []
        for spec, value in zip(_CRON_ORDER, values, strict=True):
            found, text = spec.expand(value)
            object.__setattr__(self, spec.name, found)
            texts.append(text)
            expression.append("*" if found == spec.every else ",".join(map(str, sorted(found))))
        object.__setattr__(self, "tz", as_zone(tz))
        BaseSchedule.__init__(self, nowfun, app)
        object.__setattr__(self, "_texts", tuple(texts))
        object.__setattr__(self, "_expression", " ".join(expression))
        # Any date that exists falls on each day of the week in some year, so this is all to check.
        if min(self.day_of_month) > max(_MONTH_LENGTHS[m - 1] for m in self.month_of_year):
            raise BadSchedule(
                f"crontab day_of_month={day_of_month!r} with month_of_year={month_of_year!r} never "
                "fires: these months have no such day"
            )

    @classmethod
    def from_string(
        cls,
        crontab: str,
        *,
        tz: str | tzinfo | None = None,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
    ) -> Self:
        """Return the schedule of a line of cron's: minute, hour, day of month, month, day of week.

        Raises:
            BadSchedule: there are not five fields, or one is not valid.
        """
        fields = crontab.split()
        if len(fields) != len(_CRON_ORDER):
            raise BadSchedule(
                f"crontab {crontab!r} has {len(fields)} fields instead of 5: "
                "minute, hour, day of month, month, day of week"
            )
        minute, hour, day_of_month, month_of_year, day_of_week = fields
        fields = [minute, hour, day_of_week, day_of_month, month_of_year]
        return cls(*fields, tz=tz, nowfun=nowfun, app=app)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Return the schedule that `to_spec` described."""
        return cls.from_string(spec["cron"], tz=spec["tz"])

    def to_spec(self) -> dict[str, Any]:
        """Return what `schedule_from_spec` makes an equal schedule of, ready for JSON."""
        return {"type": "crontab", "cron": " ".join(self._texts), "tz": zone_name(self.tz)}

    def __repr__(self) -> str:
        zone = "" if self.tz is None else f" in {zone_name(self.tz)}"
        return f"<crontab: {' '.join(self._texts)} (m/h/dM/MY/d){zone}>"

    def remaining_delta(
        self, last_run_at: datetime, tz: str | tzinfo | None = None
    ) -> tuple[datetime, timedelta, datetime]:
        """Return `last_run_at`, the time from it to the next slot, and the present instant.

        The arguments are those of `remaining_estimate`.
        """
        last, now = self.maybe_make_aware(last_run_at), self.now()
        return last, self._remaining(last, last, tz), now.astimezone(last.tzinfo)

    def _next(self, after: datetime, zone: tzinfo, anchor: datetime | None) -> datetime | None:  # noqa: ARG002 - cron's grid is the calendar
        if self.hour == _HOUR.every:
            return self._next_in_real_time(after, zone)
        # Times that were shown before the clock went back come first and are not after `after`.
        for wall in itertools.islice(self._walls(wall_time(after, zone)), _MINUTES_PER_DAY + 1):
            slot = first_instant(wall, zone)
            if slot > after:
                return slot
        return None

    def _next_in_real_time(self, after: datetime, zone: tzinfo) -> datetime | None:
        wall = wall_time(after, zone)
        # Within a fold, the second showing of times from all over it may come next.
        width = fold_width(wall, zone)
        best: datetime | None = None
        for candidate in itertools.islice(self._walls(wall - width), 3 * _MINUTES_PER_DAY):
            for slot in real_instants(candidate, zone):
                if slot > after and (best is None or slot < best):
                    best = slot
            if best is not None and candidate >= wall + width:
                break
        return best

    def _walls(self, after: datetime) -> Iterator[datetime]:
        """Give the wall times that match, after `after`; at most the calendar's end stops it."""
        walls = CronSim(self._expression, after)
        # cron fires when either day field matches if both are restricted; Celery when both do.
        walls.day_and = True
        return walls
