import json
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from reliable_tasks.errors import BadSchedule
from reliable_tasks.schedules import schedule_from_spec, schedule_to_spec, solar

EVENTS = (
    *("dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise", "solar_noon", "sunset"),
    *("dusk_civil", "dusk_nautical", "dusk_astronomical"),
)


def slots(event: str, lat: float, lon: float, year: int = 2026) -> list[datetime]:
    found = []
    made = solar(event, lat, lon)
    moment = datetime(year, 1, 1, tzinfo=UTC)
    while (slot := made.next_slot(moment)) is not None and slot.year == year:
        found.append(slot)
        moment = slot
    return found


# Computed with the ephemeris that Celery uses, and its horizons, but for the sign that Celery has
# wrong in the horizon of dusk_astronomical.
@pytest.mark.parametrize(
    ("event", "lat", "lon", "expected"),
    [
        ("dawn_astronomical", 40.71, -74.01, "2026-03-20T09:27:36Z"),
        ("dawn_astronomical", -33.87, 151.21, "2026-03-20T18:35:18Z"),
        ("dawn_nautical", 40.71, -74.01, "2026-03-20T10:00:06Z"),
        ("dawn_nautical", -33.87, 151.21, "2026-03-20T19:04:42Z"),
        ("dawn_civil", 40.71, -74.01, "2026-03-20T10:32:02Z"),
        ("dawn_civil", -33.87, 151.21, "2026-03-20T19:33:48Z"),
        ("sunrise", 40.71, -74.01, "2026-03-20T10:59:18Z"),
        ("sunrise", -33.87, 151.21, "2026-03-20T19:58:43Z"),
        ("solar_noon", 40.71, -74.01, "2026-03-20T17:03:24Z"),
        ("solar_noon", -33.87, 151.21, "2026-03-20T02:02:43Z"),
        ("sunset", 40.71, -74.01, "2026-03-20T23:08:12Z"),
        ("sunset", -33.87, 151.21, "2026-03-20T08:06:56Z"),
        ("dusk_civil", 40.71, -74.01, "2026-03-20T23:35:31Z"),
        ("dusk_civil", -33.87, 151.21, "2026-03-20T08:31:50Z"),
        ("dusk_nautical", 40.71, -74.01, "2026-03-20T00:06:25Z"),
        ("dusk_nautical", -33.87, 151.21, "2026-03-20T09:00:53Z"),
        ("dusk_astronomical", 40.71, -74.01, "2026-03-20T00:38:57Z"),
        ("dusk_astronomical", -33.87, 151.21, "2026-03-20T09:30:15Z"),
    ],
)
def test_agrees_with_an_ephemeris(event: str, lat: float, lon: float, expected: str) -> None:
    slot = solar(event, lat, lon).next_slot(datetime(2026, 3, 20, tzinfo=UTC))
    assert slot is not None
    assert abs(slot - datetime.fromisoformat(expected)) < timedelta(seconds=6)


@pytest.mark.parametrize("lon", [-180, -179.9, -74.0, 0, 13.4, 151.2, 179.9, 180])
@pytest.mark.parametrize("event", EVENTS)
def test_once_a_day_all_around_the_earth(event: str, lon: float) -> None:
    found = slots(event, -33.9, lon)
    assert len(found) == 365
    assert all(timedelta(hours=23.9) < b - a < timedelta(hours=24.1) for a, b in pairwise(found))


def test_a_day_s_events_are_in_order() -> None:
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    found = [solar(event, 10, 0).next_slot(midnight) for event in EVENTS]
    assert found == sorted(found, key=str)
    assert len(set(found)) == len(EVENTS)


def test_days_without_the_event_have_no_slot() -> None:
    # Tromsø has no sunrise from the end of November to the middle of January, nor from the middle
    # of May to the end of July.
    found = slots("sunrise", 69.65, 18.96)
    gaps = [(a.date().isoformat(), (b - a).days) for a, b in pairwise(found) if (b - a).days > 1]
    assert found[0].date().isoformat() == "2026-01-15"
    assert gaps == [("2026-05-17", 69)]
    assert found[-1].date().isoformat() == "2026-11-27"


def test_the_first_sunrise_after_the_polar_night() -> None:
    # The sun comes over the horizon only for minutes around noon; checked with an ephemeris.
    first = solar("sunrise", 74, 18.96).next_slot(datetime(2026, 1, 1, tzinfo=UTC))
    assert first is not None
    assert abs(first - datetime(2026, 2, 2, 10, 32, 53, tzinfo=UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("lat", [90, -90])
def test_the_poles_have_a_sunrise_each_year(lat: float) -> None:
    assert slots("sunrise", lat, 0)
    assert slots("sunset", lat, 0)


def test_slots_are_whole_seconds_and_strictly_after() -> None:
    made = solar("sunset", 52.5, 13.4)
    first = made.next_slot(datetime(2026, 6, 1, tzinfo=UTC))
    assert first is not None
    assert first.microsecond == 0
    assert made.next_slot(first - timedelta(microseconds=1)) == first
    following = made.next_slot(first)
    assert following is not None
    assert following > first + timedelta(hours=23)


def test_survives_storing() -> None:
    made = solar("sunset", -37.81, 144.96)
    assert schedule_from_spec(json.loads(json.dumps(schedule_to_spec(made)))) == made
    assert made != solar("sunrise", -37.81, 144.96)
    assert hash(made) == hash(solar("sunset", -37.81, 144.96))
    assert repr(made) == "<solar: sunset at latitude -37.81, longitude: 144.96>"


@pytest.mark.parametrize(
    ("event", "lat", "lon", "words"),
    [
        ("sunrize", 0, 0, "event='sunrize' is not one of .*; did you mean 'sunrise'"),
        ("sunset", 90.1, 0, "lat=90.1 is not between -90 and 90"),
        ("sunset", float("nan"), 0, "lat=nan"),
        ("sunset", 0, -181, "lon=-181 is not between -180 and 180"),
        ("sunset", "52", 0, "lat='52'"),
    ],
)
def test_says_what_is_wrong(event: str, lat: float, lon: float, words: str) -> None:
    with pytest.raises(BadSchedule, match=words):
        solar(event, lat, lon)


def test_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "astral.sun", None)
    with pytest.raises(BadSchedule, match=r"pip install astral"):
        solar("sunset", 0, 0)
