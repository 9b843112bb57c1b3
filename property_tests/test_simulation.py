"""Whole workers over a faulty store: no seed breaks an invariant, no ablation goes unnoticed."""

from __future__ import annotations

import os

import pytest

from property_tests.ablations import ABLATIONS, Ablation, seeds_until_caught
from property_tests.simulate import run_seed, stores

SEEDS = int(os.environ.get("RELIABLE_TASKS_SEEDS", "2000"))
PARTS = 8
STORE_SEEDS = {"sqlite": 80}
FOUND_BEFORE = {
    299: "a claim made in the very exchange that gave it back, whose reply was lost, was forgotten",
}


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_an_invariant(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        world, found = run_seed(seed)
        assert not found, "\n".join([*world.timeline, f"seed {seed}:", *found])


@pytest.mark.parametrize("store", STORE_SEEDS)
def test_no_seed_breaks_an_invariant_on_a_real_store(store: str) -> None:
    for seed in range(STORE_SEEDS[store]):
        world, found = run_seed(seed, stores[store])
        world.real.close()
        assert not found, "\n".join([*world.timeline, f"seed {seed} on {store}:", *found])


@pytest.mark.parametrize("seed", FOUND_BEFORE, ids=FOUND_BEFORE.get)
def test_what_was_found_before_stays_mended(seed: int) -> None:
    world, found = run_seed(seed)
    assert not found, "\n".join([*world.timeline, *found])


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.name)
def test_without_a_safeguard_something_is_seen(ablation: Ablation) -> None:
    assert seeds_until_caught(ablation) is not None


def test_a_seed_always_tells_the_same_tale() -> None:
    first, _ = run_seed(7)
    second, _ = run_seed(7)
    assert [line.split()[:2] for line in first.timeline] == [
        line.split()[:2] for line in second.timeline
    ]
