"""How long a supervisor sleeps, and what keeps it awake."""

from __future__ import annotations

import pytest

from reliable_tasks.store import values as v
from reliable_tasks.worker.supervisor import Stopping
from tests.worker.harness import LEASE_MS, Slow, World


@pytest.fixture
def world() -> World:
    return World()


def test_it_sleeps_for_a_second_while_there_is_nothing_to_watch(world: World) -> None:
    world.put("limited")
    world.step(1.1)
    assert world.supervisor.next_due(world.now) >= world.now + 0.9
    (claim,) = world.claim()
    world.runs(claim)
    assert world.supervisor.next_due(world.now) >= world.now + 0.9, "it may run as long as it likes"
    world.runs(claim, hard_s=30.0)
    assert world.supervisor.next_due(world.now) <= world.now + 0.1
    world.runs(claim, soft_s=0.05)
    assert world.supervisor.next_due(world.now) <= world.now + 0.05


def test_it_sleeps_while_the_store_lets_it_wait() -> None:
    world = World(calls=(slow := Slow()))
    slow.go_on(world)
    world.step(5.1)  # a heartbeat is due, and under way
    for _ in range(3):
        assert world.supervisor.next_due(world.now) >= world.now + 0.05
        world.step(0.5)


def test_it_looks_often_while_it_stops_or_misses_a_child(world: World) -> None:
    world.processes.full = True
    world.processes.deaths.append((world.pid, "SIGSEGV"))
    world.step(1.1)
    assert world.supervisor.next_due(world.now) <= world.now + 0.1
    world.processes.full = False
    world.step(10.0)
    assert world.supervisor.next_due(world.now) > world.now + 0.1
    world.supervisor.stop(Stopping.WARM, world.now)
    assert world.supervisor.next_due(world.now) <= world.now + 0.1


def test_who_has_more_to_reap_goes_on_whoevers_turn_it_is_by_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = v.SessionInfo(id="other", worker="o", host="there", pid=1)
    world.store.open_session(there, LEASE_MS)
    left, own = 50, world.options.info

    def reap(*_: object, **__: object) -> v.Reaped:
        nonlocal left
        left -= 1
        return v.Reaped(more=left > 0)

    monkeypatch.setattr(world.store, "reap", reap)
    world.step(1.1)
    assert left == 30
    assert not world.store.take_turn(own).reaps
    assert world.supervisor.next_due(world.now) <= world.now
    world.step()
    assert left == 10
    world.step()
    assert left == 0
    world.step(0.1)
    assert left == 0, "it is nobody's turn yet"
