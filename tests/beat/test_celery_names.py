"""What schedules have for programs that were written for Celery's."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from reliable_tasks import App, crontab, current_app
from reliable_tasks.errors import BadSchedule
from reliable_tasks.schedules import (
    BaseSchedule,
    ParseException,
    crontab_parser,
    maybe_schedule,
    schedule,
    solar,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NAIVE = datetime(2026, 3, 2, 8, 0)  # noqa: DTZ001 - what programs written for Celery pass
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def app() -> Iterator[App]:
    with App("timely", broker="sqlite://", timezone="Europe/Berlin", set_as_current=False) as made:
        yield made


def each_kind(app: App) -> list[BaseSchedule]:
    return [schedule(60, app=app), crontab(app=app), solar("sunset", 52, 13, app=app)]


def test_each_schedule_takes_an_app_and_has_the_current_one_without(app: App) -> None:
    for made in each_kind(app):
        assert made.app is app
    for made in (schedule(60), crontab(), solar("sunset", 52, 13)):
        assert made.app == current_app
        made.app = app
        assert made.app is app
    assert crontab.from_string("0 9 * * *", app=app).app is app
    assert maybe_schedule(60, app=app).app is app
    assert maybe_schedule(crontab(), app=app).app is app


def test_an_app_changes_nothing_about_what_a_schedule_is(app: App) -> None:
    assert schedule(60, app=app) == schedule(60)
    assert hash(crontab(app=app)) == hash(crontab())


def test_naive_instants_are_in_utc_and_counted_in_the_time_zone_of_the_app(app: App) -> None:
    at_nine = crontab(0, 9, nowfun=lambda: NAIVE, app=app)
    # It is 9:00 in Berlin, and so the next time is tomorrow.
    assert at_nine.is_due(NAIVE) == (False, 24 * 3600)
    assert at_nine.remaining_estimate(NAIVE - timedelta(minutes=1)) == timedelta(0)
    assert at_nine.maybe_make_aware(NAIVE) == datetime(2026, 3, 2, 9, tzinfo=BERLIN)
    assert at_nine.maybe_make_aware(NAIVE, naive_as_utc=False) == NAIVE.replace(tzinfo=BERLIN)
    assert at_nine.to_local(NAIVE) == NAIVE
    assert at_nine.utc_enabled


def test_only_the_clock_and_the_app_of_a_schedule_can_be_changed(app: App) -> None:
    for made in each_kind(app):
        made.nowfun = lambda: NAIVE
        assert made.now() == NAIVE.replace(tzinfo=UTC)
    with pytest.raises(AttributeError, match=r"crontab\.minute cannot be changed: make another"):
        crontab(5).minute = frozenset({6})
    with pytest.raises(AttributeError, match=r"schedule\.run_every cannot be changed"):
        schedule(5).run_every = timedelta(6)


def test_a_pickled_schedule_leaves_its_app_behind(app: App) -> None:
    for made in each_kind(app):
        again = pickle.loads(pickle.dumps(made))
        assert again == made
        assert again.app == current_app


def test_remaining_delta_leads_to_the_next_slot(app: App) -> None:
    last, delta, now = crontab(30, 9, nowfun=lambda: NAIVE, app=app).remaining_delta(NAIVE)
    assert last + delta == datetime(2026, 3, 2, 9, 30, tzinfo=BERLIN)
    assert now == NAIVE.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "now"),
        (1, "1.00 second"),
        (90, "1.50 minutes"),
        (3600, "1.00 hour"),
        (10, "10.00 seconds"),
    ],
)
def test_a_period_for_people(seconds: float, text: str) -> None:
    assert schedule(seconds).human_seconds == text


@pytest.mark.parametrize(
    ("parser", "pattern", "values"),
    [
        (crontab_parser(), "*/15", {0, 15, 30, 45}),
        (crontab_parser(24), "22-2", {22, 23, 0, 1, 2}),
        (crontab_parser(7), "mon-wed", {1, 2, 3}),
        (crontab_parser(12, 1), "jan,DEC", {1, 12}),
        (crontab_parser(60, 1), "55-5/3", {55, 58, 1, 4}),
    ],
)
def test_the_parser_of_one_field(parser: crontab_parser, pattern: str, values: set[int]) -> None:
    assert parser.parse(pattern) == values


@pytest.mark.parametrize("pattern", ["", "1,,2", "*/", "-20", "60", "61-0", "mon"])
def test_the_parser_refuses_what_crontab_does(pattern: str) -> None:
    with pytest.raises(crontab_parser.ParseException):
        crontab_parser(60).parse(pattern)
    assert crontab_parser.ParseException is ParseException is BadSchedule


def test_a_schedule_of_ones_own_begins_as_one_of_celerys(app: App) -> None:
    class Mine(schedule):
        def __init__(self, **options: Any) -> None:
            super().__init__(5, **options)
            self.note = "mine"

    made = Mine(nowfun=lambda: NAIVE, app=app)
    assert (made.app, made.note) == (app, "mine")
    assert pickle.loads(pickle.dumps(schedule(5, app=app))) == schedule(5)


# The app's own clock -----------------------------------------------------------------------------


def test_the_time_zone_of_an_app_is_set_by_name_or_object(app: App) -> None:
    assert app.now().tzinfo == BERLIN
    assert not app.uses_utc_timezone()
    app.timezone = "America/New_York"
    assert app.conf.timezone == "America/New_York"
    app.timezone = UTC
    assert app.uses_utc_timezone()
    app.timezone = BERLIN
    assert app.timezone == BERLIN
    with pytest.raises(ValueError, match="there is no such time zone"):
        app.timezone = "Mars/Olympus"
