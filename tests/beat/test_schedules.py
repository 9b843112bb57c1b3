import json
import math
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reliable_tasks.errors import BadSchedule
from reliable_tasks.schedules import (
    BaseSchedule,
    crontab,
    maybe_schedule,
    schedstate,
    schedule,
    schedule_from_spec,
    schedule_to_spec,
    solar,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local_slots(made: BaseSchedule, zone: str, anchor: str, count: int) -> list[str]:
    tz = ZoneInfo(zone)
    start = moment = datetime.fromisoformat(anchor).replace(tzinfo=tz)
    found = []
    for _ in range(count):
        slot = made.next_slot(moment, tz, start)
        assert slot is not None
        moment = slot
        found.append(slot.astimezone(tz).strftime("%m-%d %H:%M %z"))
    return found


# Intervals ----------------------------------------------------------------------------------------


def test_slots_lie_on_a_grid_from_the_anchor_however_late_one_asks() -> None:
    every = schedule(timedelta(minutes=5))
    anchor = NOON + timedelta(seconds=7)
    assert every.next_slot(anchor, anchor=anchor) == anchor + timedelta(minutes=5)
    for late in (1, 299):
        after = anchor + timedelta(minutes=5, seconds=late)
        assert every.next_slot(after, anchor=anchor) == anchor + timedelta(minutes=10)
    before = anchor - timedelta(minutes=7)
    assert every.next_slot(before, anchor=anchor) == anchor - timedelta(minutes=5)


def test_its_own_anchor_counts_before_the_one_given() -> None:
    every = schedule(60, anchor=NOON + timedelta(seconds=1))
    assert every.next_slot(NOON, anchor=NOON) == NOON + timedelta(seconds=1)


def test_without_an_anchor_the_grid_starts_with_the_epoch() -> None:
    assert schedule(3600).next_slot(NOON + timedelta(seconds=1)) == NOON + timedelta(hours=1)


def test_slots_are_whole_milliseconds() -> None:
    third = schedule(1 / 3)
    assert third.run_every == timedelta(milliseconds=333)
    anchor = NOON + timedelta(microseconds=999)
    assert third.next_slot(NOON, anchor=anchor) == NOON + timedelta(milliseconds=333)
    assert schedule(1, anchor=anchor).anchor == NOON


def test_intervals_count_the_time_that_really_passes() -> None:
    # 25 October 2026 has 25 hours in Berlin.
    assert local_slots(schedule(timedelta(days=1)), "Europe/Berlin", "2026-10-24T12:00", 1) == [
        "10-25 11:00 +0100"
    ]


@pytest.mark.parametrize(
    ("every", "zone", "anchor", "expected"),
    [
        (
            timedelta(hours=1),
            "Asia/Kolkata",
            "2026-01-01T12:34:56",
            ["01-01 13:00 +0530", "01-01 14:00 +0530"],
        ),
        (
            timedelta(minutes=15),
            "UTC",
            "2026-01-01T12:34:56",
            ["01-01 12:45 +0000", "01-01 13:00 +0000"],
        ),
        (
            timedelta(hours=1),
            "Europe/Berlin",
            "2026-10-25T01:30",
            ["10-25 02:00 +0200", "10-25 02:00 +0100", "10-25 03:00 +0100"],
        ),
        (
            timedelta(days=1),
            "Europe/Berlin",
            "2026-10-24T12:34:56",
            ["10-25 00:00 +0200", "10-26 00:00 +0100"],
        ),
        (timedelta(days=7), "UTC", "2026-01-01T12:34:56", ["01-08 00:00 +0000"]),
        # Havana has no midnight on 8 March 2026, and two on 1 November.
        (
            timedelta(days=1),
            "America/Havana",
            "2026-03-07T12:00",
            ["03-08 01:00 -0400", "03-09 00:00 -0400"],
        ),
        (
            timedelta(days=1),
            "America/Havana",
            "2026-10-31T12:00",
            ["11-01 00:00 -0400", "11-02 00:00 -0500"],
        ),
    ],
)
def test_relative_slots_lie_on_the_clock_s_own_grid(
    every: timedelta, zone: str, anchor: str, expected: list[str]
) -> None:
    made = schedule(every, relative=True)
    assert local_slots(made, zone, anchor, len(expected)) == expected


def test_a_midnight_repeated_from_the_evening_before_comes_once() -> None:
    # In Goose Bay the clock went from 00:01 back to 23:01, so that 00:00 came twice.
    made = schedule(timedelta(days=1), relative=True)
    assert local_slots(made, "America/Goose_Bay", "2010-11-06T12:00", 2) == [
        "11-07 00:00 -0300",
        "11-08 00:00 -0400",
    ]
    between = datetime(2010, 11, 7, 3, 30, tzinfo=UTC)  # 23:30, the second time
    following = made.next_slot(between, ZoneInfo("America/Goose_Bay"), between)
    assert following == datetime(2010, 11, 8, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: schedule(0), "run_every=0 must be at least a millisecond"),
        (lambda: schedule(timedelta(days=-1)), "at least a millisecond"),
        (lambda: schedule(0.0001), "at least a millisecond"),
        (lambda: schedule(math.nan), "run_every=nan is no duration"),
        (lambda: schedule(math.inf), "run_every=inf is no duration"),
        (lambda: schedule(True), "schedule True is not understood"),
        (
            lambda: maybe_schedule("*/5 * * * *"),  # type: ignore[arg-type]
            r"'\*/5 \* \* \* \*' is not understood.*crontab.from_string",
        ),
        (lambda: maybe_schedule(None), "schedule None is not understood"),  # type: ignore[arg-type]
        (lambda: schedule(1, anchor=datetime(2026, 1, 1)), "anchor=.* is naive"),  # noqa: DTZ001
        (lambda: schedule(1, tz="Mars/Olympus"), "tz='Mars/Olympus' is not a time zone"),
    ],
)
def test_says_what_is_wrong(make: Callable[[], object], words: str) -> None:
    with pytest.raises(BadSchedule, match=words):
        make()


def test_an_interval_too_long_for_the_calendar_ends() -> None:
    assert schedule(timedelta(days=4_000_000)).next_slot(NOON) is None


def test_a_naive_anchor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"anchor=.* is naive"):
        schedule(1).next_slot(NOON, anchor=datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake


def test_equality_and_repr() -> None:
    assert schedule(60) == schedule(timedelta(minutes=1)) != schedule(60, relative=True)
    assert hash(schedule(60)) == hash(schedule(timedelta(minutes=1)))
    other: BaseSchedule = crontab()
    assert schedule(60) != other
    assert repr(schedule(90)) == "<freq: 0:01:30>"
    assert repr(schedule(90, relative=True)) == "<freq: 0:01:30, relative>"
    assert schedule(90).seconds == 90.0


# What they have in common -------------------------------------------------------------------------


def test_maybe_schedule() -> None:
    for value in (30, 30.0, timedelta(seconds=30)):
        assert maybe_schedule(value) == schedule(30)
    assert maybe_schedule(timedelta(hours=1), relative=True) == schedule(3600, relative=True)
    made = crontab()
    assert maybe_schedule(made) is made


@pytest.mark.parametrize(
    "made",
    [
        schedule(0.25),
        schedule(timedelta(days=2), relative=True, tz="Europe/Berlin"),
        schedule(10, anchor=NOON),
        schedule(10, anchor=NOON.astimezone(BERLIN)),
    ],
)
def test_intervals_survive_storing(made: schedule) -> None:
    assert schedule_from_spec(json.loads(json.dumps(schedule_to_spec(made)))) == made
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "has the type 'None'; known are crontab, interval, solar"),
        ({"type": "crontabs"}, "'crontabs'.*did you mean 'crontab'"),
        ({"type": "crontab"}, "is damaged: KeyError"),
        ({"type": "interval", "every_ms": "x", "relative": 0, "anchor_ms": None}, "is damaged"),
        ({"type": "solar", "event": "sunset", "lat": 0}, "is damaged: KeyError"),
        ({"type": "crontab", "cron": "99 * * * *", "tz": None}, "99 is outside 0-59"),
    ],
)
def test_a_damaged_spec_is_told(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSchedule, match=words):
        schedule_from_spec(spec)


def test_is_due() -> None:
    made = schedule(60, nowfun=lambda: NOON)
    assert made.is_due(NOON - timedelta(seconds=20)) == (False, 40.0)
    assert made.is_due(NOON - timedelta(seconds=60)) == schedstate(is_due=True, next=60.0)
    assert made.is_due(NOON - timedelta(seconds=90)).is_due
    daily = crontab(30, 11, nowfun=lambda: NOON)
    assert daily.is_due(NOON - timedelta(days=1)) == (True, 23.5 * 3600)
    assert daily.is_due(NOON - timedelta(minutes=10)) == (False, 23.5 * 3600)
    sunset = solar("sunset", 52.5, 13.4, nowfun=lambda: NOON)
    assert sunset.is_due(NOON - timedelta(days=1)).is_due
    assert not sunset.is_due(NOON).is_due


def test_remaining_estimate() -> None:
    made = schedule(60, nowfun=lambda: NOON)
    assert made.remaining_estimate(NOON - timedelta(seconds=20)) == timedelta(seconds=40)
    assert made.remaining_estimate(NOON - timedelta(seconds=80)) == timedelta(seconds=-20)


def test_estimates_count_in_the_zone_they_are_given() -> None:
    daily = crontab(0, 13, nowfun=lambda: NOON)
    last = NOON - timedelta(minutes=1)
    assert daily.is_due(last) == (False, 3600.0)
    assert daily.is_due(last, tz="Europe/Berlin") == (True, 24 * 3600.0)
    assert daily.is_due(last.astimezone(BERLIN)) == (True, 24 * 3600.0)
    fixed = timezone(timedelta(hours=2))
    assert daily.remaining_estimate(last, tz=fixed) == timedelta(hours=23)


def test_naive_times_are_in_utc() -> None:
    made = schedule(60, nowfun=lambda: NOON.replace(tzinfo=None))
    assert made.is_due(datetime(2026, 1, 1, 11, 59, 50)) == (False, 50.0)  # noqa: DTZ001 - meant


def test_a_schedule_that_ended_is_never_due() -> None:
    made = schedule(timedelta(days=4_000_000), nowfun=lambda: NOON)
    assert made.remaining_estimate(NOON) == timedelta.max
    assert made.is_due(NOON) == (False, math.inf)


def test_without_nowfun_the_clock_is_asked() -> None:
    before = datetime.now(UTC)
    assert before <= schedule(1).now() <= datetime.now(UTC)
