from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from reliable_tasks import beat, chain, crontab, group
from reliable_tasks.beat.encoding import decode_spec, decode_template
from reliable_tasks.beat.entries import in_words
from reliable_tasks.beat.service import beat_companion
from reliable_tasks.beat.sync import run_hooks
from reliable_tasks.beat.zones import from_ms
from reliable_tasks.core.context import current_attempt
from reliable_tasks.core.request import AttemptContext, Request
from reliable_tasks.errors import AlreadyQueued, BadSchedule, ConfigError, StoreError
from reliable_tasks.schedules import schedule, solar
from tests.beat.driver import DAY, HOUR, MINUTE, SECOND, Driver, make_app

if TYPE_CHECKING:
    from reliable_tasks.store.values import Entry
    from tests.beat.conftest import Told


# What the code says -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"task": "ad"}, "no task is registered as 'ad'; did you mean 'add'?"),
        ({"args": (1, 2, 3)}, "too many positional arguments"),
        ({"args": ()}, "missing a required argument: 'a'"),
        ({"schedule": "* * * * *"}, "crontab.from_string"),
        ({"schedule": -1}, "must be at least a millisecond"),
        ({"catch_up": "al"}, "catch_up='al' is not one of skip, one, all; did you mean 'all'?"),
        ({"jitter": -1}, "jitter=-1: a slot can only be put off"),
        ({"tz": "Asia/Shangai"}, "did you mean 'Asia/Shanghai'?"),
        ({"start_at": 5}, "start_at must be a datetime"),
        ({"shedule": 5}, "unknown key 'shedule'; did you mean 'schedule'?"),
        ({"options": {"quue": "x"}}, "unknown option 'quue'; did you mean 'queue'?"),
        ({"options": {"eta": "2030-01-01"}}, "it is one instant; say countdown"),
        ({"options": {"task_id": "x"}}, "an id of its own"),
        ({"task": 5}, "must be a task, its name or a signature, not 5"),
        ({"args": (object(),)}, "cannot be encoded"),
        ({"task": group()}, "there is nothing to run in it"),
    ],
)
def test_what_is_wrong_is_told_in_words(
    drive: Driver, given: dict[str, Any], complaint: str
) -> None:
    entry = {"task": "add", "schedule": 60, "args": (1,), **given}
    with pytest.raises(ConfigError) as told:
        drive.sync({"nightly": entry})
    assert complaint in str(told.value)
    assert "schedule entry 'nightly': " in str(told.value)
    assert drive.store.entries() == ()


def test_a_workflow_larger_than_a_step_of_the_store_is_refused() -> None:
    drive = Driver(app=make_app(max_batch=5))
    add = drive.app.tasks["add"]
    entry = {"task": group(add.s(n) for n in range(6)), "schedule": 60}
    with pytest.raises(ConfigError, match="schedule a task that starts the workflow"):
        drive.sync({"flow": entry})


def test_settings_of_the_app_are_those_of_entries_that_say_nothing(drive: Driver) -> None:
    drive.app.conf.update(timezone="Asia/Shanghai", beat_catch_up="one")
    drive.add("theirs", crontab(hour=9))
    drive.add("own", crontab(hour=9), tz="Europe/Berlin", catch_up="all", jitter=timedelta(0, 5))
    theirs, own = (decode_spec(drive.entry(name).spec) for name in ("theirs", "own"))
    assert (theirs.tz, theirs.catch_up, theirs.jitter_ms) == ("Asia/Shanghai", "one", 0)
    assert (own.tz, own.catch_up, own.jitter_ms) == ("Europe/Berlin", "all", 5000)
    assert datetime.fromtimestamp((drive.entry("theirs").next_ms or 0) / 1000, UTC).hour == 1
    assert datetime.fromtimestamp((drive.entry("own").next_ms or 0) / 1000, UTC).hour == 8


def test_a_naive_start_at_is_in_the_zone_of_the_entry(drive: Driver) -> None:
    drive.add("e", 60, tz="Asia/Shanghai", start_at=datetime(2030, 1, 1, 8))  # noqa: DTZ001
    assert from_ms(drive.entry("e").next_ms or 0) == datetime(2030, 1, 1, tzinfo=UTC)


def test_relative_intervals_are_on_the_clock(drive: Driver) -> None:
    drive.add("e", timedelta(hours=1), relative=True)
    assert (drive.entry("e").next_ms or 0) % HOUR == 0


def test_periodic_tasks_are_entries_with_options_of_both_kinds(drive: Driver) -> None:
    add = drive.app.tasks["add"]
    name = drive.app.add_periodic_task(60.0, add.s(1), (2,), catch_up="all", queue="q")
    drive.sync()
    entry = drive.entry(name)
    assert decode_spec(entry.spec).catch_up == "all"
    (message,) = decode_template(entry.template).messages
    assert (message.queue, message.payload) == ("q", b"[[1,2],{}]")


def test_receivers_of_on_after_configure_add_entries_once(drive: Driver) -> None:
    calls = []

    @drive.app.on_after_configure.connect
    def setup(sender: Any, **_: Any) -> None:
        calls.append(sender)
        sender.add_periodic_task(10.0, sender.tasks["add"].s(1), name="ten")

    run_hooks(drive.app)
    run_hooks(drive.app)
    assert calls == [drive.app]
    assert drive.sync() == [("added", "ten")]


def test_a_receiver_that_raises_is_an_error_not_a_schedule_without_its_entries(
    drive: Driver,
) -> None:
    @drive.app.on_after_finalize.connect
    def setup(sender: Any, **_: Any) -> None:
        raise RuntimeError("no database")

    with pytest.raises(ConfigError, match=r"on_after_finalize, raised RuntimeError\('no database"):
        run_hooks(drive.app)


def test_a_worker_with_a_beat_is_told_of_mistakes_before_it_starts(drive: Driver) -> None:
    drive.app.conf.beat_schedule = {"e": {"task": "nobodys", "schedule": 1}}
    with pytest.raises(ConfigError, match="nobodys"):
        beat_companion(drive.app)
    assert callable(beat_companion(drive.app, allow_unknown=True))


# From the code to the store -----------------------------------------------------------------------

ENTRY = {"task": "add", "schedule": timedelta(days=7), "args": (1,)}


def test_entries_are_added_changed_and_removed_as_the_code_says(drive: Driver, told: Told) -> None:
    assert drive.sync({"a": ENTRY, "b": ENTRY}) == [("added", "a"), ("added", "b")]
    assert drive.sync({"a": ENTRY, "b": ENTRY}) == []
    assert drive.sync({"a": ENTRY | {"args": (2,)}}) == [("changed", "a"), ("removed", "b")]
    assert [e.name for e in drive.store.entries()] == ["a"]
    assert [(f["entry"], f["change"]) for _, f in told] == [
        ("a", "added"),
        ("b", "added"),
        ("a", "changed"),
        ("b", "removed"),
    ]
    assert told[0][1]["next_at"] == drive.now + 7 * DAY


def test_an_interval_longer_than_the_time_between_deploys_runs(drive: Driver) -> None:
    drive.sync({"weekly": ENTRY})
    first = drive.entry("weekly").next_ms
    for deploy in range(14):  # each with another version of the code
        drive.clock.advance(DAY // 2)
        drive.sync({"weekly": ENTRY | {"args": (deploy,)}})
        drive.step()
    assert drive.entry("weekly").last_ms == first == drive.now
    assert len(drive.messages()) == 1


def test_a_slot_that_was_missed_is_still_due_after_a_deploy(drive: Driver) -> None:
    drive.sync({"weekly": ENTRY | {"catch_up": "one"}})
    drive.clock.advance(10 * DAY)
    drive.sync({"weekly": ENTRY | {"catch_up": "one", "args": (5,)}})
    drive.step()
    assert [m.payload for m in drive.messages()] == [b"[[5],{}]"]


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": timedelta(days=2)},
        {"schedule": crontab(hour=5)},
        {"tz": "Asia/Tokyo"},
        {"start_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"end_at": datetime(2030, 1, 1, tzinfo=UTC)},
    ],
)
def test_another_schedule_starts_with_the_first_slot_after_now(
    drive: Driver, change: dict[str, Any]
) -> None:
    drive.sync({"e": ENTRY})
    drive.clock.advance(8 * DAY)
    assert drive.sync({"e": ENTRY | change}) == [("changed", "e")]
    assert (drive.entry("e").next_ms or 0) > drive.now
    drive.step()
    assert drive.messages() == ()


def test_another_time_zone_moves_the_slots(drive: Driver) -> None:
    drive.add("e", crontab(hour=9))
    drive.app.conf.timezone = "Asia/Tokyo"
    assert drive.sync() == [("changed", "e")]
    assert from_ms(drive.entry("e").next_ms or 0).hour == 0
    assert drive.sync() == []


def test_a_changed_schedule_does_not_repeat_the_slot_that_was_fired_last(drive: Driver) -> None:
    drive.add("e", 60)
    drive.step(60 * SECOND)
    fired = drive.now
    drive.clock.advance(-5 * SECOND)  # this beat's clock is behind
    drive.add("e", crontab())
    assert (drive.entry("e").next_ms or 0) > fired


def test_a_pause_lasts_through_deploys(drive: Driver) -> None:
    drive.add("e", 60)
    drive.app.schedules.pause("e")
    drive.sync({"e": ENTRY})
    assert drive.entry("e").paused


def test_beats_that_start_at_once_agree_on_the_first_slot(drive: Driver) -> None:
    drive.add("e", 60)
    next_ms = drive.entry("e").next_ms
    drive.clock.advance(300)
    assert drive.sync() == []
    assert drive.entry("e").next_ms == next_ms


def test_an_entry_that_never_comes_to_rest_is_an_error(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive.store, "put_entry", lambda *_: False)
    with pytest.raises(StoreError, match="do beats with different schedules share"):
        drive.add("e", 60)


def test_run_time_entries_survive_and_their_messages_follow_the_code(drive: Driver) -> None:
    drive.app.schedules.add("mine", 60, "mail", ("me",))
    before = drive.entry("mine")
    drive.app.tasks["mail"].call_defaults["queue"] = "other"
    assert drive.sync({}) == [("changed", "mine")]
    after = drive.entry("mine")
    assert (after.next_ms, after.origin) == (before.next_ms, "runtime")
    drive.step(60 * SECOND)
    assert [m.queue for m in drive.messages()] == ["other"]


def test_the_code_does_not_take_over_a_run_time_entry(drive: Driver) -> None:
    drive.app.schedules.add("mine", 60, "add", (1,))
    with pytest.raises(ConfigError, match="'mine' of the code has the name of one that was added"):
        drive.sync({"mine": ENTRY})


# Entries at run time ------------------------------------------------------------------------------


def test_schedules_are_found_from_the_app_and_in_beat(drive: Driver) -> None:
    assert isinstance(drive.app.schedules, beat.Schedules)
    with pytest.raises(AttributeError, match="nothing"):
        _ = beat.nothing


def test_an_entry_is_added_shown_and_fired(drive: Driver) -> None:
    shown = drive.app.schedules.add(
        "mine", crontab(minute="*/5"), drive.app.tasks["add"], (1,), {"b": 2}, jitter=1.5, expires=9
    )
    assert (shown.task, shown.args, shown.kwargs) == ("add", (1,), {"b": 2})
    assert (shown.schedule, shown.words) == (crontab(minute="*/5"), "cron */5 * * * *")
    assert (shown.origin, shown.state, shown.jitter) == (
        "runtime",
        "active",
        timedelta(seconds=1.5),
    )
    assert shown.next_run == from_ms(drive.entry("mine").next_ms or 0)
    assert drive.app.schedules.get("mine") == shown
    assert list(drive.app.schedules) == [shown] == list(drive.app.schedules.list())
    drive.clock.now = drive.entry("mine").next_ms or 0
    drive.step()
    fired = drive.app.schedules.get("mine")
    assert (fired.last_run, fired.runs) == (shown.next_run, 1)
    assert fired.last_id == drive.messages()[0].id


def test_a_name_is_taken_once_unless_it_is_to_be_replaced(drive: Driver) -> None:
    schedules = drive.app.schedules
    schedules.add("mine", 60, "add", (1,))
    with pytest.raises(ConfigError, match="already"):
        schedules.add("mine", 60, "add", (2,))
    drive.clock.advance(SECOND)
    next_run = schedules.get("mine").next_run
    assert schedules.add("mine", 60, "add", (2,), replace=True).args == (2,)
    assert schedules.get("mine").next_run == next_run
    assert schedules.add("mine", 90, "add", (2,), replace=True).next_run == (
        from_ms(drive.now + 90 * SECOND)
    )


def test_a_task_that_is_not_registered_is_refused_unless_allowed(drive: Driver) -> None:
    with pytest.raises(ConfigError, match="did you mean 'mail'"):
        drive.app.schedules.add("mine", 60, "mial")
    drive.app.schedules.add("mine", 60, "theirs", allow_unknown=True)
    drive.step(60 * SECOND)
    assert [m.task for m in drive.messages()] == ["theirs"]


def test_what_was_not_fired_in_a_pause_was_not_missed(drive: Driver, told: Told) -> None:
    schedules = drive.app.schedules
    schedules.add("mine", 60, "add", (1,), catch_up="all")
    assert schedules.pause("mine").state == "paused"
    drive.step(10 * MINUTE + SECOND)
    shown = schedules.resume("mine")
    assert (shown.state, shown.missed) == ("active", 0)
    assert shown.next_run == from_ms(drive.now + 59 * SECOND)
    assert schedules.resume("mine") == shown
    drive.scheduler.changed()
    drive.step(59 * SECOND)
    assert len(drive.messages()) == 1
    assert [f["change"] for name, f in told if name == "beat.changed"] == [
        "added",
        "paused",
        "resumed",
    ]


def test_run_time_entries_are_removed_those_of_the_code_are_not(drive: Driver) -> None:
    drive.add("code", 60)
    drive.app.schedules.add("mine", 60, "add", (1,))
    drive.app.schedules.remove("mine")
    with pytest.raises(ConfigError, match="there is no schedule entry 'mine'"):
        drive.app.schedules.remove("mine")
    with pytest.raises(ConfigError, match="pause it, or remove it from beat_schedule"):
        drive.app.schedules.remove("code")
    with pytest.raises(ConfigError, match="change it in beat_schedule"):
        drive.app.schedules.add("code", 60, "add", (1,), replace=True)
    assert [e.name for e in drive.store.entries()] == ["code"]


def test_a_change_is_tried_again_when_another_came_before(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.add("e", 60)
    put, times = drive.store.put_entry, iter([True, True, False])

    def contended(entry: Entry, expected_version: int | None = None) -> bool:
        if next(times):
            current = drive.entry("e")
            put(msgspec.structs.replace(current, missed=current.missed + 1))
        return put(entry, expected_version)

    monkeypatch.setattr(drive.store, "put_entry", contended)
    drive.app.schedules.pause("e")
    assert (drive.entry("e").paused, drive.entry("e").missed) == (True, 2)


def test_run_now_runs_beside_the_slots(drive: Driver) -> None:
    before = drive.add("e", 60)
    result = drive.app.schedules.run_now("e")
    (message,) = drive.messages()
    assert (message.id, message.state, message.payload) == (result.id, "queued", b"[[1],{}]")
    assert drive.entry("e") == before
    assert drive.app.schedules.run_now("e").id != result.id


def test_run_now_of_a_once_task_that_is_there_raises(drive: Driver) -> None:
    drive.add("e", 60, "once")
    drive.app.schedules.run_now("e")
    with pytest.raises(AlreadyQueued):
        drive.app.schedules.run_now("e")


def test_run_now_of_a_workflow_gives_the_handle_of_its_first_message(drive: Driver) -> None:
    add = drive.app.tasks["add"]
    drive.app.schedules.add("flow", 60, chain(add.s(1), add.s(2)))
    result = drive.app.schedules.run_now("flow")
    (root,) = [m for m in drive.messages() if not m.waits]
    assert (result.id, len(drive.messages())) == (root.id, 2)


def test_upcoming_slots(drive: Driver) -> None:
    schedules = drive.app.schedules
    schedules.add("mine", 60, "add", (1,), end_at=from_ms(drive.now + 3 * MINUTE))
    expected = tuple(from_ms(drive.now + n * MINUTE) for n in (1, 2, 3))
    assert schedules.upcoming("mine") == expected
    assert schedules.upcoming("mine", 2) == expected[:2]
    with pytest.raises(ConfigError, match="did you mean 'mine'"):
        schedules.upcoming("mien")


def test_an_entry_made_in_a_tasks_body_is_no_child_of_its_message(drive: Driver) -> None:
    running = AttemptContext(
        drive.app.tasks["add"], Request(task="add", id="parent", root_id="root"), None
    )
    outer = current_attempt.set(running)
    try:
        drive.app.schedules.add("mine", 60, "add", (1,))
        assert current_attempt.get() is running
    finally:
        current_attempt.reset(outer)
    drive.step(60 * SECOND)
    (message,) = drive.messages()
    assert (message.root_id, message.parent_id) == (message.id, None)


def test_an_entry_that_cannot_be_made_here_is_shown_all_the_same(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.app.schedules.add("sun", solar("sunrise", 52.5, 13.4), "add", (1,))

    def unable(_: object) -> None:
        raise BadSchedule("astral is not installed")

    monkeypatch.setattr("reliable_tasks.beat.encoding.schedule_from_spec", unable)
    shown = drive.app.schedules.get("sun")
    assert (shown.schedule, shown.words) == (None, "astral is not installed")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (schedule(30), "every 30 s"),
        (schedule(0.25), "every 0.25 s"),
        (schedule(93_784), "every 1 d 2 h 3 min 4 s"),
        (schedule(3600, relative=True), "every 1 h, on the clock"),
        (crontab(50, 9, tz="Asia/Shanghai"), "cron 50 9 * * * (Asia/Shanghai)"),
        (solar("dusk_civil", -33.9, 18.4), "dusk civil at -33.9, 18.4"),
    ],
)
def test_schedules_in_words(made: Any, words: str) -> None:
    assert in_words(made) == words
