"""What becomes of messages under faults: the judge, and our own rows in a brief run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import marks
from benchmarks.survival.contenders import contenders, is_quick
from benchmarks.survival.goals import misses
from benchmarks.survival.judge import Fault, Verdict, judge
from benchmarks.survival.page import markdown
from benchmarks.survival.scenarios import SCENARIOS, Found
from benchmarks.survival.trail import Attempt, Trail
from benchmarks.systems import systems_of

ROOT = Path(__file__).parents[2]
SECOND = 1_000_000_000
WORKER, OTHER = 10, 20


def at(seconds: float) -> int:
    return int(seconds * SECOND)


def ran(number: int, began: float, ended: float | None, pid: int = WORKER) -> Attempt:
    return Attempt(number, pid, at(began), None if ended is None else at(ended))


def killed(when: float, *pids: int) -> Fault:
    return Fault("kill", at(when), at(when), frozenset(pids or (WORKER,)))


def stopped(since: float, until: float) -> Fault:
    return Fault("stop", at(since), at(until), frozenset({WORKER}))


def store_away(since: float, until: float) -> Fault:
    return Fault("store", at(since), at(until))


def test_what_bodies_write_down_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "marks"
    monkeypatch.setenv(marks.FILE, str(path))
    trail = Trail(path)
    assert trail.attempts() == []
    assert marks.nap(7, 1) != marks.nap(7, 1), "each attempt can be told from others"
    one, two = trail.attempts()
    assert one.number == two.number == 7
    assert one.ended is not None
    assert one.began + 1_000_000 <= one.ended <= two.began


def test_a_trail_grows(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    trail = Trail(path)
    with path.open("a", buffering=1) as file:
        file.write("begin 1 10 1000\nbegin 2 10 2000\nend 1 10 10")
        assert trail.attempts() == [Attempt(1, 10, 1000), Attempt(2, 10, 2000)]
        file.write("00 1500\n")
        assert trail.attempts() == [Attempt(1, 10, 1000, 1500), Attempt(2, 10, 2000)]
    assert trail.attempts() == [Attempt(1, 10, 1000, 1500), Attempt(2, 10, 2000)]


def test_what_ended_once_is_well() -> None:
    attempts = [ran(1, 1.0, 1.1), ran(2, 1.1, 1.2)]
    assert judge(attempts, [], [1, 2], []) == Verdict(
        lost=0, parked=0, twice=0, twice_unhit=0, interrupted=0, recovery_s=()
    )


def test_what_never_ended_is_lost_unless_it_is_kept() -> None:
    verdict = judge([ran(1, 1.0, None)], [killed(1.05)], [1, 2, 3], [2])
    assert (verdict.lost, verdict.parked) == (2, 1)


def test_what_was_not_acknowledged_is_not_missed() -> None:
    verdict = judge([], [], [], [1])
    assert (verdict.lost, verdict.parked) == (0, 0)


def test_recovery_lasts_from_the_kill_to_the_next_attempt_of_what_was_running() -> None:
    attempts = [
        ran(1, 1.0, 1.2),
        ran(2, 1.3, None),
        ran(3, 2.0, 2.1, OTHER),  # not one of those that were interrupted
        ran(2, 2.5, 2.6, OTHER),
    ]
    verdict = judge(attempts, [killed(1.5)], [1, 2, 3], [])
    assert verdict.recovery_s == (1.0,)
    assert (verdict.interrupted, verdict.lost, verdict.twice) == (1, 0, 0)


def test_each_kill_is_judged_by_what_it_interrupted_itself() -> None:
    attempts = [ran(1, 1.0, None, 11), ran(2, 2.0, None, 12), ran(2, 3.5, 3.6, 13)]
    verdict = judge(attempts, [killed(1.5, 11), killed(2.5, 12), killed(4.0, 13)], [1, 2], [1])
    assert verdict.recovery_s == (None, 1.0), "the third kill found nothing running"
    assert verdict.interrupted == 2


def test_work_goes_on_when_the_store_is_back() -> None:
    attempts = [ran(1, 1.0, 1.1), ran(2, 1.1, 1.3), ran(3, 4.0, 4.1)]
    away = store_away(1.2, 2.5)
    assert judge(attempts, [away], [1, 2, 3], []).recovery_s == (1.5,)
    assert judge(attempts[:2], [away], [1, 2, 3], [3]).recovery_s == (None,)
    assert judge(attempts[:2], [away], [1, 2], []).recovery_s == (), "nothing was left to do"


def test_a_body_that_ended_just_before_its_process_was_killed_may_run_again() -> None:
    again = ran(1, 2.0, 2.1, OTHER)
    just = judge([ran(1, 1.0, 1.45), again], [killed(1.9)], [1], [])
    assert (just.twice, just.twice_unhit) == (1, 0)
    long_ago = judge([ran(1, 1.0, 1.2), again], [killed(1.9)], [1], [])
    assert (long_ago.twice, long_ago.twice_unhit) == (1, 1)
    elsewhere = judge([ran(1, 1.0, 1.45), again], [killed(1.9, 99)], [1], [])
    assert (elsewhere.twice, elsewhere.twice_unhit) == (1, 1)


def test_a_body_that_ran_while_the_store_was_away_may_run_again() -> None:
    verdict = judge([ran(1, 2.0, 2.1), ran(1, 4.0, 4.1)], [store_away(1.5, 3.0)], [1], [])
    assert (verdict.twice, verdict.twice_unhit) == (1, 0)


def test_a_zombie_may_end_what_it_was_running_but_not_begin_what_others_have_done() -> None:
    zombie = [ran(1, 1.0, 31.1), ran(1, 25.0, 25.1, OTHER), ran(2, 25.1, 25.2, OTHER)]
    verdict = judge(zombie, [stopped(1.5, 31.0)], [1, 2], [])
    assert (verdict.twice, verdict.twice_unhit, verdict.interrupted) == (1, 0, 1)
    assert verdict.recovery_s == (23.5,)
    begun = judge([*zombie, ran(2, 31.2, 31.3)], [stopped(1.5, 31.0)], [1, 2], [])
    assert (begun.twice, begun.twice_unhit) == (2, 1)


def test_what_a_zombie_goes_on_with_itself_is_no_new_attempt() -> None:
    verdict = judge([ran(1, 1.0, 31.1)], [stopped(1.5, 31.0)], [1], [])
    assert verdict.recovery_s == (None,)
    assert (verdict.lost, verdict.parked) == (0, 0)


def test_peers_take_part_with_their_defaults_and_once_more_set_to_recover_quickly() -> None:
    systems = contenders(("dramatiq", "huey"))
    assert [s.name for s in systems if SCENARIOS["kills"].fits(s)] == [
        "reliable_tasks, Redis",
        "reliable_tasks, SQLite (FULL)",
        "Dramatiq",
        "Huey, Redis",
        "Huey, SQLite (FULL)",
    ]
    (quick,) = [s for s in systems if SCENARIOS["quick"].fits(s)]
    assert quick.module == "dramatiq"
    assert is_quick(quick)
    assert not SCENARIOS["zombie"].fits(quick)
    on_redis = [s.name for s in systems if SCENARIOS["store"].fits(s)]
    assert on_redis == ["reliable_tasks, Redis", "Dramatiq", "Huey, Redis"]


WELL = Found(
    system="reliable_tasks, Redis",
    scenario="kills",
    verdict=Verdict(lost=0, parked=0, twice=1, twice_unhit=0, interrupted=9, recovery_s=(0.5, 2.9)),
    overwritten=None,
    restarts=0,
    last_ran=True,
    body_ms=(20.1, 21.0),
)


def test_goals_are_told_from_misses() -> None:
    assert misses(WELL) == []
    verdict = replace(WELL.verdict, lost=1, parked=2, twice_unhit=3, recovery_s=(0.5, 3.1, None))
    badly = replace(WELL, verdict=verdict, overwritten=4, restarts=5, last_ran=False)
    assert [line.removeprefix("reliable_tasks, Redis, kills: ") for line in misses(badly)] == [
        "1 lost",
        "2 parked",
        "3 completed twice without having been hit",
        "2 recoveries took over 3 s",
        "4 results overwritten by a zombie",
        "5 workers ended by themselves",
        "a last message was not run",
    ]


def test_a_table_says_what_was_found_and_what_cannot_be() -> None:
    found = [replace(WELL, scenario="store"), replace(WELL, system="Dramatiq", scenario="store")]
    text = markdown(found, systems_of(("dramatiq",)), {"when": "today"}, [])
    assert "| reliable_tasks, SQLite (FULL) | not applicable |" in text
    assert "| Dramatiq | - | 0 | 0 | 1 | 0 | 2.9 | run |" in text
    assert "All are reached." in text
    worse = replace(
        WELL,
        verdict=replace(WELL.verdict, lost=2, recovery_s=(0.5, None)),
        last_ran=False,
        restarts=3,
    )
    text = markdown([worse], systems_of(()), {}, ["kills, Dramatiq: no answer"])
    last = "**not run** (the worker ended by itself: 3)"
    assert f"| **2** | 0 | 1 | 0 | 0.5, **never** (1 of 2) | {last} |" in text
    assert "- reliable_tasks, Redis, kills: 2 lost" in text
    assert "- kills, Dramatiq: no answer" in text


@pytest.mark.xdist_group("timing")
def test_ours_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELIABLE_TASKS_SESSION_LEASE", "3")
    page = tmp_path / "page.md"
    options = ["--brief", "--peers", "", "--work", str(tmp_path), "--out", str(page)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.survival", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,  # its own waits are bounded, and say what did not come
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(page.with_suffix(".json").read_text())["found"]
    assert len(found) == 5, "kills and zombies on both stores, and a Redis that is killed"
    for row in found:
        if row["scenario"] == "kills":
            assert row["verdict"]["interrupted"], "bodies were running when they were killed"
        if row["scenario"] == "zombie":
            assert row["verdict"]["interrupted"] == row["verdict"]["twice"] > 0
            assert row["verdict"]["recovery_s"][0] < 5.0, "another worker took over meanwhile"
    left = [path.name for path in tmp_path.iterdir()]
    assert sorted(left) == ["page.json", "page.md"], "a run left its folder behind"
