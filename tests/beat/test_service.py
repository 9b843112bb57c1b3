"""The beat process's loop, a turn at a time."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from reliable_tasks.beat import service
from reliable_tasks.beat.service import _Beat
from reliable_tasks.beat.sync import code_definitions
from reliable_tasks.core.waker import SignalInbox
from tests.beat.harness import SECOND, Bench

if TYPE_CHECKING:
    import pytest

    from tests.beat.conftest import Told


def beat_of(bench: Bench, *names: str) -> _Beat:
    bench.app.conf.beat_schedule = {
        name: {"task": "add", "schedule": 1, "args": (1,)} for name in names
    }
    code = code_definitions(bench.app, bench.now)
    with contextlib.closing(SignalInbox(())) as inbox:
        return _Beat(bench.app, code, "beat", None, inbox)


def turn(beat: _Beat) -> None:
    """One that reads the clock and the entries, as it does every few seconds."""
    beat._measure_at = 0.0
    beat._scheduler.read_again()
    beat.turn()


def lost(told: Told) -> list[tuple[list[str], bool]]:
    return [(fields["entries"], fields["restored"]) for name, fields in told if name == "beat.lost"]


def test_a_store_that_came_back_empty_gets_the_schedule_again(bench: Bench, told: Told) -> None:
    beat = beat_of(bench, "a", "b")
    turn(beat)
    bench.app.schedules.add("at run time", 60, "add", (1,))
    for entry in bench.store.entries():
        bench.store.remove_entry(entry.name)
    turn(beat)
    assert lost(told) == [(["a", "b"], True)]
    turn(beat)
    assert [entry.name for entry in bench.store.entries()] == ["a", "b"]
    bench.clock.advance(2 * SECOND)
    turn(beat)
    assert [entry.runs for entry in bench.store.entries()] == [1, 1]
    assert len(lost(told)) == 1


def test_entries_that_another_beats_code_has_removed_are_told_and_stay_away(
    bench: Bench, told: Told
) -> None:
    """As while a deploy goes on: the beat that started last is right."""
    old = beat_of(bench, "a", "b")
    turn(old)
    turn(beat_of(bench, "b", "c"))
    for _ in range(3):
        turn(old)
    assert [entry.name for entry in bench.store.entries()] == ["b", "c"]
    assert lost(told) == [(["a"], False)]


def test_a_program_without_entries_has_none_to_lose(bench: Bench, told: Told) -> None:
    beat = beat_of(bench)
    for _ in range(3):
        turn(beat)
    assert lost(told) == []


def test_entries_that_keep_going_are_not_restored_without_a_pause(
    bench: Bench, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_RESTORE_PAUSE_S", 3600)
    beat = beat_of(bench, "a")
    for _ in range(20):
        turn(beat)
        bench.store.remove_entry("a")
    assert lost(told) == [(["a"], True)]


def test_a_beat_ends_its_turn_when_it_is_told_to_stop(bench: Bench) -> None:
    inbox = SignalInbox(())
    inbox.close()
    bench.app.conf.beat_schedule = {
        "e": {"task": "add", "schedule": 1, "args": (1,), "catch_up": "all"}
    }
    beat = _Beat(bench.app, code_definitions(bench.app, bench.now), "beat", os.getppid(), inbox)
    turn(beat)
    bench.clock.advance(3600 * SECOND)
    inbox.came.append(signal.SIGTERM)
    turn(beat)
    beat.run()
    assert bench.entry("e").runs == 0
