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
from tests.beat.driver import SECOND, Driver

if TYPE_CHECKING:
    import pytest

    from tests.beat.conftest import Told


def beat_of(drive: Driver, *names: str) -> _Beat:
    drive.app.conf.beat_schedule = {
        name: {"task": "add", "schedule": 1, "args": (1,)} for name in names
    }
    code = code_definitions(drive.app, drive.now)
    with contextlib.closing(SignalInbox(())) as inbox:
        return _Beat(drive.app, code, "beat", None, inbox)


def turn(beat: _Beat) -> None:
    """One that reads the clock and the entries, as it does every few seconds."""
    beat._measure_at = 0.0
    beat._scheduler.read_again()
    beat.turn()


def lost(told: Told) -> list[tuple[list[str], bool]]:
    return [(fields["entries"], fields["restored"]) for name, fields in told if name == "beat.lost"]


def test_a_store_that_came_back_empty_gets_the_schedule_again(drive: Driver, told: Told) -> None:
    beat = beat_of(drive, "a", "b")
    turn(beat)
    drive.app.schedules.add("at run time", 60, "add", (1,))
    for entry in drive.store.entries():
        drive.store.remove_entry(entry.name)
    turn(beat)
    assert lost(told) == [(["a", "b"], True)]
    turn(beat)
    assert [entry.name for entry in drive.store.entries()] == ["a", "b"]
    drive.clock.advance(2 * SECOND)
    turn(beat)
    assert [entry.runs for entry in drive.store.entries()] == [1, 1]
    assert len(lost(told)) == 1


def test_entries_that_another_beats_code_has_removed_are_told_and_stay_away(
    drive: Driver, told: Told
) -> None:
    """As while a deploy goes on: the beat that started last is right."""
    old = beat_of(drive, "a", "b")
    turn(old)
    turn(beat_of(drive, "b", "c"))
    for _ in range(3):
        turn(old)
    assert [entry.name for entry in drive.store.entries()] == ["b", "c"]
    assert lost(told) == [(["a"], False)]


def test_a_program_without_entries_has_none_to_lose(drive: Driver, told: Told) -> None:
    beat = beat_of(drive)
    for _ in range(3):
        turn(beat)
    assert lost(told) == []


def test_entries_that_keep_going_are_not_restored_without_a_pause(
    drive: Driver, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_RESTORE_PAUSE_S", 3600)
    beat = beat_of(drive, "a")
    for _ in range(20):
        turn(beat)
        drive.store.remove_entry("a")
    assert lost(told) == [(["a"], True)]


def test_a_beat_ends_its_turn_when_it_is_told_to_stop(drive: Driver) -> None:
    inbox = SignalInbox(())
    inbox.close()
    drive.app.conf.beat_schedule = {
        "e": {"task": "add", "schedule": 1, "args": (1,), "catch_up": "all"}
    }
    beat = _Beat(drive.app, code_definitions(drive.app, drive.now), "beat", os.getppid(), inbox)
    turn(beat)
    drive.clock.advance(3600 * SECOND)
    inbox.came.append(signal.SIGTERM)
    turn(beat)
    beat.run()
    assert drive.entry("e").runs == 0
