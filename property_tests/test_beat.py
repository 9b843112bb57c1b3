"""A simulated month of beats with wrong clocks that die and start at random: each slot fires once.

The slots are counted independently: by walking the calendar, not by asking what the beats saw.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import pytest

from property_tests.model.model import Model
from reliable_tasks import App, crontab
from reliable_tasks.beat.encoding import slot_id
from reliable_tasks.beat.scheduler import Scheduler
from reliable_tasks.beat.sync import code_definitions, sync
from reliable_tasks.beat.zones import from_ms, to_ms
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.store.values import AuditEvent, AuditQuery, StoreOptions
from tests.fakes import FakeClock
from tests.store.factories import FACTORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliable_tasks.store.protocol import Clock, Store
    from reliable_tasks.store.values import Batch, Enqueued, Entry

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
START = datetime(2026, 10, 10, 0, 0, 30, tzinfo=UTC)  # with a change of Berlin's clock ahead
MONTH = timedelta(days=30, minutes=7)
BEATS = 3
SKEW_MS = 5 * SECOND
BERLIN = ZoneInfo("Europe/Berlin")


@contextlib.contextmanager
def model(options: StoreOptions, clock: Clock | None) -> Iterator[Store]:
    assert clock is not None
    yield cast("Store", Model(clock, options))


STORES = {"model": model, **FACTORIES}
SEEDS = [("model", 0), ("model", 1), ("memory", 2), ("memory", 3), ("sqlite", 4), ("redis", 5)]


class Unreliable:
    """A store whose `fire` now and then fails, before or after it was applied."""

    def __init__(self, store: Store, dice: random.Random) -> None:
        self._store = store
        self._dice = dice

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def fire(self, entry: Entry, expected_ms: int | None, batch: Batch) -> Enqueued | None:
        if self._dice.random() < 0.05:
            raise StoreUnavailable("not reached")
        done = self._store.fire(entry, expected_ms, batch)
        if self._dice.random() < 0.05:
            raise StoreUnavailable("the reply was lost")
        return done


@dataclass
class Beat:
    """One beat process: alive while it has a scheduler."""

    skew_ms: int
    scheduler: Scheduler | None = None
    next_ms: int = 0


@dataclass
class World:
    """Beats, one store, and the true time."""

    store: Store
    clock: FakeClock
    dice: random.Random
    entries: dict[str, Any]
    beats: list[Beat] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = App("world", broker="sqlite://", set_as_current=False)
        self.app.store = self.store
        self.app.task(name="tick")(lambda x: x)
        self.beats = [Beat(self.dice.randint(-SKEW_MS, SKEW_MS)) for _ in range(BEATS)]

    def start(self, beat: Beat) -> None:
        now_ms = self.clock.now + beat.skew_ms
        # Each start is that of another version of the code.
        args = (self.dice.randint(0, 3),)
        self.app.conf.beat_schedule = {
            name: {"task": "tick", "args": args, **entry} for name, entry in self.entries.items()
        }
        sync(self.app, self.store, code_definitions(self.app, now_ms), now_ms)
        beat.scheduler = Scheduler(cast("Store", Unreliable(self.store, self.dice)))
        beat.next_ms = self.clock.now

    def turn(self, beat: Beat) -> None:
        if beat.scheduler is None:
            if self.dice.random() < 0.3:
                self.start(beat)
        elif self.dice.random() < 0.03:
            beat.scheduler = None  # killed
        else:
            if self.dice.random() < 0.5:
                beat.scheduler.changed()
            try:
                beat.scheduler.step(self.clock.now + beat.skew_ms)
            except StoreUnavailable:
                if self.dice.random() < 0.5:
                    beat.scheduler = None  # and it does not survive that
        pause = self.dice.choice((SECOND, MINUTE, 10 * MINUTE, 40 * MINUTE))
        beat.next_ms = self.clock.now + 1 + round(self.dice.random() * pause)

    def run(self, until_ms: int) -> None:
        while True:
            beat = min(self.beats, key=lambda each: each.next_ms)
            if beat.next_ms >= until_ms:
                break
            self.clock.now = max(self.clock.now, beat.next_ms)
            self.turn(beat)
        # At last one beat that lives on, with a right clock, and a store that is there.
        self.clock.now = until_ms
        last = Scheduler(self.store)
        while last.step(self.clock.now) <= self.clock.now:
            pass


def _hours(every: int, first_ms: int, until_ms: int) -> list[int]:
    return list(range(first_ms, until_ms + 1, every * HOUR))


def _walk(start: datetime, until_ms: int, matches: Callable[[datetime], bool]) -> list[int]:
    """The minutes that match, found by looking at each of them."""
    moment, found = start.replace(second=0) + timedelta(minutes=1), []
    while to_ms(moment) <= until_ms:
        if matches(moment):
            found.append(to_ms(moment))
        moment += timedelta(minutes=1)
    return found


def _is_berlin_morning(moment: datetime) -> bool:
    local = moment.astimezone(BERLIN)
    return (local.hour, local.minute) == (2, 30) and not local.fold


ENTRIES: dict[str, dict[str, Any]] = {
    "five hours": {"schedule": timedelta(hours=5)},
    "quarters of work": {"schedule": crontab(minute="*/30", hour="9-16", day_of_week="mon-fri")},
    "berlin": {"schedule": crontab(hour=2, minute=30), "tz": "Europe/Berlin"},
    "fortnightly": {"schedule": timedelta(days=14)},
}


def expected_slots(first: dict[str, int], until_ms: int) -> dict[str, list[int]]:
    return {
        "five hours": _hours(5, first["five hours"], until_ms),
        "quarters of work": _walk(
            START,
            until_ms,
            lambda m: m.minute % 30 == 0 and 9 <= m.hour <= 16 and m.weekday() < 5,
        ),
        "berlin": _walk(START, until_ms, _is_berlin_morning),
        "fortnightly": _hours(14 * 24, first["fortnightly"], until_ms),
    }


def a_month(store: Store, clock: FakeClock, seed: int, catch_up: str) -> dict[str, int]:
    """Run it; returns the first slot of each entry."""
    entries = {name: {**entry, "catch_up": catch_up} for name, entry in ENTRIES.items()}
    world = World(store, clock, random.Random(seed), entries)
    world.start(world.beats[0])
    first = {entry.name: entry.next_ms or 0 for entry in store.entries()}
    world.run(to_ms(START + MONTH))
    return first


@pytest.mark.parametrize(("kind", "seed"), SEEDS)
def test_with_all_every_slot_of_a_month_has_one_message(kind: str, seed: int) -> None:
    clock, until_ms = FakeClock(to_ms(START)), to_ms(START + MONTH)
    with STORES[kind](StoreOptions(audit="all"), clock) as store:
        first = a_month(store, clock, seed, "all")
        slots = expected_slots(first, until_ms)
        namespace = store.options.namespace
        wanted = [slot_id(namespace, name, s) for name, of_it in slots.items() for s in of_it]
        assert len(wanted) > 490
        assert all(record is not None for record in store.read(wanted))
        assert sum(store.counts().states.values()) == len(wanted)
        fired = store.audit(AuditQuery(event=AuditEvent.FIRED, since_ms=0, limit=10_000))
        assert len({row.id for row in fired}) == len(fired) == len(wanted)
        for entry in store.entries():
            assert (entry.runs, entry.missed) == (len(slots[entry.name]), 0)
            assert entry.last_ms == slots[entry.name][-1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("catch_up", ["skip", "one"])
def test_otherwise_every_slot_of_a_month_is_fired_once_or_counted_as_missed(
    catch_up: str, seed: int
) -> None:
    clock, until_ms = FakeClock(to_ms(START)), to_ms(START + MONTH)
    with model(StoreOptions(audit="all"), clock) as store:
        first = a_month(store, clock, seed, catch_up)
        slots = expected_slots(first, until_ms)
        namespace = store.options.namespace
        total = 0
        for entry in store.entries():
            of_it = slots[entry.name]
            records = store.read([slot_id(namespace, entry.name, slot) for slot in of_it])
            there = [slot for slot, record in zip(of_it, records, strict=True) if record]
            assert len(there) == entry.runs
            assert entry.runs + entry.missed == len(of_it)
            assert entry.last_ms == (there[-1] if there else None)
            total += len(there)
        assert sum(store.counts().states.values()) == total > 50


def test_slots_are_counted_as_they_are_on_the_calendar() -> None:
    first = {name: to_ms(START) + HOUR for name in ENTRIES}
    slots = expected_slots(first, to_ms(START + MONTH))
    assert [len(of_it) for of_it in slots.values()] == [144, 320, 30, 3]
    nights = [from_ms(slot).astimezone(BERLIN) for slot in slots["berlin"]]
    assert {(night.hour, night.minute, night.fold) for night in nights} == {(2, 30, 0)}
    assert len({night.date() for night in nights}) == 30
    assert {night.utcoffset() for night in nights} == {timedelta(hours=1), timedelta(hours=2)}
