"""Entries take turns, and none costs another its slots or the beat its end."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.beat import scheduler as scheduler_module
from reliable_tasks.beat.scheduler import RETRY_MS, Scheduler
from tests.beat.harness import HOUR, SECOND, Bench
from tests.beat.test_scheduler import wrapped

if TYPE_CHECKING:
    from reliable_tasks.store.values import Batch, Enqueued, Entry
    from tests.beat.conftest import Told


def test_a_backlog_of_one_entry_keeps_no_other_from_its_turn(bench: Bench) -> None:
    bench.add("a-backlog", 1, catch_up="all")
    bench.clock.advance(7 * 24 * HOUR)
    bench.add("other", 1, catch_up="all")
    for _ in range(10):
        bench.step(SECOND)
    assert bench.entry("other").runs == 10
    assert bench.entry("a-backlog").runs >= 10 * scheduler_module.CATCH_UP_LIMIT


def test_backlogs_take_turns(bench: Bench) -> None:
    for name in "abc":
        bench.add(name, 1, catch_up="all")
    bench.clock.advance(24 * HOUR)
    for _ in range(6):
        bench.step()
    runs = [bench.entry(name).runs for name in "abc"]
    assert sum(runs) <= 6 * (scheduler_module.FIRINGS_PER_STEP + scheduler_module.CATCH_UP_LIMIT)
    assert max(runs) - min(runs) <= scheduler_module.CATCH_UP_LIMIT


def test_a_step_ends_after_so_many_firings(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "FIRINGS_PER_STEP", 20)
    bench.add("e", 1, catch_up="all")
    assert bench.step(HOUR) <= 0
    assert bench.entry("e").runs == 20


def test_the_word_to_stop_is_heard_between_firings(bench: Bench) -> None:
    bench.add("e", 1, catch_up="all")
    asked = []

    def stopping() -> bool:
        asked.append(True)
        return len(asked) > 4

    bench.scheduler = Scheduler(bench.store, stopping=stopping)
    bench.step(HOUR)
    assert 0 < bench.entry("e").runs < 5
    before = bench.entry("e")
    bench.scheduler = Scheduler(bench.store)
    bench.step()
    assert bench.entry("e").runs > before.runs, "what was left is still due"


@pytest.mark.parametrize("raised", [SystemExit, GeneratorExit, CancelledError, RecursionError])
def test_whatever_firing_one_entry_raises_costs_that_entry_only(
    bench: Bench, told: Told, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    bench.add("bad", 60, "mail", args=("me",))
    bench.add("good", 60)
    store = wrapped(bench)
    with monkeypatch.context() as patched:

        def fire(entry: Entry, expected_ms: int | None, batch: Batch) -> Enqueued | None:
            if entry.name == "bad":
                raise raised("no")
            return bench.store.fire(entry, expected_ms, batch)

        patched.setattr(store, "fire", fire)
        bench.step(60 * SECOND)
    assert [fields["error"] for name, fields in told if name == "beat.failed"] == ["no"]
    assert bench.entry("good").runs == 1
    bench.step(RETRY_MS)
    assert bench.entry("bad").runs == 1
