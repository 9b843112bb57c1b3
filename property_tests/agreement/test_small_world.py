"""Every interleaving of a small world."""

from __future__ import annotations

import pytest

from property_tests.ablations.runner import without
from property_tests.ablations.safeguards import ABLATIONS
from property_tests.agreement.small_world import MISFORTUNES, explore

# Counted, so that a world that shrinks by mistake is noticed.
WORLDS: dict[tuple[str, ...], int] = {
    ("crash", "lapse", "lose"): 26_276,
    ("crash", "lose", "revoke"): 14_436,
    ("crash", "lapse", "retry"): 11_958,
    ("again", "lapse", "revoke"): 9_403,
}


@pytest.mark.parametrize("misfortunes", WORLDS, ids=" ".join)
def test_no_interleaving_of_a_small_world_breaks_an_invariant(misfortunes: tuple[str, ...]) -> None:
    explored = explore(frozenset(misfortunes))
    print(f"{explored.states} states, {explored.steps} steps")
    assert explored.violations == ()
    assert explored.states == WORLDS[misfortunes]


@pytest.mark.parametrize("name", ["one final state", "once-lock freed in the ending"])
def test_without_a_safeguard_an_interleaving_breaks_an_invariant(name: str) -> None:
    ablation = next(a for a in ABLATIONS if a.name == name)
    with without(ablation):
        assert explore(frozenset({"lapse", "lose"}), limit=20_000).violations


def test_every_misfortune_is_part_of_some_world() -> None:
    assert {m for world in WORLDS for m in world} == set(MISFORTUNES)
