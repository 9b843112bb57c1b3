"""What a supervisor counts, outlives and notices, whatever bodies and stores do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from reliable_tasks import events
from reliable_tasks.core.message import State
from reliable_tasks.core.outcome import Succeeded
from reliable_tasks.store import values as v
from reliable_tasks.worker.scoreboard import Posted
from reliable_tasks.worker.supervisor import Stopping
from tests.worker.harness import LEASE_MS, Slow, World, listening

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def world() -> World:
    return World()


def test_a_start_is_counted_whatever_the_exit_code(world: World) -> None:
    """A body may call os._exit(0), or C's exit(0)."""
    world.put("leaves", "waiting")
    claims = world.claim(2)
    world.runs(claims[0])
    with listening() as told:
        world.processes.deaths.append((world.pid, ""))
        world.step(0.1)
    assert [world.record(i).delivery for i in ("leaves", "waiting")] == [1, 0]
    (died,) = told["child.died"]
    assert died["how"] == "exit code 0 in the middle of a body"
    assert died["ids"] == ["leaves"], "and not what waited"
    assert {"worker", *died} == set(events.EVENTS["child.died"].fields)


def test_a_start_is_counted_although_its_body_had_ended(world: World) -> None:
    """Its outcome was on the way to the store, and is lost with the process."""
    world.put("ended", "waiting")
    claims = world.claim(2)
    world.processes.ended[world.pid] = frozenset({claims[0].fence})
    world.processes.deaths.append((world.pid, ""))
    world.step(0.1)
    assert [world.record(i).delivery for i in ("ended", "waiting")] == [1, 0]


def test_the_neighbours_of_one_that_is_killed_are_counted(world: World) -> None:
    world.put("unwanted", "neighbour")
    unwanted, neighbour = world.claim(2)
    world.runs(unwanted)
    world.processes.ended[world.pid] = frozenset({neighbour.fence})
    world.store.revoke(["unwanted"], terminate=True, signal="SIGKILL")
    world.step(5.1)
    world.step(0.1)
    assert world.record("unwanted").state == State.REVOKED
    assert world.record("neighbour").delivery == 1


def test_one_whose_id_is_longer_than_the_board_is_ended_as_well(world: World) -> None:
    long = "ü" * 128
    world.put(long)
    (claim,) = world.claim()
    world.runs(claim, hard_s=1.0)
    (posted,) = world.processes.posted[world.pid]
    world.processes.posted[world.pid] = (msgspec.structs.replace(posted, id=long[:36]),)
    world.step(1.1)
    world.step(0.1)
    (killed,) = world.claim()
    assert (killed.id, bool(killed.limit_failure)) == (long, True)


def test_who_lives_takes_nothing_from_its_own_children_when_the_store_stood_still(
    world: World,
) -> None:
    """Somebody held the file's lock for longer than a lease: nobody could renew anything."""
    world.put("mine", "theirs")
    (mine,) = world.claim()
    world.runs(mine)
    world.store.open_session(v.SessionInfo(id="theirs", worker="other", host="here"), LEASE_MS)
    world.store.exchange("theirs", (), v.ClaimRequest(queues=("celery",), limit=1))
    world.step(LEASE_MS / 1000 + 5)  # the call that stood waiting is carried out now
    world.step(5.1)
    assert [world.record(i).state for i in ("mine", "theirs")] == [State.RUNNING] * 2
    for _ in range(30):
        world.step(1.0)
    assert world.record("mine").state == State.RUNNING
    assert world.record("theirs").state == State.QUEUED, "it had the time to renew, and did not"


def test_limits_and_deaths_are_watched_while_the_store_lets_one_wait() -> None:
    world = World(calls=(slow := Slow()))
    slow.go_on(world)
    world.put("long")
    (claim,) = world.claim()
    world.runs(claim, hard_s=2.0)
    world.step(1.5)  # it asks the store for something, and is kept waiting
    first = world.pid
    world.step(1.0)
    assert world.processes.killed == [first]
    world.step(0.1)
    assert world.record("long").state == State.RUNNING, "nobody could tell the store"
    slow.go_on(world)
    world.step(0.1)
    slow.go_on(world)
    assert world.record("long").state == State.QUEUED
    assert len(world.processes.born) == 2


@pytest.mark.parametrize("neighbours", ["end", "go on"])
def test_who_runs_beside_one_past_its_limit_gets_the_time_of_a_warm_stop(
    world: World, neighbours: str
) -> None:
    world.put("hangs", "beside")
    hangs, beside = world.claim(2)
    first, now = world.pid, world.now
    both = (
        Posted("hangs", hangs.fence, now, 0.0, now + 2.0),
        Posted("beside", beside.fence, now, 0.0, 0.0),
    )
    world.processes.posted[first] = both
    with listening() as told:
        for _ in range(29):
            world.step(1.0)
    assert world.processes.killed == []
    assert world.processes.drained == [first], "it is told once"
    assert len(told["child.retired"]) == 1
    assert len(world.processes.born) == 2, "another one takes its place meanwhile"
    if neighbours == "end":
        world.processes.posted[first] = both[:1]
        done = v.Commit(id="beside", fence=beside.fence, outcome=Succeeded())
        world.store.exchange(world.processes.born[first], (done,), None)
        world.step(0.1)
    else:
        world.step(4.0)
    assert world.processes.killed == [first]
    world.step(0.1)
    (killed,) = (c for c in world.claim(2) if c.id == "hangs")
    assert killed.limit_failure is not None
    record = world.record("beside")
    expected = (State.SUCCEEDED, 1) if neighbours == "end" else (State.RUNNING, 1)
    assert (record.state, record.delivery) == expected
    assert record.fence == beside.fence or neighbours == "go on"


def run_beside(world: World, *limits: tuple[str, float, float]) -> list[int]:
    """Bodies in one process, by their soft and hard limits in seconds."""
    world.put(*(name for name, _, _ in limits))
    fences = [claim.fence for claim in world.claim(len(limits))]
    world.processes.posted[world.pid] = tuple(
        Posted(name, fence, world.now, world.now + soft, world.now + hard if hard else 0.0)
        for (name, soft, hard), fence in zip(limits, fences, strict=True)
    )
    return fences


def killed_at_limit(world: World, *names: str) -> list[bool]:
    by_id = {claim.id: claim for claim in world.claim(len(names))}
    return [by_id[name].limit_failure is not None for name in names]


def test_a_slow_store_is_not_waited_for_in_a_busy_loop() -> None:
    world = World(calls=Slow())
    for _ in range(30):
        world.step(0.1)
        assert world.supervisor.next_due(world.now) > world.now


def test_all_that_are_past_their_limits_at_the_kill_are_killed_at_the_limit(world: World) -> None:
    run_beside(world, ("a", 9, 2), ("b", 9, 2.5), ("c", 9, 2.5))
    first = world.pid
    with listening() as told:
        world.step(2.1)
        assert world.processes.killed == []
        world.step(1.0)
        assert world.processes.killed == [first]
        world.step(0.1)
    assert killed_at_limit(world, "a", "b", "c") == [True] * 3
    assert [fields["id"] for fields in told["limit.hard"]] == ["a", "b", "c"], "each said once"


def test_who_comes_to_its_limit_before_the_death_is_noticed_is_killed_at_it(world: World) -> None:
    run_beside(world, ("past", 9, 2), ("soon", 9, 32.5), ("neighbour", 99, 0))
    first = world.pid
    for at in (2.1, 30.0):
        world.step(at)
    assert world.processes.killed == [first], "the others had the time of a warm stop"
    world.step(1.0)
    assert killed_at_limit(world, "past", "soon", "neighbour") == [True, True, False]


def test_a_cold_stop_ends_who_was_spared_for_its_neighbours(world: World) -> None:
    run_beside(world, ("past", 9, 2), ("neighbour", 99, 2.9))
    world.step(2.1)
    world.supervisor.stop(Stopping.COLD, world.now)
    world.step(1.0)
    world.start()
    assert killed_at_limit(world, "past") == [True]


def test_a_cold_stop_alone_ends_nobody(world: World) -> None:
    run_beside(world, ("soon", 9, 2))
    world.step(1.9)
    world.supervisor.stop(Stopping.COLD, world.now)
    world.step(0.5)
    world.start()
    assert killed_at_limit(world, "soon") == [False]


def test_each_of_several_is_told_of_its_soft_limit_and_of_its_revocation_once(
    world: World,
) -> None:
    world.processes.alone = False
    run_beside(world, ("a", 2, 0), ("b", 3, 0))
    world.store.revoke(["a", "b"], terminate=True)
    for _ in range(20):
        world.step(1.0)
    assert len(world.processes.told_softly) == 2
    assert len(world.processes.terminated) == 2


def test_it_outlives_whatever_a_store_raises_and_heartbeats_go_on(world: World) -> None:
    world.put("a")
    (claim,) = world.claim()
    world.runs(claim)
    world.processes.deaths.append((world.pid, "SIGKILL"))

    def held(*_: object) -> tuple[v.Claim, ...]:
        raise ValueError("what a client cannot decode")

    world.store.held = held  # type: ignore[method-assign]
    with listening() as told:
        for _ in range(60):
            world.step(1.0)
    assert "what a client cannot decode" in str(told["worker.internal_error"])
    assert len(world.processes.born) == 2, "its place is taken"
    (alive,) = (s for s in world.store.sessions() if s.id == world.processes.born[world.pid])
    assert alive.lease_until_ms > world.clock.now


def test_only_an_answer_of_the_store_says_that_it_is_back(world: World) -> None:
    """A round in which nothing was due has asked nobody."""
    world.store.away = True
    with listening() as told:
        for _ in range(200):
            world.step(0.1)
        assert len(told["store.unavailable"]) == 1
        assert "store.recovered" not in told
        world.store.away = False
        for _ in range(100):
            world.step(0.1)
    assert len(told["store.unavailable"]) == len(told["store.recovered"]) == 1
    (recovered,) = told["store.recovered"]
    assert recovered["after"] >= 19


def test_a_child_that_cannot_be_forked_is_tried_again(world: World) -> None:
    world.processes.full = True
    world.processes.deaths.append((world.pid, "SIGKILL"))
    with listening() as told:
        for _ in range(100):
            world.step(0.1)
    assert 2 < len(told["child.not_started"]) < 12, "said, and neither given up nor spun"
    assert world.store.sessions() == (), "sessions without a child are closed"
    world.processes.full = False
    for _ in range(60):
        world.step(0.1)
    assert len(world.processes.born) == 2


def test_a_child_that_hears_nothing_and_runs_nothing_is_stuck(world: World) -> None:
    world.put("wedged")
    (claim,) = world.claim()
    first = world.pid
    world.processes.heard[first] = 7
    world.processes.ended[first] = frozenset({claim.fence})
    with listening() as told:
        for _ in range(59):
            world.step(1.0)
        assert not world.processes.killed
        for _ in range(3):
            world.step(1.0)
    assert world.processes.killed == [first]
    assert "heard nothing from the store for 60 s" in str(told["child.stuck"])
    assert world.record("wedged").delivery == 1, "counted"


def says_something(world: World) -> None:
    world.processes.heard[world.pid] += 1


def runs_a_body(world: World) -> None:
    """It may hold the interpreter's lock for minutes: no other thread can move then."""
    world.processes.posted[world.pid] = (Posted("a", 1, world.now, 0.0, 0.0),)


def store_is_away(world: World) -> None:
    world.store.away = True


@pytest.mark.parametrize("why", [says_something, runs_a_body, store_is_away])
def test_others_are_not_taken_for_stuck(world: World, why: Callable[[World], None]) -> None:
    world.processes.heard[world.pid] = 7
    for _ in range(200):
        why(world)
        world.step(1.0)
    assert not world.processes.killed


@pytest.mark.parametrize(("patience_s", "limit_s"), [(60.0, 180), (5.0, 60)])
def test_a_child_that_never_comes_to_work_is_stuck_in_the_end(
    patience_s: float, limit_s: int
) -> None:
    """A receiver of `worker_process_init` hangs, say; it gets three times the patience."""
    world = World(patience_s=patience_s)
    first = world.pid
    with listening() as told:
        for _ in range(limit_s - 1):
            world.step(1.0)
        assert not world.processes.killed
        for _ in range(2):
            world.step(1.0)
    assert world.processes.killed == [first]
    (stuck,) = told["child.stuck"]
    assert "worker_process_init" in stuck["reason"]
    assert len(world.processes.born) == 2, "another one takes its place"


def test_a_child_that_cannot_come_to_work_without_the_store_is_not_stuck(world: World) -> None:
    for _ in range(400):
        store_is_away(world)
        world.step(1.0)
    assert not world.processes.killed


def test_a_child_is_not_stuck_since_we_were_stopped_ourselves(world: World) -> None:
    world.processes.heard[world.pid] = 7
    world.step(0.1)
    world.step(300.0)
    assert not world.processes.killed


def test_planned_releases_of_a_body_that_had_begun_are_bounded() -> None:
    counts = list[tuple[int, int]]()
    world = World()
    world.put("long")
    for _ in range(23):
        (claim,) = world.claim()
        world.runs(claim)
        world.supervisor.stop(Stopping.COLD, world.now)
        world.step(0.1)
        assert world.finished()
        record = world.record("long")
        counts.append((record.bounces, record.delivery))
        world.start()
    assert counts[:21] == [*((n, 0) for n in range(1, 21)), (20, 1)]
    assert counts[-1] == (20, 3), "what is beyond counts as deliveries"
