"""Waiting for a look to find something: between being told and looking anyway."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.core import clock
from reliable_tasks.core.filewatch import Watch, Watches, tell
from reliable_tasks.core.waiting import LONGEST_PAUSE_S, SHORTEST_PAUSE_S, wait_until
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one looks")


@pytest.mark.parametrize("lost", [True, False])
def test_who_has_lost_the_watch_rests_between_looks_as_who_had_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    watches = Watches((str(tmp_path / "none"),), pytest.fail)
    watch = Watch((str(tmp_path / "none"),)) if lost else None
    monkeypatch.setattr(watches, "_new_one", lambda: watch)
    rests = list[float]()
    monkeypatch.setattr(clock, "sleep", rests.append)
    assert wait_until(lambda: len(rests) > 9, lambda: True, PATIENCE_S, watches)
    assert min(rests) >= SHORTEST_PAUSE_S
    assert max(rests) >= LONGEST_PAUSE_S


def test_what_is_told_right_after_a_look_ends_the_sleep(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    asked, looked = list[bool](), list[bool]()

    def nothing_changed() -> bool:
        asked.append(True)
        assert len(asked) <= 2, "it slept until it looked by itself"  # before the watch, and after
        tell(str(path))
        return False

    def look() -> bool:
        looked.append(True)
        return len(looked) > 1

    watches = Watches((str(path),), pytest.fail)
    assert wait_until(look, nothing_changed, PATIENCE_S, watches)
