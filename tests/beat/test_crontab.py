import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reliable_tasks.errors import BadSchedule
from reliable_tasks.schedules import crontab, schedule_from_spec, schedule_to_spec

NEW_YORK = ZoneInfo("America/New_York")


def walls(schedule: crontab, start: str, count: int, zone: str = "UTC") -> list[str]:
    """The next slots as the clock of the zone shows them, with the offset."""
    tz = ZoneInfo(zone)
    moment = datetime.fromisoformat(start).replace(tzinfo=tz)
    found = []
    for _ in range(count):
        slot = schedule.next_slot(moment, tz)
        assert slot is not None
        assert slot.tzinfo is UTC
        moment = slot
        found.append(slot.astimezone(tz).strftime("%m-%d %H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", set(range(60))),
        ("7", {7}),
        ("07", {7}),
        ("0,30", {0, 30}),
        ("0, 30 ", {0, 30}),
        ("*/20", {0, 20, 40}),
        ("*/1000", {0}),
        ("10-14", {10, 11, 12, 13, 14}),
        ("10-14/2", {10, 12, 14}),
        ("57-2", {57, 58, 59, 0, 1, 2}),
        ("57-2/3", {57, 0}),
        ("5-5", {5}),
        ("1,13,30-33,50-59/4", {1, 13, 30, 31, 32, 33, 50, 54, 58}),
        (3, {3}),
        ([3, 1], {1, 3}),
        ({3, 1}, {1, 3}),
        (range(0, 60, 25), {0, 25, 50}),
        ((n for n in (4, 5)), {4, 5}),
    ],
)
def test_minutes(pattern: Any, expected: set[int]) -> None:
    assert crontab(minute=pattern).minute == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("mon", {1}),
        ("Monday", {1}),
        ("SUN", {0}),
        ("tues,thurs", {2, 4}),
        ("mon-fri", {1, 2, 3, 4, 5}),
        ("fri-mon", {5, 6, 0, 1}),
        ("sat-sun", {6, 0}),
        ("fri-tue/2", {5, 0, 2}),
        ("0-6", {0, 1, 2, 3, 4, 5, 6}),
        ("sat,2-3", {6, 2, 3}),
    ],
)
def test_days_of_the_week(pattern: str, expected: set[int]) -> None:
    assert crontab(day_of_week=pattern).day_of_week == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("january", {1}), ("Sept", {9}), ("nov-feb", {11, 12, 1, 2}), ("*/5", {1, 6, 11})],
)
def test_months(pattern: str, expected: set[int]) -> None:
    assert crontab(month_of_year=pattern).month_of_year == expected


def test_days_of_the_month_count_steps_from_the_first() -> None:
    assert crontab(day_of_month="*/10").day_of_month == {1, 11, 21, 31}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: crontab(minute="60"), ["minute='60'", "60 is outside 0-59", "character 1"]),
        (lambda: crontab(minute=60), ["minute=60", "outside 0-59"]),
        (lambda: crontab(minute=-1), ["minute=-1", "outside 0-59"]),
        (lambda: crontab(minute="1,,2"), ["nothing stands at character 3"]),
        (lambda: crontab(minute=""), ["nothing stands at character 1"]),
        (lambda: crontab(minute="-5"), ["cannot read '-5'"]),
        (lambda: crontab(minute="5/10"), ["'5/10' steps through a single value"]),
        (lambda: crontab(minute="*/0"), ["the step is 0 at character 3"]),
        (lambda: crontab(minute="*/"), ["cannot read '*/'"]),
        (lambda: crontab(minute="*/five"), ["cannot read '*/five'"]),
        (lambda: crontab(minute="1-2-3"), ["cannot read '1-2-3'"]),
        (lambda: crontab(minute="٣"), ["cannot read '٣'"]),
        (lambda: crontab(minute="9" * 5000), ["outside 0-59"]),
        (lambda: crontab(minute="0, 10-mon"), ["'mon' is not a name or number", "character 7"]),
        (lambda: crontab(minute=[]), ["minute=[] is empty"]),
        (lambda: crontab(minute=["5"]), ["'5' is a str, not an integer"]),  # type: ignore[list-item]
        (lambda: crontab(minute=True), ["True is a bool"]),
        (lambda: crontab(minute=b"5"), ["b'5' is a bytes"]),
        (lambda: crontab(minute=None), ["None is a NoneType"]),  # type: ignore[arg-type]
        (lambda: crontab(hour=1.5), ["hour=1.5", "1.5 is a float"]),  # type: ignore[arg-type]
        (lambda: crontab(hour="24"), ["hour='24'", "0-23"]),
        (lambda: crontab(day_of_week="7"), ["7 is outside 0-6", "0-6 (0 is Sunday)"]),
        (lambda: crontab(day_of_week="mo"), ["'mo' is not a name", "'mon' or 'monday'"]),
        (lambda: crontab(day_of_week="mondax"), ["did you mean 'monday'"]),
        (lambda: crontab(day_of_week="5L"), ["cannot read '5L'"]),
        (lambda: crontab(day_of_week="fri#2"), ["cannot read 'fri#2'"]),
        (lambda: crontab(day_of_month="L"), ["'L' is not a name or number"]),
        (lambda: crontab(day_of_month="0"), ["0 is outside 1-31"]),
        (lambda: crontab(month_of_year="mon"), ["'mon' is not a name"]),
        (lambda: crontab(day_of_month=30, month_of_year=2), ["never fires"]),
        (lambda: crontab(day_of_month="31", month_of_year="4,jun,9,11"), ["never fires"]),
        (lambda: crontab(tz="Europe/Berlino"), ["'Europe/Berlino'", "'Europe/Berlin'"]),
        (lambda: crontab(tz="Europe"), ["tz='Europe' is not a time zone"]),
        (lambda: crontab(tz="../etc/passwd"), ["is not a time zone"]),
        (lambda: crontab(tz=timezone(timedelta(hours=1))), ["has no name"]),
        (lambda: crontab.from_string("* * * *"), ["has 4 fields instead of 5"]),
        (lambda: crontab.from_string("@daily"), ["has 1 fields instead of 5"]),
        (lambda: crontab.from_string("0 0 * 13 *"), ["month_of_year='13'"]),
    ],
)
def test_says_what_is_wrong(make: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(BadSchedule) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_arguments_are_in_celery_s_order() -> None:
    assert crontab(1, 2, 3, 4, 5) == crontab(
        minute=1, hour=2, day_of_week=3, day_of_month=4, month_of_year=5
    )


def test_from_string_is_in_cron_s_order_and_takes_any_spaces() -> None:
    made = crontab.from_string(" 1  2\t4 5 wed\n", tz="Asia/Shanghai")
    assert made == crontab(1, 2, "wed", 4, 5, tz="Asia/Shanghai")
    assert repr(made) == "<crontab: 1 2 4 5 wed (m/h/dM/MY/d) in Asia/Shanghai>"


def test_schedules_that_fire_alike_are_equal() -> None:
    assert crontab("*/30", "*/1", "sun") == crontab([0, 30], "*", 0)
    assert hash(crontab("*/30")) == hash(crontab([0, 30]))
    assert crontab(1) != crontab(2)
    assert crontab(1, tz="UTC") != crontab(1)
    assert crontab(1, tz="UTC") == crontab(1, tz=UTC) == crontab(1, tz=ZoneInfo("UTC"))
    assert crontab(1, nowfun=lambda: datetime.now(UTC)) == crontab(1)


@pytest.mark.parametrize(
    "made",
    [
        crontab(),
        crontab("*/5, 7", [3, 1], "Fri-Mon", "1-7", "jan"),
        crontab(0, 9, tz="Asia/Shanghai"),
        crontab(0, 9, tz=UTC),
    ],
)
def test_survives_storing(made: crontab) -> None:
    again = schedule_from_spec(json.loads(json.dumps(schedule_to_spec(made))))
    assert again == made
    assert repr(again) == repr(made)
    assert pickle.loads(pickle.dumps(made)) == made


def test_daily_in_the_zone_of_the_app() -> None:
    slot = crontab(hour=9, minute=50).next_slot(
        datetime(2026, 11, 23, 1, 50, tzinfo=UTC), ZoneInfo("Asia/Shanghai")
    )
    assert slot == datetime(2026, 11, 24, 1, 50, tzinfo=UTC)


def test_its_own_zone_counts_before_the_one_given() -> None:
    after = datetime(2026, 1, 1, tzinfo=UTC)
    assert crontab(0, 9, tz=NEW_YORK).next_slot(after, ZoneInfo("Asia/Tokyo")) == crontab(
        0, 9
    ).next_slot(after, NEW_YORK)


def test_slots_are_strictly_after() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    daily = crontab(0, 12)
    assert daily.next_slot(noon - timedelta(microseconds=1)) == noon
    assert daily.next_slot(noon) == noon + timedelta(days=1)
    assert daily.next_slot(noon + timedelta(microseconds=1)) == noon + timedelta(days=1)


def test_both_day_fields_must_match() -> None:
    assert walls(crontab(0, 0, "fri", "13"), "2026-01-01", 3) == [
        "02-13 00:00 +0000",
        "03-13 00:00 +0000",
        "11-13 00:00 +0000",
    ]
    # The first and third Mondays, as Celery's documentation has it.
    assert walls(crontab(0, 0, "mon", "1-7,15-21"), "2026-06-01T00:01", 2) == [
        "06-15 00:00 +0000",
        "07-06 00:00 +0000",
    ]


def test_finds_the_rarest_date() -> None:
    slot = crontab(0, 0, "mon", 29, 2).next_slot(datetime(2072, 3, 1, tzinfo=UTC))
    assert slot == datetime(2112, 2, 29, tzinfo=UTC)


def test_ends_with_the_calendar() -> None:
    assert crontab(0, 0, "*", 1, 1).next_slot(datetime(9999, 6, 1, tzinfo=UTC)) is None
    assert crontab().next_slot(datetime.max.replace(tzinfo=UTC)) is None


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"after=.* is naive"):
        crontab().next_slot(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (
            crontab(0),
            ["11-01 00:00 -0400", "11-01 01:00 -0400", "11-01 01:00 -0500", "11-01 02:00 -0500"],
        ),
        (
            crontab("*/30"),
            [
                "11-01 00:00 -0400",
                "11-01 00:30 -0400",
                "11-01 01:00 -0400",
                "11-01 01:30 -0400",
                "11-01 01:00 -0500",
                "11-01 01:30 -0500",
                "11-01 02:00 -0500",
            ],
        ),
        (crontab(30, 1), ["11-01 01:30 -0400", "11-02 01:30 -0500"]),
        (crontab(0, "*/2"), ["11-01 00:00 -0400", "11-01 02:00 -0500", "11-01 04:00 -0500"]),
        (crontab("*/30", 1), ["11-01 01:00 -0400", "11-01 01:30 -0400", "11-02 01:00 -0500"]),
    ],
)
def test_the_clock_goes_back_in_new_york(made: crontab, expected: list[str]) -> None:
    assert walls(made, "2026-10-31T23:59", len(expected), "America/New_York") == expected


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (crontab(0), ["03-08 01:00 -0500", "03-08 03:00 -0400", "03-08 04:00 -0400"]),
        (crontab(30), ["03-08 01:30 -0500", "03-08 03:30 -0400"]),
        (crontab(30, 2), ["03-08 03:00 -0400", "03-09 02:30 -0400"]),
        (crontab("0,30", 2), ["03-08 03:00 -0400", "03-09 02:00 -0400", "03-09 02:30 -0400"]),
        (crontab(0, "2,3"), ["03-08 03:00 -0400", "03-09 02:00 -0400"]),
        (crontab(30, "2,3"), ["03-08 03:00 -0400", "03-08 03:30 -0400", "03-09 02:30 -0400"]),
        (crontab(0, "*/2"), ["03-08 03:00 -0400", "03-08 04:00 -0400"]),
    ],
)
def test_the_clock_goes_forward_in_new_york(made: crontab, expected: list[str]) -> None:
    assert walls(made, "2026-03-08T00:30", len(expected), "America/New_York") == expected


def test_a_jump_of_half_an_hour() -> None:
    # 2026-10-04, Lord Howe Island: 02:00 +1030 becomes 02:30 +1100.
    assert walls(crontab(40), "2026-10-04T01:50", 2, "Australia/Lord_Howe") == [
        "10-04 02:40 +1100",
        "10-04 03:40 +1100",
    ]


def test_a_slot_jumped_over_keeps_its_day_of_the_week() -> None:
    # Saturday 2026-03-28, Nuuk: 23:00 -0200 becomes Sunday 00:00 -0100.
    assert walls(crontab(30, 23, "sat"), "2026-03-28T12:00", 1, "America/Nuuk") == [
        "03-29 00:00 -0100"
    ]


def test_a_day_jumped_over() -> None:
    # Samoa had no 30 December 2011.
    assert walls(crontab(0, 12), "2011-12-29T12:00", 2, "Pacific/Apia") == [
        "12-31 00:00 +1400",
        "12-31 12:00 +1400",
    ]
