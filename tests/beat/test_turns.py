"""Entries take turns, and none costs another its slots or the beat its end."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.beat import scheduler as scheduler_module
from reliable_tasks.beat.scheduler import RETRY_MS, Scheduler
from tests.beat.driver import HOUR, SECOND, Driver
from tests.beat.test_scheduler import wrapped

if TYPE_CHECKING:
    from reliable_tasks.store.values import Batch, Enqueued, Entry
    from tests.beat.conftest import Told


def test_a_backlog_of_one_entry_keeps_no_other_from_its_turn(drive: Driver) -> None:
    drive.add("a-backlog", 1, catch_up="all")
    drive.clock.advance(7 * 24 * HOUR)
    drive.add("other", 1, catch_up="all")
    for _ in range(10):
        drive.step(SECOND)
    assert drive.entry("other").runs == 10
    assert drive.entry("a-backlog").runs >= 10 * scheduler_module.CATCH_UP_LIMIT


def test_backlogs_take_turns(drive: Driver) -> None:
    for name in "abc":
        drive.add(name, 1, catch_up="all")
    drive.clock.advance(24 * HOUR)
    for _ in range(6):
        drive.step()
    runs = [drive.entry(name).runs for name in "abc"]
    assert sum(runs) <= 6 * (scheduler_module.FIRINGS_PER_STEP + scheduler_module.CATCH_UP_LIMIT)
    assert max(runs) - min(runs) <= scheduler_module.CATCH_UP_LIMIT


def test_a_step_ends_after_so_many_firings(drive: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "FIRINGS_PER_STEP", 20)
    drive.add("e", 1, catch_up="all")
    assert drive.step(HOUR) <= 0
    assert drive.entry("e").runs == 20


def test_the_word_to_stop_is_heard_between_firings(drive: Driver) -> None:
    drive.add("e", 1, catch_up="all")
    asked = []

    def stopping() -> bool:
        asked.append(True)
        return len(asked) > 4

    drive.scheduler = Scheduler(drive.store, stopping=stopping)
    drive.step(HOUR)
    assert 0 < drive.entry("e").runs < 5
    before = drive.entry("e")
    drive.scheduler = Scheduler(drive.store)
    drive.step()
    assert drive.entry("e").runs > before.runs, "what was left is still due"


@pytest.mark.parametrize("raised", [SystemExit, GeneratorExit, CancelledError, RecursionError])
def test_whatever_firing_one_entry_raises_costs_that_entry_only(
    drive: Driver, told: Told, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    drive.add("bad", 60, "mail", args=("me",))
    drive.add("good", 60)
    store = wrapped(drive)
    with monkeypatch.context() as patched:

        def fire(entry: Entry, expected_ms: int | None, batch: Batch) -> Enqueued | None:
            if entry.name == "bad":
                raise raised("no")
            return drive.store.fire(entry, expected_ms, batch)

        patched.setattr(store, "fire", fire)
        drive.step(60 * SECOND)
    assert [fields["error"] for name, fields in told if name == "beat.failed"] == ["no"]
    assert drive.entry("good").runs == 1
    drive.step(RETRY_MS)
    assert drive.entry("bad").runs == 1
