from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliable_tasks.beat.plan import (
    MISSED_LIMIT,
    CatchUp,
    DuePlan,
    due_slots,
    first_slot,
    jittered,
)
from reliable_tasks.beat.schedules import BaseSchedule
from reliable_tasks.beat.zones import from_ms, to_ms
from reliable_tasks.errors import ConfigError
from reliable_tasks.schedules import crontab, schedule

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_MS = to_ms(NOON)
MINUTE = 60_000
HOUR = 60 * MINUTE
EVERY_MINUTE = schedule(60)


def plan(
    next_slot_ms: int | None,
    now_ms: int,
    policy: CatchUp = "skip",
    made: BaseSchedule = EVERY_MINUTE,
    **more: Any,
) -> DuePlan:
    options: dict[str, Any] = {"limit": 100, "tz": UTC, **more}
    return due_slots(made, next_slot_ms=next_slot_ms, now_ms=now_ms, policy=policy, **options)


@pytest.mark.parametrize("policy", ["skip", "one", "all"])
def test_nothing_before_the_slot_and_the_slot_itself_in_time(policy: CatchUp) -> None:
    assert plan(NOON_MS, NOON_MS - 1, policy) == DuePlan((), NOON_MS, 0)
    for late in (0, 1, MINUTE - 1):
        assert plan(NOON_MS, NOON_MS + late, policy) == DuePlan((NOON_MS,), NOON_MS + MINUTE, 0)


@pytest.mark.parametrize("policy", ["skip", "one", "all"])
def test_an_entry_that_ended_stays_so(policy: CatchUp) -> None:
    assert plan(None, NOON_MS, policy) == DuePlan((), None, 0)


def test_skip_fires_the_latest_slot_within_the_grace() -> None:
    now = NOON_MS + 10 * MINUTE + 500
    fired = NOON_MS + 10 * MINUTE
    assert plan(NOON_MS, now) == DuePlan((fired,), fired + MINUTE, 10)
    hourly = schedule(3600)
    at_the_edge = plan(NOON_MS, NOON_MS + 90_000, made=hourly, grace_ms=90_000)
    assert at_the_edge == DuePlan((NOON_MS,), NOON_MS + HOUR, 0)
    too_late = plan(NOON_MS, NOON_MS + 90_001, made=hourly, grace_ms=90_000)
    assert too_late == DuePlan((), NOON_MS + HOUR, 1)
    assert plan(NOON_MS, NOON_MS + 3 * HOUR - 1, made=hourly) == DuePlan((), NOON_MS + 3 * HOUR, 3)


def test_one_fires_once_for_all_that_were_missed() -> None:
    daily = crontab(0, 12)
    now = NOON_MS + 10 * 24 * HOUR + 5 * HOUR
    fired = NOON_MS + 10 * 24 * HOUR
    assert plan(NOON_MS, now, "one", daily) == DuePlan((fired,), fired + 24 * HOUR, 10)


def test_all_fires_each_in_order_as_many_as_the_limit_allows() -> None:
    now = NOON_MS + 4 * MINUTE + 1
    first = plan(NOON_MS, now, "all", limit=3)
    assert first == DuePlan(
        (NOON_MS, NOON_MS + MINUTE, NOON_MS + 2 * MINUTE), NOON_MS + 3 * MINUTE, 0
    )
    second = plan(first.next_slot_ms, now, "all", limit=3)
    assert second == DuePlan((NOON_MS + 3 * MINUTE, NOON_MS + 4 * MINUTE), NOON_MS + 5 * MINUTE, 0)


@pytest.mark.parametrize("policy", ["skip", "one"])
@pytest.mark.parametrize("made", [schedule(1), crontab(), crontab("*", 9, "mon")])
def test_years_of_missed_slots_are_not_walked_through(policy: CatchUp, made: BaseSchedule) -> None:
    first = first_slot(made, now_ms=NOON_MS, tz=UTC)
    assert first is not None
    now = to_ms(datetime(2036, 1, 7, 9, 30, 20, 500_000, tzinfo=UTC))
    found = plan(first, now, policy, made)
    assert found.missed == MISSED_LIMIT
    assert found.next_slot_ms is not None
    assert found.next_slot_ms > now
    latest = made.next_slot(from_ms(now) - timedelta(days=7))
    while latest is not None and to_ms(latest) <= now:
        expected = to_ms(latest)
        latest = made.next_slot(max(latest, from_ms(now) - timedelta(minutes=2)))
    assert found.fire == ((expected,) if policy == "one" or now - expected <= MINUTE else ())


def test_slots_outside_the_bounds_do_not_count() -> None:
    bounds: dict[str, Any] = {
        "start_at": NOON + timedelta(minutes=2),
        "end_at": NOON + timedelta(minutes=4),
    }
    start, end = NOON_MS + 2 * MINUTE, NOON_MS + 4 * MINUTE
    assert plan(NOON_MS, NOON_MS, "all", **bounds) == DuePlan((), start, 0)
    late = NOON_MS + HOUR
    everything = (start, start + MINUTE, end)
    assert plan(NOON_MS, late, "all", **bounds) == DuePlan(everything, None, 0)
    assert plan(NOON_MS, late, "one", **bounds) == DuePlan((end,), None, 2)
    assert plan(NOON_MS, late, "skip", **bounds) == DuePlan((), None, 3)
    assert plan(end + MINUTE, late, "all", **bounds) == DuePlan((), None, 0)
    assert first_slot(EVERY_MINUTE, now_ms=NOON_MS, tz=UTC, **bounds) == start
    assert first_slot(EVERY_MINUTE, now_ms=end, tz=UTC, **bounds) is None


def test_bounds_between_milliseconds() -> None:
    fine = schedule(0.001)
    bound = NOON + timedelta(microseconds=500)
    assert first_slot(fine, now_ms=0, tz=UTC, start_at=bound) == NOON_MS + 1
    assert first_slot(fine, now_ms=NOON_MS - 1, tz=UTC, end_at=bound) == NOON_MS
    assert first_slot(fine, now_ms=NOON_MS, tz=UTC, end_at=bound) is None


def test_a_new_entry_starts_one_period_after_its_anchor() -> None:
    anchor = NOON + timedelta(seconds=7)
    first = first_slot(EVERY_MINUTE, now_ms=to_ms(anchor), tz=UTC, anchor=anchor)
    assert first == to_ms(anchor) + MINUTE


def test_the_zone_counts() -> None:
    daily = crontab(0, 9)
    shanghai = ZoneInfo("Asia/Shanghai")
    assert first_slot(daily, now_ms=NOON_MS, tz=shanghai) == NOON_MS + 13 * HOUR


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigError, match="catch_up='al' is not one of skip, one, all"):
        plan(NOON_MS, NOON_MS, "al")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="limit=0"):
        plan(NOON_MS, NOON_MS, limit=0)
    with pytest.raises(ConfigError, match="jitter of -1 ms"):
        jittered(NOON_MS, "name", -1)


SCHEDULES = st.sampled_from(
    [schedule(7), schedule(60), schedule(3600, relative=True), crontab("*/7", "1-5"), crontab(0)]
)


@given(
    made=SCHEDULES,
    gaps=st.lists(st.integers(0, 6 * HOUR), min_size=1, max_size=15),
    zone=st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe"]),
)
def test_all_sends_each_slot_once_whenever_beat_wakes(
    made: BaseSchedule, gaps: list[int], zone: str
) -> None:
    tz = ZoneInfo(zone)
    begin = now = to_ms(datetime(2026, 3, 8, tzinfo=UTC))
    slot = first_slot(made, now_ms=now, tz=tz)
    fired: list[int] = []
    for gap in gaps:
        now += gap
        found = plan(slot, now, "all", made, limit=50, tz=tz)
        fired += found.fire
        slot = found.next_slot_ms
    moment = from_ms(begin)
    for planned in fired:
        expected = made.next_slot(moment, tz)
        assert expected is not None
        assert planned == to_ms(expected)
        moment = expected
    following = made.next_slot(moment, tz)
    assert following is not None
    assert slot == to_ms(following)


@given(
    made=SCHEDULES,
    # Every seven seconds, 100 minutes hold too few slots for their count to stop at its limit.
    gaps=st.lists(st.integers(0, 100 * MINUTE), min_size=1, max_size=15),
    policy=st.sampled_from(["skip", "one"]),
)
def test_each_slot_is_either_fired_or_missed(
    made: BaseSchedule, gaps: list[int], policy: CatchUp
) -> None:
    now = NOON_MS
    slot = first_slot(made, now_ms=now, tz=UTC)
    fired: list[int] = []
    missed = 0
    for gap in gaps:
        now += gap
        found = plan(slot, now, policy, made, limit=1)
        fired += found.fire
        missed += found.missed
        slot = found.next_slot_ms
        assert slot is not None
        assert slot > now
    assert all(a < b for a, b in pairwise(fired))
    count, moment = 0, made.next_slot(NOON)
    while moment is not None and to_ms(moment) <= now and count < 20 * MISSED_LIMIT:
        count += 1
        moment = made.next_slot(moment)
    assert len(fired) + missed == count


def test_jitter_is_the_same_everywhere_and_spreads() -> None:
    assert jittered(NOON_MS, "name", 0) == NOON_MS
    assert jittered(NOON_MS, "name", 1000) == jittered(NOON_MS, "name", 1000)
    spread = {jittered(NOON_MS, f"entry {n}", 9) - NOON_MS for n in range(300)}
    assert spread == set(range(10))
    over_time = {jittered(NOON_MS + n, "name", 9) - NOON_MS - n for n in range(300)}
    assert over_time == set(range(10))
