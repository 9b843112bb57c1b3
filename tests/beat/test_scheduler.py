from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from reliable_tasks import chain, crontab
from reliable_tasks.beat import scheduler as scheduler_module
from reliable_tasks.beat.encoding import slot_id
from reliable_tasks.beat.scheduler import RETRY_MS, Scheduler
from reliable_tasks.beat.zones import from_ms
from reliable_tasks.core.message import State, decode_headers
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.store.values import AuditEvent, AuditQuery, Batch, Enqueued, Entry
from tests.beat.driver import HOUR, MINUTE, SECOND, Driver

if TYPE_CHECKING:
    from reliable_tasks.store.protocol import Store
    from tests.beat.conftest import Told


class Wrapped:
    """A store that counts readings and fails on demand."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.readings = 0
        self.fail_before = False
        self.fail_after = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def entries(self) -> tuple[Entry, ...]:
        self.readings += 1
        found: tuple[Entry, ...] = self._store.entries()
        return found

    def fire(self, entry: Entry, expected_ms: int | None, batch: Batch) -> Enqueued | None:
        if self.fail_before:
            raise StoreUnavailable("away")
        done: Enqueued | None = self._store.fire(entry, expected_ms, batch)
        if self.fail_after:
            raise StoreUnavailable("the reply was lost")
        return done


def wrapped(drive: Driver) -> Wrapped:
    store = Wrapped(drive.store)
    drive.scheduler = Scheduler(cast("Store", store))  # it passes everything on
    return store


# Slots --------------------------------------------------------------------------------------------


def test_a_slot_fires_at_its_time_and_not_before(drive: Driver) -> None:
    drive.add("e", 2)
    assert drive.step() == 2 * SECOND
    assert drive.step(2 * SECOND - 1) == 1
    assert drive.messages() == ()
    assert drive.step(1) == 2 * SECOND
    (message,) = drive.messages()
    assert (message.task, message.state) == ("add", State.QUEUED)
    entry = drive.entry("e")
    assert (entry.last_ms, entry.last_id) == (drive.now, message.id)
    assert (entry.next_ms, entry.runs, entry.missed) == (drive.now + 2 * SECOND, 1, 0)


def test_slots_do_not_drift_when_steps_are_late(drive: Driver) -> None:
    first = drive.now + 10 * SECOND
    drive.add("e", 10)
    for late in (0, 700, 3000, 9999):
        drive.clock.now = first + late
        drive.step()
        assert drive.entry("e").last_ms == first
        first += 10 * SECOND


def test_a_fast_clock_enqueues_early_but_nothing_starts_before_its_slot(drive: Driver) -> None:
    drive.add("e", 60)
    drive.scheduler.step(drive.now + 60 * SECOND)  # this beat's clock is a minute ahead
    assert [m.state for m in drive.messages()] == [State.SCHEDULED]
    assert drive.claim() == ()
    drive.clock.advance(60 * SECOND)
    assert len(drive.claim()) == 1


def test_two_beats_that_saw_the_same_slot_fire_it_once(drive: Driver) -> None:
    drive.add("e", 30)
    other = Scheduler(drive.store)
    drive.step()
    other.step(drive.now)
    drive.step(30 * SECOND)
    wake_ms = other.step(drive.now)
    assert len(drive.messages()) == 1
    # The loser looks at the entry again and takes part in the next slot.
    drive.clock.now = wake_ms
    assert other.step(wake_ms) <= drive.entry("e").next_ms  # type: ignore[operator]
    drive.clock.now = drive.entry("e").next_ms or 0
    other.step(drive.now)
    drive.step()
    assert len(drive.messages()) == 2


def test_the_id_of_a_slot_is_the_same_everywhere(drive: Driver) -> None:
    assert slot_id("ns", "entry", 1_700_000_000_000) == "2043c37d-d86a-5c83-8df8-626f234de932"
    drive.add("e", 30)
    drive.step(30 * SECOND)
    expected = slot_id(drive.store.options.namespace, "e", drive.now)
    assert [m.id for m in drive.messages()] == [expected]


def test_a_slot_that_is_fired_again_is_the_message_there_already(drive: Driver) -> None:
    before = drive.add("e", 30)
    drive.step(30 * SECOND)
    again = msgspec.structs.replace(drive.entry("e"), next_ms=before.next_ms)
    assert drive.store.put_entry(again)
    drive.scheduler.changed()
    drive.step(SECOND)
    assert len(drive.messages()) == 1
    assert drive.entry("e").next_ms == (before.next_ms or 0) + 30 * SECOND


def test_an_entry_ends_after_end_at(drive: Driver) -> None:
    end = from_ms(drive.now + 25 * SECOND)
    drive.add("e", 10, end_at=end)
    for _ in range(5):
        drive.step(10 * SECOND)
    entry = drive.entry("e")
    assert (entry.runs, entry.next_ms) == (2, None)


def test_the_first_slot_of_start_at_is_itself(drive: Driver) -> None:
    start = drive.now + HOUR
    drive.add("e", 7, start_at=from_ms(start))
    assert drive.entry("e").next_ms == start


# What was missed ----------------------------------------------------------------------------------


def test_skip_passes_over_what_is_too_late(drive: Driver, told: Told) -> None:
    first = drive.add("e", crontab(minute=0), catch_up="skip").next_ms
    drive.clock.now = (first or 0) + 2 * HOUR + 5 * MINUTE
    told.clear()
    drive.step()
    assert drive.messages() == ()
    entry = drive.entry("e")
    assert (entry.missed, entry.runs, entry.last_ms) == (3, 0, None)
    assert entry.next_ms == (first or 0) + 3 * HOUR
    fields = {"entry": "e", "missed": 3, "policy": "skip", "since": "2023-11-14T23:00:00.000Z"}
    assert told == [("beat.missed", fields)]


def test_one_fires_the_latest_of_those_missed(drive: Driver, told: Told) -> None:
    first = drive.add("e", crontab(minute=0), catch_up="one").next_ms or 0
    drive.clock.now = first + 2 * HOUR + 5 * MINUTE
    drive.step()
    entry = drive.entry("e")
    assert (entry.missed, entry.runs, entry.last_ms) == (2, 1, first + 2 * HOUR)
    assert [name for name, _ in told] == ["beat.changed", "beat.fired", "beat.missed"]
    assert told[1][1]["late"] == 300.0


def test_all_fires_every_one_of_them_in_order(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "CATCH_UP_LIMIT", 3)
    first = drive.add("e", crontab(minute=0), catch_up="all").next_ms or 0
    drive.clock.now = first + 9 * HOUR + MINUTE
    drive.step()
    entry = drive.entry("e")
    assert (entry.missed, entry.runs, entry.next_ms) == (0, 10, first + 10 * HOUR)
    namespace = drive.store.options.namespace
    expected = {slot_id(namespace, "e", first + hour * HOUR) for hour in range(10)}
    assert {m.id for m in drive.messages()} == expected


def test_a_long_backlog_gives_the_caller_a_turn(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "TICKS_PER_STEP", 4)
    for number in range(6):
        drive.add(f"e{number}", 60)
    assert drive.step(60 * SECOND) <= 0
    assert len(drive.messages()) == 4
    assert drive.step() > 0
    assert len(drive.messages()) == 6


# What is enqueued ---------------------------------------------------------------------------------


def test_messages_have_the_options_of_their_task_and_of_the_entry(drive: Driver) -> None:
    drive.add("e", 60, "mail", args=("me",), options={"expires": 10, "priority": 1})
    drive.step(60 * SECOND)
    (message,) = drive.messages()
    assert (message.queue, message.priority) == ("mails", 1)
    assert message.expires_ms == drive.now + 10 * SECOND
    assert message.payload == b'[["me"],{}]'
    assert decode_headers(message.headers).origin == "beat:e"
    assert (message.root_id, message.parent_id) == (message.id, None)


def test_countdown_begins_at_the_slot(drive: Driver) -> None:
    slot = drive.add("e", 60, options={"countdown": 5}).next_ms or 0
    drive.clock.now = slot + 300
    drive.step()
    assert drive.messages()[0].due_ms == slot + 5 * SECOND


def test_jitter_spreads_messages_and_takes_nothing_from_their_time(drive: Driver) -> None:
    drive.add("e", 60, jitter=20, options={"expires": 5})
    offsets = []
    for _ in range(20):
        drive.step(60 * SECOND)
        message = drive.messages()[-1]
        offset = (message.due_ms or 0) - drive.now
        offsets.append(offset)
        assert message.expires_ms == drive.now + offset + 5 * SECOND
    assert all(0 <= offset <= 20 * SECOND for offset in offsets)
    assert len(set(offsets)) > 10


def test_a_once_task_whose_last_run_lives_is_suppressed_not_an_error(
    drive: Driver, told: Told
) -> None:
    drive.add("e", 60, "once")
    drive.step(60 * SECOND)
    (holder,) = drive.messages()
    told.clear()
    drive.step(60 * SECOND)
    assert drive.messages() == (holder,)
    entry = drive.entry("e")
    assert (entry.last_ms, entry.runs) == (drive.now, 2)
    ((name, fields),) = told
    assert (name, fields["holder"], fields["entry"]) == ("beat.suppressed", holder.id, "e")
    rows = drive.store.audit(AuditQuery(event=AuditEvent.DUPLICATE))
    assert [row.id for row in rows] == [holder.id]
    # Once it has ended, the next slot runs.
    drive.store.revoke([holder.id])
    drive.step(60 * SECOND)
    assert len(drive.messages()) == 2


def test_a_workflow_is_stored_whole_for_each_slot(drive: Driver) -> None:
    add = drive.app.tasks["add"]
    drive.app.add_periodic_task(60.0, chain(add.s(1), add.s(2)), name="flow")
    drive.sync()
    drive.step(60 * SECOND)
    drive.step(60 * SECOND)
    messages = {m.id: m for m in drive.messages()}
    roots = [m for m in messages.values() if not m.waits]
    assert len(messages) == 4
    assert len(roots) == 2
    for root in roots:
        ((child, _, _),) = root.edges
        assert messages[child].root_id == root.id
        assert decode_headers(root.headers).chain == decode_headers(messages[child].headers).chain
    assert drive.entry("flow").last_id in {root.id for root in roots}


# Trouble ------------------------------------------------------------------------------------------


def test_while_the_store_is_away_slots_stay_due(drive: Driver) -> None:
    drive.add("e", 60)
    store = wrapped(drive)
    drive.step()
    store.fail_before = True
    for wait in (60 * SECOND, SECOND, SECOND):
        with pytest.raises(StoreUnavailable):
            drive.step(wait)
    store.fail_before = False
    drive.step(SECOND)
    assert len(drive.messages()) == 1
    assert drive.entry("e").runs == 1


def test_a_lost_reply_does_not_double_the_slot(drive: Driver) -> None:
    drive.add("e", 60)
    store = wrapped(drive)
    drive.step()
    store.fail_after = True
    with pytest.raises(StoreUnavailable):
        drive.step(60 * SECOND)
    store.fail_after = False
    drive.step(SECOND)
    drive.step(SECOND)
    assert len(drive.messages()) == 1
    assert drive.entry("e").runs == 1
    drive.step(58 * SECOND)
    assert len(drive.messages()) == 2


def test_one_damaged_entry_does_not_stop_the_others(drive: Driver, told: Told) -> None:
    drive.add("good", 60)
    bad = Entry(name="bad", spec=b"?", template=b"?", origin="runtime", next_ms=drive.now)
    drive.store.put_entry(bad)
    told.clear()
    drive.step(60 * SECOND)
    assert [m.task for m in drive.messages()] == ["add"]
    assert [(name, f["entry"]) for name, f in told] == [
        ("beat.failed", "bad"),
        ("beat.fired", "good"),
    ]
    # It rests, however often entries are read.
    told.clear()
    for _ in range(5):
        drive.scheduler.changed()
        drive.step(RETRY_MS // 6)
    assert told == []
    drive.step(RETRY_MS // 6)
    assert ("beat.failed", "bad") in [(name, f["entry"]) for name, f in told]


# Reading ------------------------------------------------------------------------------------------


def test_a_hint_is_followed_at_once_where_there_was_none_lately(drive: Driver) -> None:
    assert drive.step() > SECOND
    drive.clock.advance(SECOND)
    drive.add("new", 2)  # which hints at the change
    assert drive.step() == 2 * SECOND


def test_many_hints_do_not_make_many_readings(drive: Driver) -> None:
    for number in range(200):
        drive.store.put_entry(Entry(name=f"e{number}"))
    store = wrapped(drive)
    for _ in range(1000):
        drive.scheduler.changed()
        drive.step(1)
    assert 2 <= store.readings <= 8


def test_entries_are_read_again_now_and_then_without_a_hint(drive: Driver) -> None:
    store = wrapped(drive)
    drive.step()
    drive.store.put_entry(Entry(name="unheard of", paused=True))
    while drive.scheduler.size == 0:
        wait = drive.step()
        assert 0 <= wait <= 60 * SECOND
        drive.clock.advance(wait)
    assert store.readings == 2


def test_a_clock_that_is_set_back_is_noticed(drive: Driver) -> None:
    drive.step()
    store = wrapped(drive)
    drive.step()
    assert drive.step(-HOUR) <= 60 * SECOND
    assert store.readings == 2


def test_a_paused_entry_does_not_fire(drive: Driver) -> None:
    drive.add("e", 60)
    drive.step()
    drive.app.schedules.pause("e")
    drive.step(60 * SECOND)  # by what it has read, the entry is due
    drive.step(SECOND)
    assert drive.messages() == ()
    assert drive.entry("e").runs == 0


def test_the_tutorials_morning(drive: Driver) -> None:
    drive.app.conf.timezone = "Asia/Shanghai"
    drive.clock.now = round(datetime(2026, 3, 1, 1, 49, 59, tzinfo=UTC).timestamp() * 1000)
    drive.add("morning", crontab(hour=9, minute=50))
    assert drive.step() == SECOND
    drive.step(SECOND)
    assert len(drive.messages()) == 1
    tomorrow = from_ms(drive.entry("morning").next_ms or 0) - from_ms(drive.now)
    assert tomorrow == timedelta(days=1)
