"""Housekeeping is done by turns: once for all, and whoever dies or stands still in its turn."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from property_tests.simulation.idle_fleet import LEASE_MS, STEP_MS, Fleet
from reliable_tasks.store.values import TURN_MS

if TYPE_CHECKING:
    from property_tests.simulation.idle_fleet import Idler

ASKED_MS = 1_000
SLACK_MS = 4 * STEP_MS


def soon_ms(hindered: int = 0) -> int:
    """Until somebody has seen what is there to be seen, with so many in vain before.

    The last turn before may have been that of who has just died.
    """
    return (1 + hindered) * (TURN_MS + ASKED_MS) + SLACK_MS


def fleet_of(rng: random.Random, hosts: list[str]) -> Fleet:
    return Fleet(hosts, lambda _: rng.randrange(0, 1_000, STEP_MS))


def hinder(fleet: Fleet, rng: random.Random, spared: Idler, times: int) -> None:
    """Let those who take the next turns die or stand still before they do anything about it."""

    def on_turn(idler: Idler) -> None:
        nonlocal times
        if times and idler is not spared:
            times -= 1
            idler.lives = rng.random() < 0.5
            idler.frozen = idler.lives

    fleet.on_turn = on_turn


@pytest.mark.parametrize("hindered", range(4))
def test_a_dead_neighbour_is_found_in_the_next_turn_that_is_used(hindered: int) -> None:
    for seed in range(15):
        rng = random.Random(seed)
        fleet = fleet_of(rng, ["h"] * 6 + ["i"] * 3)
        fleet.run(rng.randrange(8_000, 16_000, STEP_MS))
        victim, spared = rng.sample(fleet.idlers[:6], 2)
        is_taken_back = fleet.give(victim)
        hinder(fleet, rng, spared, hindered)
        victim.lives = False
        took_ms = fleet.run(60_000, is_taken_back)
        assert took_ms <= soon_ms(hindered), f"seed {seed}"


@pytest.mark.parametrize("hindered", range(4))
def test_what_a_lost_host_held_is_taken_back_as_soon_as_its_lease_has_ended(hindered: int) -> None:
    for seed in range(15):
        rng = random.Random(seed)
        fleet = fleet_of(rng, [f"host {n}" for n in range(8)])
        fleet.run(rng.randrange(8_000, 16_000, STEP_MS))
        victim, spared = rng.sample(fleet.idlers, 2)
        is_taken_back = fleet.give(victim)
        lease_ms = fleet.model.session_table[victim.sessions[-1]].lease_until_ms
        victim.lives = False
        fleet.run(lease_ms - fleet.now_ms - STEP_MS)
        assert not is_taken_back(), f"seed {seed}"
        hinder(fleet, rng, spared, hindered)
        took_ms = fleet.run(60_000, is_taken_back)
        assert took_ms <= soon_ms(hindered), f"seed {seed}"


def test_who_has_stood_still_keeps_nobody_from_reaping() -> None:
    """For half a lease it takes nobody for lapsed, and all that time it asks for turns."""
    for seed in range(15):
        rng = random.Random(seed)
        fleet = fleet_of(rng, ["h", "i", "j"])
        fleet.run(10_000)
        slow, victim, _ = fleet.idlers
        is_taken_back = fleet.give(victim)
        victim.lives, slow.frozen = False, True
        lease_ms = fleet.model.session_table[victim.sessions[-1]].lease_until_ms
        fleet.run(lease_ms - fleet.now_ms - rng.randrange(0, 4_000, STEP_MS))
        slow.frozen, slow.due_ms = False, fleet.now_ms
        fleet.run(lease_ms - fleet.now_ms)
        assert fleet.run(60_000, is_taken_back) <= soon_ms(), f"seed {seed}"


def test_the_last_one_left_keeps_house() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        fleet = fleet_of(rng, [f"host {n % 4}" for n in range(12)])
        fleet.run(10_000)
        is_taken_back = fleet.give(fleet.idlers[0])
        for idler in fleet.idlers[:-1]:
            idler.lives = False
        assert fleet.run(60_000, is_taken_back) <= LEASE_MS + soon_ms(), f"seed {seed}"
        fleet.run(LEASE_MS)
        assert list(fleet.model.session_table) == fleet.idlers[-1].sessions


@pytest.mark.parametrize("workers", [4, 40])
def test_idle_workers_do_what_one_does_for_all_once(workers: int) -> None:
    """So that the costs of a fleet grow as its size does: nobody reads what all have to say."""
    hosts, seconds = 4, 60
    fleet = fleet_of(random.Random(workers), [f"host {n % hosts}" for n in range(workers)])
    fleet.run(seconds * 1_000)
    turns = seconds * 1_000 // TURN_MS + 1
    assert seconds / 2 <= fleet.asked["reap"] <= turns
    looked = sum(number for (_, looks), number in fleet.turns.items() if looks)
    assert looked <= hosts * turns + workers, "and once when one has come"
    assert fleet.asked["sessions"] == 0
    by_each = {name: asked / workers / seconds for name, asked in fleet.asked.items()}
    assert by_each["take_turn"] <= 1.1
    assert by_each["heartbeat"] <= 0.25
