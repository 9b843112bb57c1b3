"""`crontab` against a slow reference that walks every minute, around the changes of all zones.

The reference knows nothing of cron, folds or gaps: it looks at what the clock of the zone shows at
each minute of real time and applies the rules in `reliable_tasks.beat.crontab`'s docstring to that.
"""

import bisect
import functools
import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reliable_tasks.errors import BadSchedule
from reliable_tasks.schedules import crontab

MINUTE = timedelta(minutes=1)
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2031, 1, 1, tzinfo=UTC)
STEP = timedelta(days=3)  # no zone changes there and back within so short a time
BEFORE = timedelta(hours=5)
AFTER = timedelta(hours=21)
SHARDS = 8


# Which zones change when --------------------------------------------------------------------------


def changes(zone: ZoneInfo) -> Iterator[datetime]:
    """The first minutes in which the zone's clock has another offset than before."""
    moment = BEGIN
    offset = moment.astimezone(zone).utcoffset()
    while moment < END:
        following = moment + STEP
        if following.astimezone(zone).utcoffset() != offset:
            low, high = moment, following
            while high - low > MINUTE:
                middle = low + (high - low) // MINUTE // 2 * MINUTE
                if middle.astimezone(zone).utcoffset() == offset:
                    low = middle
                else:
                    high = middle
            offset = high.astimezone(zone).utcoffset()
            yield high
        moment = following


@functools.cache
def changing_zones() -> dict[str, list[datetime]]:
    found = ((name, list(changes(ZoneInfo(name)))) for name in sorted(available_timezones()))
    return {name: at for name, at in found if at}


# The reference ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tick:
    """A minute of real time: what the clock shows, whether again, and what it jumped over."""

    instant: datetime
    wall: datetime
    repeated: bool
    skipped: tuple[datetime, ...]


def walk(zone: ZoneInfo, begin: datetime, end: datetime) -> list[Tick]:
    ticks = []
    shown: set[datetime] = set()
    instant = begin - timedelta(hours=3)  # longer than any change, to know what has been shown
    previous = instant.astimezone(zone).replace(tzinfo=None)
    while instant < end:
        instant += MINUTE
        wall = instant.astimezone(zone).replace(tzinfo=None)
        skipped = []
        missing = previous + MINUTE
        while missing < wall:
            skipped.append(missing)
            missing += MINUTE
        if instant > begin:
            ticks.append(Tick(instant, wall, wall in shown, tuple(skipped)))
        shown.add(wall)
        previous = wall
    return ticks


@dataclass(frozen=True)
class Fields:
    minute: frozenset[int]
    hour: frozenset[int]
    day_of_week: frozenset[int]
    day_of_month: frozenset[int]
    month_of_year: frozenset[int]

    def match(self, wall: datetime) -> bool:
        return (
            wall.minute in self.minute
            and wall.hour in self.hour
            and wall.month in self.month_of_year
            and wall.day in self.day_of_month
            and wall.isoweekday() % 7 in self.day_of_week
        )

    def fires(self, tick: Tick) -> bool:
        if len(self.hour) == 24:
            return self.match(tick.wall)
        if any(self.match(wall) for wall in tick.skipped):
            return True
        return self.match(tick.wall) and not tick.repeated

    def crontab(self) -> crontab:
        return crontab(
            self.minute, self.hour, self.day_of_week, self.day_of_month, self.month_of_year
        )


def agree(fields: Fields, zone: ZoneInfo, ticks: list[Tick]) -> int:
    """Compare all slots of the walk; return how many there were."""
    expected = [tick.instant for tick in ticks if fields.fires(tick)]
    schedule = fields.crontab()
    moment, last = ticks[0].instant - MINUTE, ticks[-1].instant
    for instant in expected:
        found = schedule.next_slot(moment, zone)
        assert found == instant, (zone, schedule, moment)
        moment = instant
    found = schedule.next_slot(moment, zone)
    assert found is None or found > last, (zone, schedule, moment)
    # The slots are the same when asked for from in between.
    for tick in ticks[::97]:
        place = bisect.bisect(expected, tick.instant)
        if place < len(expected):
            found = schedule.next_slot(tick.instant, zone)
            assert found == expected[place], (zone, schedule, tick)
    return len(expected)


def some_of(rng: random.Random, low: int, high: int, near: int, often_all: float) -> frozenset[int]:
    """Some values of a field, among them often the one that the clock is about to show."""
    values = range(low, high + 1)
    if rng.random() < often_all:
        return frozenset(values)
    chosen = set(rng.sample(values, rng.choice((1, 1, 2, 3))))
    if rng.random() < 0.7:
        chosen.add(near)
    return frozenset(chosen)


def random_fields(rng: random.Random, near: datetime) -> Fields:
    return Fields(
        minute=some_of(rng, 0, 59, rng.choice((0, 15, 30, near.minute)), 0.05),
        hour=some_of(rng, 0, 23, near.hour, 0.35),
        day_of_week=some_of(rng, 0, 6, near.isoweekday() % 7, 0.6),
        day_of_month=some_of(rng, 1, 31, near.day, 0.6) | {1},
        month_of_year=some_of(rng, 1, 12, near.month, 0.8),
    )


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_zone_that_changes(shard: int) -> None:
    zones = changing_zones()
    assert len(zones) > 150
    slots = 0
    for name in sorted(zones)[shard::SHARDS]:
        zone = ZoneInfo(name)
        rng = random.Random(name)
        by_direction: dict[bool, list[datetime]] = {}
        for change in zones[name]:
            later = change.astimezone(zone).utcoffset()
            earlier = (change - MINUTE).astimezone(zone).utcoffset()
            assert later is not None
            assert earlier is not None
            by_direction.setdefault(later > earlier, []).append(change)
        for candidates in by_direction.values():
            change = rng.choice(candidates)
            ticks = walk(zone, change - BEFORE, change + AFTER)
            # Times in the gap or the fold are within so much of the change.
            for _ in range(8):
                around = timedelta(minutes=rng.randrange(-90, 90))
                near = (change + around).astimezone(zone).replace(tzinfo=None)
                slots += agree(random_fields(rng, near), zone, ticks)
    assert slots > 500


HALF_HOURS = "Australia/Lord_Howe"
TWO_HOURS = "Antarctica/Troll"
AT_MIDNIGHT = ("America/Havana", "Africa/Cairo", "Asia/Beirut", "America/Nuuk", "Atlantic/Azores")


@pytest.mark.parametrize(
    "name", [HALF_HOURS, TWO_HOURS, *AT_MIDNIGHT, "America/New_York", "Europe/Dublin"]
)
def test_each_minute_around_each_kind_of_change(name: str) -> None:
    zone = ZoneInfo(name)
    everything = crontab()
    every_field = Fields(
        everything.minute,
        everything.hour,
        everything.day_of_week,
        everything.day_of_month,
        everything.month_of_year,
    )
    for change in changing_zones()[name][-2:]:
        ticks = walk(zone, change - timedelta(hours=3), change + timedelta(hours=3))
        assert agree(every_field, zone, ticks) == 360
        for start in ticks[::7]:
            hour, minute = start.wall.hour, start.wall.minute
            once = Fields(frozenset({minute}), frozenset({hour}), *list_of_days(every_field))
            agree(once, zone, ticks)


def list_of_days(fields: Fields) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    return fields.day_of_week, fields.day_of_month, fields.month_of_year


def subset(low: int, high: int) -> st.SearchStrategy[frozenset[int]]:
    values = st.frozensets(st.integers(low, high), min_size=1, max_size=4)
    return st.just(frozenset(range(low, high + 1))) | values


@given(
    minute=st.frozensets(st.integers(0, 59), min_size=1, max_size=3),
    hour=subset(0, 23),
    day_of_week=subset(0, 6),
    day_of_month=subset(1, 31),
    month_of_year=subset(1, 12),
    begin=st.datetimes(datetime(2020, 1, 1), datetime(2030, 12, 1)),  # noqa: DTZ001 - UTC below
)
def test_dates_far_from_changes(
    minute: frozenset[int],
    hour: frozenset[int],
    day_of_week: frozenset[int],
    day_of_month: frozenset[int],
    month_of_year: frozenset[int],
    begin: datetime,
) -> None:
    assume(min(day_of_month) <= 28)
    fields = Fields(minute, hour, day_of_week, day_of_month, month_of_year)
    after = begin.replace(tzinfo=UTC)
    found = fields.crontab().next_slot(after)
    assert found is not None
    assert found > after
    assert fields.match(found)
    # None of the minutes passed over matches; a rare date is looked for in the last 400 days only.
    day = max(after.date(), found.date() - timedelta(days=400))
    while day <= found.date():
        for wall_hour in hour:
            for wall_minute in minute:
                wall = datetime(day.year, day.month, day.day, wall_hour, wall_minute, tzinfo=UTC)
                assert not (after < wall < found and fields.match(wall))
        day += timedelta(days=1)


# The grammar --------------------------------------------------------------------------------------

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
DAY_NAMES = [name[:length] for name in DAYS for length in range(3, len(name) + 1)]


@dataclass(frozen=True)
class Sample:
    text: str
    values: frozenset[int]


@st.composite
def day_values(draw: st.DrawFn) -> tuple[str, int]:
    if draw(st.booleans()):
        number = draw(st.integers(0, 6))
        return draw(st.sampled_from(["", "0"])) + str(number), number
    name = draw(st.sampled_from(DAY_NAMES))
    number = next(i for i, day in enumerate(DAYS) if day.startswith(name))
    return draw(st.sampled_from([name, name.upper(), name.title()])), number


@st.composite
def parts(draw: st.DrawFn) -> Sample:
    kind = draw(st.sampled_from(["value", "star", "range"]))
    if kind == "value":
        text, number = draw(day_values())
        return Sample(text, frozenset({number}))
    if kind == "star":
        text, values = "*", list(range(7))
    else:
        (first_text, first), (last_text, last) = draw(day_values()), draw(day_values())
        text = f"{first_text}-{last_text}"
        values = [first]
        while values[-1] != last:
            values.append((values[-1] + 1) % 7)
    step = draw(st.none() | st.integers(1, 9))
    if step is None:
        return Sample(text, frozenset(values))
    return Sample(f"{text}/{step}", frozenset(values[::step]))


@given(st.lists(parts(), min_size=1, max_size=4), st.sampled_from([",", ", ", " ,"]))
def test_the_documented_grammar_is_read(samples: list[Sample], comma: str) -> None:
    text = comma.join(sample.text for sample in samples)
    made = crontab(day_of_week=text)
    assert made.day_of_week == frozenset().union(*(sample.values for sample in samples))
    assert crontab.from_spec(made.to_spec()) == made


VALUE = r"(?:0*[0-6]|sun(?:d|da|day)?|mon(?:d|da|day)?|tue(?:s|sd|sda|sday)?"
VALUE += r"|wed(?:n|ne|nes|nesd|nesda|nesday)?|thu(?:r|rs|rsd|rsda|rsday)?|fri(?:d|da|day)?"
VALUE += r"|sat(?:u|ur|urd|urda|urday)?)"
RANGE = rf"(?:\*|{VALUE}-{VALUE})(?:/0*[1-9][0-9]*)?"
GRAMMAR = re.compile(rf" *(?:{RANGE}|{VALUE}) *(?:, *(?:{RANGE}|{VALUE}) *)*", re.IGNORECASE)
PIECES = ["*", "/", "-", ",", " ", "0", "3", "6", "7", "10", "mon", "Fri", "mo", "L", "#", "٣"]


@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
    | st.text(string.printable, max_size=6)
)
def test_nothing_but_the_documented_grammar_is_read(text: str) -> None:
    assume(not set(text) & set("\t\n\r\v\f"))
    if GRAMMAR.fullmatch(text):
        assert crontab(day_of_week=text).day_of_week
        return
    with pytest.raises(BadSchedule) as caught:
        crontab(day_of_week=text)
    message = str(caught.value)
    assert message.startswith(f"crontab day_of_week={text!r}: ")
    place = re.search(r" at character (\d+)\. Accepted are 0-6 ", message)
    assert place is not None
    assert 1 <= int(place[1]) <= len(text) + 1
