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
from reliable_tasks.core import context as _state
from reliable_tasks.core.request import Request, Running
from reliable_tasks.errors import AlreadyQueued, BadSchedule, ConfigError, StoreError
from reliable_tasks.schedules import schedule, solar
from tests.beat.harness import DAY, HOUR, MINUTE, SECOND, Bench, make_app

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
    bench: Bench, given: dict[str, Any], complaint: str
) -> None:
    entry = {"task": "add", "schedule": 60, "args": (1,), **given}
    with pytest.raises(ConfigError) as told:
        bench.sync({"nightly": entry})
    assert complaint in str(told.value)
    assert "schedule entry 'nightly': " in str(told.value)
    assert bench.store.entries() == ()


def test_a_workflow_larger_than_a_step_of_the_store_is_refused() -> None:
    bench = Bench(app=make_app(max_batch=5))
    add = bench.app.tasks["add"]
    entry = {"task": group(add.s(n) for n in range(6)), "schedule": 60}
    with pytest.raises(ConfigError, match="schedule a task that starts the workflow"):
        bench.sync({"flow": entry})


def test_settings_of_the_app_are_those_of_entries_that_say_nothing(bench: Bench) -> None:
    bench.app.conf.update(timezone="Asia/Shanghai", beat_catch_up="one")
    bench.add("theirs", crontab(hour=9))
    bench.add("own", crontab(hour=9), tz="Europe/Berlin", catch_up="all", jitter=timedelta(0, 5))
    theirs, own = (decode_spec(bench.entry(name).spec) for name in ("theirs", "own"))
    assert (theirs.tz, theirs.catch_up, theirs.jitter_ms) == ("Asia/Shanghai", "one", 0)
    assert (own.tz, own.catch_up, own.jitter_ms) == ("Europe/Berlin", "all", 5000)
    assert datetime.fromtimestamp((bench.entry("theirs").next_ms or 0) / 1000, UTC).hour == 1
    assert datetime.fromtimestamp((bench.entry("own").next_ms or 0) / 1000, UTC).hour == 8


def test_a_naive_start_at_is_in_the_zone_of_the_entry(bench: Bench) -> None:
    bench.add("e", 60, tz="Asia/Shanghai", start_at=datetime(2030, 1, 1, 8))  # noqa: DTZ001
    assert from_ms(bench.entry("e").next_ms or 0) == datetime(2030, 1, 1, tzinfo=UTC)


def test_relative_intervals_are_on_the_clock(bench: Bench) -> None:
    bench.add("e", timedelta(hours=1), relative=True)
    assert (bench.entry("e").next_ms or 0) % HOUR == 0


def test_periodic_tasks_are_entries_with_options_of_both_kinds(bench: Bench) -> None:
    add = bench.app.tasks["add"]
    name = bench.app.add_periodic_task(60.0, add.s(1), (2,), catch_up="all", queue="q")
    bench.sync()
    entry = bench.entry(name)
    assert decode_spec(entry.spec).catch_up == "all"
    (message,) = decode_template(entry.template).messages
    assert (message.queue, message.payload) == ("q", b"[[1,2],{}]")


def test_receivers_of_on_after_configure_add_entries_once(bench: Bench) -> None:
    calls = []

    @bench.app.on_after_configure.connect
    def setup(sender: Any, **_: Any) -> None:
        calls.append(sender)
        sender.add_periodic_task(10.0, sender.tasks["add"].s(1), name="ten")

    run_hooks(bench.app)
    run_hooks(bench.app)
    assert calls == [bench.app]
    assert bench.sync() == [("added", "ten")]


def test_a_receiver_that_raises_is_an_error_not_a_schedule_without_its_entries(
    bench: Bench,
) -> None:
    @bench.app.on_after_finalize.connect
    def setup(sender: Any, **_: Any) -> None:
        raise RuntimeError("no database")

    with pytest.raises(ConfigError, match=r"on_after_finalize, raised RuntimeError\('no database"):
        run_hooks(bench.app)


def test_a_worker_with_a_beat_is_told_of_mistakes_before_it_starts(bench: Bench) -> None:
    bench.app.conf.beat_schedule = {"e": {"task": "nobodys", "schedule": 1}}
    with pytest.raises(ConfigError, match="nobodys"):
        beat_companion(bench.app)
    assert callable(beat_companion(bench.app, allow_unknown=True))


# From the code to the store -----------------------------------------------------------------------

ENTRY = {"task": "add", "schedule": timedelta(days=7), "args": (1,)}


def test_entries_are_added_changed_and_removed_as_the_code_says(bench: Bench, told: Told) -> None:
    assert bench.sync({"a": ENTRY, "b": ENTRY}) == [("added", "a"), ("added", "b")]
    assert bench.sync({"a": ENTRY, "b": ENTRY}) == []
    assert bench.sync({"a": ENTRY | {"args": (2,)}}) == [("changed", "a"), ("removed", "b")]
    assert [e.name for e in bench.store.entries()] == ["a"]
    assert [(f["entry"], f["change"]) for _, f in told] == [
        ("a", "added"),
        ("b", "added"),
        ("a", "changed"),
        ("b", "removed"),
    ]
    assert told[0][1]["next_at"] == bench.now + 7 * DAY


def test_an_interval_longer_than_the_time_between_deploys_runs(bench: Bench) -> None:
    bench.sync({"weekly": ENTRY})
    first = bench.entry("weekly").next_ms
    for deploy in range(14):  # each with another version of the code
        bench.clock.advance(DAY // 2)
        bench.sync({"weekly": ENTRY | {"args": (deploy,)}})
        bench.step()
    assert bench.entry("weekly").last_ms == first == bench.now
    assert len(bench.messages()) == 1


def test_a_slot_that_was_missed_is_still_due_after_a_deploy(bench: Bench) -> None:
    bench.sync({"weekly": ENTRY | {"catch_up": "one"}})
    bench.clock.advance(10 * DAY)
    bench.sync({"weekly": ENTRY | {"catch_up": "one", "args": (5,)}})
    bench.step()
    assert [m.payload for m in bench.messages()] == [b"[[5],{}]"]


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
    bench: Bench, change: dict[str, Any]
) -> None:
    bench.sync({"e": ENTRY})
    bench.clock.advance(8 * DAY)
    assert bench.sync({"e": ENTRY | change}) == [("changed", "e")]
    assert (bench.entry("e").next_ms or 0) > bench.now
    bench.step()
    assert bench.messages() == ()


def test_another_time_zone_moves_the_slots(bench: Bench) -> None:
    bench.add("e", crontab(hour=9))
    bench.app.conf.timezone = "Asia/Tokyo"
    assert bench.sync() == [("changed", "e")]
    assert from_ms(bench.entry("e").next_ms or 0).hour == 0
    assert bench.sync() == []


def test_a_changed_schedule_does_not_repeat_the_slot_that_was_fired_last(bench: Bench) -> None:
    bench.add("e", 60)
    bench.step(60 * SECOND)
    fired = bench.now
    bench.clock.advance(-5 * SECOND)  # this beat's clock is behind
    bench.add("e", crontab())
    assert (bench.entry("e").next_ms or 0) > fired


def test_a_pause_lasts_through_deploys(bench: Bench) -> None:
    bench.add("e", 60)
    bench.app.schedules.pause("e")
    bench.sync({"e": ENTRY})
    assert bench.entry("e").paused


def test_beats_that_start_at_once_agree_on_the_first_slot(bench: Bench) -> None:
    bench.add("e", 60)
    next_ms = bench.entry("e").next_ms
    bench.clock.advance(300)
    assert bench.sync() == []
    assert bench.entry("e").next_ms == next_ms


def test_an_entry_that_never_comes_to_rest_is_an_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.store, "put_entry", lambda *_: False)
    with pytest.raises(StoreError, match="do beats with different schedules share"):
        bench.add("e", 60)


def test_run_time_entries_survive_and_their_messages_follow_the_code(bench: Bench) -> None:
    bench.app.schedules.add("mine", 60, "mail", ("me",))
    before = bench.entry("mine")
    bench.app.tasks["mail"].call_defaults["queue"] = "other"
    assert bench.sync({}) == [("changed", "mine")]
    after = bench.entry("mine")
    assert (after.next_ms, after.origin) == (before.next_ms, "runtime")
    bench.step(60 * SECOND)
    assert [m.queue for m in bench.messages()] == ["other"]


def test_the_code_does_not_take_over_a_run_time_entry(bench: Bench) -> None:
    bench.app.schedules.add("mine", 60, "add", (1,))
    with pytest.raises(ConfigError, match="'mine' of the code has the name of one that was added"):
        bench.sync({"mine": ENTRY})


# Entries at run time ------------------------------------------------------------------------------


def test_schedules_are_found_from_the_app_and_in_beat(bench: Bench) -> None:
    assert isinstance(bench.app.schedules, beat.Schedules)
    with pytest.raises(AttributeError, match="nothing"):
        _ = beat.nothing


def test_an_entry_is_added_shown_and_fired(bench: Bench) -> None:
    shown = bench.app.schedules.add(
        "mine", crontab(minute="*/5"), bench.app.tasks["add"], (1,), {"b": 2}, jitter=1.5, expires=9
    )
    assert (shown.task, shown.args, shown.kwargs) == ("add", (1,), {"b": 2})
    assert (shown.schedule, shown.words) == (crontab(minute="*/5"), "cron */5 * * * *")
    assert (shown.origin, shown.state, shown.jitter) == (
        "runtime",
        "active",
        timedelta(seconds=1.5),
    )
    assert shown.next_run == from_ms(bench.entry("mine").next_ms or 0)
    assert bench.app.schedules.get("mine") == shown
    assert list(bench.app.schedules) == [shown] == list(bench.app.schedules.list())
    bench.clock.now = bench.entry("mine").next_ms or 0
    bench.step()
    fired = bench.app.schedules.get("mine")
    assert (fired.last_run, fired.runs) == (shown.next_run, 1)
    assert fired.last_id == bench.messages()[0].id


def test_a_name_is_taken_once_unless_it_is_to_be_replaced(bench: Bench) -> None:
    schedules = bench.app.schedules
    schedules.add("mine", 60, "add", (1,))
    with pytest.raises(ConfigError, match="already"):
        schedules.add("mine", 60, "add", (2,))
    bench.clock.advance(SECOND)
    next_run = schedules.get("mine").next_run
    assert schedules.add("mine", 60, "add", (2,), replace=True).args == (2,)
    assert schedules.get("mine").next_run == next_run
    assert schedules.add("mine", 90, "add", (2,), replace=True).next_run == (
        from_ms(bench.now + 90 * SECOND)
    )


def test_a_task_that_is_not_registered_is_refused_unless_allowed(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="did you mean 'mail'"):
        bench.app.schedules.add("mine", 60, "mial")
    bench.app.schedules.add("mine", 60, "theirs", allow_unknown=True)
    bench.step(60 * SECOND)
    assert [m.task for m in bench.messages()] == ["theirs"]


def test_what_was_not_fired_in_a_pause_was_not_missed(bench: Bench, told: Told) -> None:
    schedules = bench.app.schedules
    schedules.add("mine", 60, "add", (1,), catch_up="all")
    assert schedules.pause("mine").state == "paused"
    bench.step(10 * MINUTE + SECOND)
    shown = schedules.resume("mine")
    assert (shown.state, shown.missed) == ("active", 0)
    assert shown.next_run == from_ms(bench.now + 59 * SECOND)
    assert schedules.resume("mine") == shown
    bench.scheduler.changed()
    bench.step(59 * SECOND)
    assert len(bench.messages()) == 1
    assert [f["change"] for name, f in told if name == "beat.changed"] == [
        "added",
        "paused",
        "resumed",
    ]


def test_run_time_entries_are_removed_those_of_the_code_are_not(bench: Bench) -> None:
    bench.add("code", 60)
    bench.app.schedules.add("mine", 60, "add", (1,))
    bench.app.schedules.remove("mine")
    with pytest.raises(ConfigError, match="there is no schedule entry 'mine'"):
        bench.app.schedules.remove("mine")
    with pytest.raises(ConfigError, match="pause it, or remove it from beat_schedule"):
        bench.app.schedules.remove("code")
    with pytest.raises(ConfigError, match="change it in beat_schedule"):
        bench.app.schedules.add("code", 60, "add", (1,), replace=True)
    assert [e.name for e in bench.store.entries()] == ["code"]


def test_a_change_is_tried_again_when_another_came_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("e", 60)
    put, times = bench.store.put_entry, iter([True, True, False])

    def contended(entry: Entry, expected_version: int | None = None) -> bool:
        if next(times):
            current = bench.entry("e")
            put(msgspec.structs.replace(current, missed=current.missed + 1))
        return put(entry, expected_version)

    monkeypatch.setattr(bench.store, "put_entry", contended)
    bench.app.schedules.pause("e")
    assert (bench.entry("e").paused, bench.entry("e").missed) == (True, 2)


def test_run_now_runs_beside_the_slots(bench: Bench) -> None:
    before = bench.add("e", 60)
    result = bench.app.schedules.run_now("e")
    (message,) = bench.messages()
    assert (message.id, message.state, message.payload) == (result.id, "queued", b"[[1],{}]")
    assert bench.entry("e") == before
    assert bench.app.schedules.run_now("e").id != result.id


def test_run_now_of_a_once_task_that_is_there_raises(bench: Bench) -> None:
    bench.add("e", 60, "once")
    bench.app.schedules.run_now("e")
    with pytest.raises(AlreadyQueued):
        bench.app.schedules.run_now("e")


def test_run_now_of_a_workflow_gives_the_handle_of_its_first_message(bench: Bench) -> None:
    add = bench.app.tasks["add"]
    bench.app.schedules.add("flow", 60, chain(add.s(1), add.s(2)))
    result = bench.app.schedules.run_now("flow")
    (root,) = [m for m in bench.messages() if not m.waits]
    assert (result.id, len(bench.messages())) == (root.id, 2)


def test_upcoming_slots(bench: Bench) -> None:
    schedules = bench.app.schedules
    schedules.add("mine", 60, "add", (1,), end_at=from_ms(bench.now + 3 * MINUTE))
    expected = tuple(from_ms(bench.now + n * MINUTE) for n in (1, 2, 3))
    assert schedules.upcoming("mine") == expected
    assert schedules.upcoming("mine", 2) == expected[:2]
    with pytest.raises(ConfigError, match="did you mean 'mine'"):
        schedules.upcoming("mien")


def test_an_entry_made_in_a_tasks_body_is_no_child_of_its_message(bench: Bench) -> None:
    running = Running(
        bench.app.tasks["add"], Request(task="add", id="parent", root_id="root"), None
    )
    outer = _state.current_attempt.set(running)
    try:
        bench.app.schedules.add("mine", 60, "add", (1,))
        assert _state.current_attempt.get() is running
    finally:
        _state.current_attempt.reset(outer)
    bench.step(60 * SECOND)
    (message,) = bench.messages()
    assert (message.root_id, message.parent_id) == (message.id, None)


def test_an_entry_that_cannot_be_made_here_is_shown_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.app.schedules.add("sun", solar("sunrise", 52.5, 13.4), "add", (1,))

    def unable(_: object) -> None:
        raise BadSchedule("astral is not installed")

    monkeypatch.setattr("reliable_tasks.beat.encoding.schedule_from_spec", unable)
    shown = bench.app.schedules.get("sun")
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
