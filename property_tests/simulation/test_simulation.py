"""Whole workers over a faulty store: no seed breaks an invariant, and what once did does not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from property_tests.ablations.runner import caught, without
from property_tests.ablations.safeguards import ABLATIONS, Ablation
from property_tests.ablations.switching import changed
from property_tests.simulation import regressions
from property_tests.simulation.runner import STORES, main, run, run_seed, shrink
from property_tests.simulation.schedule import CHANCES, schedule_of
from reliable_tasks.store.values import AuditEvent

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = int(os.environ.get("RELIABLE_TASKS_SEEDS", "1500"))
PARTS = 8
STORE_SEEDS = {"memory": 30, "sqlite": 10, "redis": 20}
FENCE_CHECK = next(a for a in ABLATIONS if a.name == "fence check of a commit")


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_an_invariant(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        world, found = run_seed(seed)
        assert not found, "\n".join([*world.timeline, f"seed {seed}:", *found])


@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("store", STORE_SEEDS)
def test_no_seed_breaks_an_invariant_on_a_real_store(store: str, part: int) -> None:
    for seed in range(part, STORE_SEEDS[store], 5):
        world, found = run_seed(seed, store)
        assert not found, "\n".join([*world.timeline, f"seed {seed} on {store}:", *found])


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_without_a_safeguard_something_is_seen(ablation: Ablation) -> None:
    assert caught(ablation) is not None


# Regressions --------------------------------------------------------------------------------------

KEPT = regressions.kept()
OF_ABLATIONS = [r for r in KEPT if r.without]


@pytest.mark.parametrize("store", sorted(STORES))
@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: f"seed {kept.seed}: {kept.showed}"[:60])
def test_what_once_broke_an_invariant_does_not(kept: regressions.Regression, store: str) -> None:
    world, found = run(kept.schedule, store)
    assert not found, "\n".join([*world.timeline, *found])


@pytest.mark.parametrize("kept", OF_ABLATIONS, ids=lambda kept: kept.without)
def test_a_kept_schedule_still_breaks_what_has_no_safeguard(kept: regressions.Regression) -> None:
    ablation = next(a for a in ABLATIONS if str(a) == kept.without)
    with without(ablation):
        assert run(kept.schedule)[1]


def test_a_failing_seed_is_shrunk_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "regressions.json"
    kept.write_text("[]")
    monkeypatch.setattr(regressions, "PATH", kept)
    with without(FENCE_CHECK):
        assert main(["--seeds", "100", "--keep"]) == 1
        (new,) = regressions.kept()
        assert run(new.schedule)[1]
    assert len(new.steps) < len(schedule_of(0).steps) / 4
    assert f"seed {new.seed} on model" in capsys.readouterr().out
    assert not run(new.schedule)[1]


def test_seeds_are_shared_among_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "6", "--jobs", "2"]) == 0
    assert "6 seeds on model: all well" in capsys.readouterr().out


def test_a_shrunk_schedule_has_no_step_to_spare() -> None:
    with without(FENCE_CHECK):
        seed = next(seed for seed in range(100) if run_seed(seed)[1])
        short = shrink(seed)
        for i in range(len(short.steps)):
            fewer = (*short.steps[:i], *short.steps[i + 1 :])
            assert not run(short._replace(steps=fewer))[1], short.steps[i]


# The simulation itself ----------------------------------------------------------------------------


def test_a_seed_always_tells_the_same_tale() -> None:
    assert run_seed(7)[0].timeline == run_seed(7)[0].timeline


def test_everything_that_can_happen_does() -> None:
    worlds = [run_seed(seed)[0] for seed in range(40)]
    told = "\n".join(line for world in worlds for line in world.timeline)
    assert {step.what for seed in range(40) for step in schedule_of(seed).steps} == set(CHANCES)
    for what in (
        "the store was away",
        "applied, reply lost",
        "delivered twice",
        "given up by the caller",
        "arrived late",
        "restarts, and is away",
        "frozen until",
        "SIGKILL by the world",
        "killed with all its children",
        "its effect failed",
        "answers nobody until",
        "hears nothing from the store any more",
        "has no room for a child now",
        ": interrupted ",
        "is stuck in the user's code",
        "never ends (burial)",
        "exits with code 0 (before_start)",
        "is told of its soft limit",
        "told to stop: WARM",
        "told to stop: COLD",
        "STALE",
        "died before its workflow was whole",
        ": replayed",
        ": running",
        ": revoked",
    ):
        assert what in told, what
    left_out = {"conflict", "dropped", "purged", "rerun", "suppressed", "unlocked"}
    events = {row.event for world in worlds for row in world.account.rows}
    assert events | left_out >= {str(event) for event in AuditEvent}


@pytest.mark.parametrize(
    "where",
    ["property_tests.model.model:Model.reap", "sql:records/due", "lua:reap", "lua:*"],
)
def test_a_line_that_is_not_there_cannot_be_taken_out(where: str) -> None:
    with pytest.raises(LookupError, match="no such line"), changed(where, "no such line", ""):
        pytest.fail("it was")
