"""What an entry may not say is refused where it is said, on every way into the schedule."""

from __future__ import annotations

from asyncio import CancelledError
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from reliable_tasks import crontab, events
from reliable_tasks.beat import definition
from reliable_tasks.beat.sync import code_definitions
from reliable_tasks.errors import ConfigError
from reliable_tasks.schedules import schedule, solar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.beat.driver import Driver

BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
AFTER = datetime(2200, 1, 1, tzinfo=UTC)


class LastDayOfMonth(schedule):
    """As such classes are written for Celery."""

    def is_due(self, last_run_at: datetime, **_: Any) -> Any:
        return last_run_at.day > 27, 3600.0


class Workdays(crontab):
    """As one is written for us."""

    def next_slot(self, after: datetime, tz: Any = UTC, anchor: datetime | None = None) -> Any:
        return super().next_slot(after + timedelta(days=1), tz, anchor)


class Nightly(crontab):
    """It names a crontab, and changes nothing."""

    def __init__(self, hour: int = 3) -> None:
        super().__init__(minute=0, hour=hour)


class Raises(schedule):
    """Its description cannot be had."""

    def to_spec(self) -> dict[str, Any]:
        raise SystemExit(3)


REFUSED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "own is_due": ({"schedule": LastDayOfMonth(3600)}, r"a LastDayOfMonth, which .* \(is_due\)"),
    "own next_slot": ({"schedule": Workdays(hour=7)}, r"a Workdays, which .* \(next_slot\)"),
    "hostile schedule": ({"schedule": Raises(60)}, r"raised SystemExit\(3\)"),
    "expires": ({"options": {"expires": -5}}, "expires=-5: each of its messages"),
    "expires as timedelta": ({"options": {"expires": timedelta(days=-1)}}, "expires=datetime"),
    "expires now": ({"options": {"expires": 0}}, "expires=0"),
    "countdown": ({"options": {"countdown": -1}}, "countdown=-1: no message starts before"),
    "ends first": ({"start_at": AFTER, "end_at": BEFORE}, "end_at=2020.* is before start_at=2200"),
}


@pytest.fixture(params=["beat_schedule", "add_periodic_task", "schedules"])
def enter(request: pytest.FixtureRequest, drive: Driver) -> Callable[..., object]:
    """Enters an entry on one of the ways into the schedule."""

    def by_code(name: str, **given: Any) -> object:
        drive.app.conf.beat_schedule = {name: {"task": "add", "args": (1,), **given}}
        return code_definitions(drive.app, drive.now)

    def by_call(name: str, **given: Any) -> object:
        more = {**given.pop("options", {}), **given}
        when = more.pop("schedule")
        args = more.pop("args", (1,))
        drive.app.add_periodic_task(when, drive.app.tasks["add"].s(*args), name=name, **more)
        return code_definitions(drive.app, drive.now)

    def at_run_time(name: str, **given: Any) -> object:
        more = {**given.pop("options", {}), **given}
        when, args = more.pop("schedule"), more.pop("args", (1,))
        return drive.app.schedules.add(name, when, "add", args, **more)

    ways: dict[str, Callable[..., object]] = {
        "beat_schedule": by_code,
        "add_periodic_task": by_call,
        "schedules": at_run_time,
    }
    return ways[request.param]


@pytest.mark.parametrize("what", REFUSED)
def test_an_entry_that_is_not_possible_is_refused(enter: Callable[..., object], what: str) -> None:
    given, message = REFUSED[what]
    with pytest.raises(ConfigError, match="schedule entry 'e': .*" + message):
        enter("e", **{"schedule": 60, **given})


@pytest.mark.parametrize("name", ["", 5, "a\ud800", "a\0b", "x" * 256])
def test_a_name_that_is_none_is_refused(enter: Callable[..., object], name: str) -> None:
    with pytest.raises(ConfigError, match=r"name|keys must be strings"):
        enter(name, schedule=60)


@pytest.mark.parametrize("when", [Nightly(), schedule(60), crontab(), solar("sunset", 52, 13)])
def test_classes_that_change_no_slots_are_taken(
    enter: Callable[..., object], drive: Driver, when: schedule | crontab | solar
) -> None:
    enter("e", schedule=when)
    drive.sync()
    slot = when.next_slot(datetime.fromtimestamp(drive.now / 1000, UTC))
    if not isinstance(when, schedule):
        assert drive.app.schedules.upcoming("e", 1) == (slot,)


def test_an_entry_without_a_slot_is_refused_when_it_is_added(drive: Driver) -> None:
    """One of the code may have had its slots in earlier years."""
    for end_at in (BEFORE, datetime.fromtimestamp(drive.now / 1000, UTC)):
        with pytest.raises(ConfigError, match=r"'e' would never fire: .* and up to end_at="):
            drive.app.schedules.add("e", 60, "add", (1,), end_at=end_at)
    drive.add("e", 60, end_at=BEFORE)
    assert drive.app.schedules.get("e").state == "ended"


class Hostile:
    """An argument that cannot be written down."""

    def __init__(self, raised: type[BaseException]) -> None:
        self.raised = raised

    def __json__(self) -> Any:
        raise self.raised("no")


@pytest.mark.parametrize("raised", [SystemExit, CancelledError, ZeroDivisionError])
def test_what_an_argument_raises_costs_its_entry(
    enter: Callable[..., object], raised: type[BaseException]
) -> None:
    with pytest.raises(ConfigError, match=f"schedule entry 'e': .*{raised.__name__}"):
        enter("e", schedule=60, args=(Hostile(raised),))


@pytest.mark.parametrize("raised", [SystemExit, CancelledError, ZeroDivisionError])
def test_a_call_that_cannot_be_made_anew_is_sent_as_it_was_stored(
    drive: Driver, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.app.schedules.add("e", 60, "add", (1,))
    before = drive.entry("e")

    def raises(*_: object) -> NoReturn:
        raise raised

    monkeypatch.setattr(definition, "_template", raises)
    assert drive.sync() == []
    assert drive.entry("e") == before


def test_unnamed_entries_are_told_apart_by_all_they_say(drive: Driver) -> None:
    add = drive.app.tasks["add"]
    notes: list[str] = []
    undo = events.subscribe(lambda _, fields: notes.append(fields["note"]), "config.note")
    names = [
        drive.app.add_periodic_task(60, add.s(1)),
        drive.app.add_periodic_task(90, add.s(1)),
        drive.app.add_periodic_task(crontab(hour=3), add.s(1)),
        drive.app.add_periodic_task(crontab(hour=4), add.s(1)),
        drive.app.add_periodic_task(60, add.s(1), queue="other"),
        drive.app.add_periodic_task(60, add.s(1).set(queue="third")),
        drive.app.add_periodic_task(60, add.s(1), (2,)),
        drive.app.add_periodic_task(60, add.s(1), kwargs={"b": 3}),
    ]
    assert len(set(names)) == len(names)
    assert notes == []
    drive.sync()
    assert {entry.name for entry in drive.store.entries()} == set(names)
    assert drive.app.add_periodic_task(60, add.s(1)) == names[0]
    undo()
    assert notes == [
        f"the schedule entry {names[0]!r} was added before: the later one takes its place"
    ]
    assert drive.sync() == []


def test_a_long_call_has_a_name_that_fits(drive: Driver) -> None:
    add = drive.app.tasks["add"]
    names = [drive.app.add_periodic_task(60, add.s("é\ud800" * 400 + end)) for end in "ab"]
    assert len(set(names)) == 2
    assert all(len(name.encode()) <= 255 for name in names)
    assert drive.app.conf.beat_schedule.keys() == set(names)


def test_what_is_no_signature_is_refused_where_it_is_given(drive: Driver) -> None:
    for bad in ("add", None, 3):
        with pytest.raises(ConfigError, match="needs a signature, such as"):
            drive.app.add_periodic_task(60, bad)  # type: ignore[arg-type]
    assert not drive.app.conf.beat_schedule
