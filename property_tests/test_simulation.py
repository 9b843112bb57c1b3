"""Whole workers over a faulty store: no seed breaks an invariant, no ablation goes unnoticed."""

from __future__ import annotations

import os

import pytest

from property_tests.ablations import ABLATIONS, Ablation, seeds_until_caught, without
from property_tests.simulate import run_seed, shrink, stores

SEEDS = int(os.environ.get("RELIABLE_TASKS_SEEDS", "2000"))
PARTS = 8
STORE_SEEDS = {"sqlite": 80, "redis": 40}


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


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.name)
def test_without_a_safeguard_something_is_seen(ablation: Ablation) -> None:
    assert seeds_until_caught(ablation) is not None


def test_a_failing_seed_is_shrunk_to_a_shorter_tale() -> None:
    ablation = next(a for a in ABLATIONS if a.name == "fence check of a commit")
    with without(ablation):
        seed = next(seed for seed in range(100) if run_seed(seed)[1])
        whole, _ = run_seed(seed)
        short, found = shrink(seed)
    assert found
    assert len(short.timeline) < len(whole.timeline)


def test_a_seed_always_tells_the_same_tale() -> None:
    first, _ = run_seed(7)
    second, _ = run_seed(7)
    assert [line.split()[:2] for line in first.timeline] == [
        line.split()[:2] for line in second.timeline
    ]
