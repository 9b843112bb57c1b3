"""Children kept alive, sessions renewed, limits kept, the dead settled: on virtual time."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from reliable_tasks import signals
from reliable_tasks.core.codec.exceptions import SafeExceptions
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import State
from reliable_tasks.core.outcome import Succeeded
from reliable_tasks.errors import TimeLimitExceeded
from reliable_tasks.store import values as v
from reliable_tasks.worker.supervisor import Stopping
from tests.worker.harness import LEASE_MS, World, listening

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def world() -> World:
    return World()


def test_it_opens_a_session_for_each_child_and_spawns_it() -> None:
    world = World(children=3)
    assert sorted(world.processes.born.values()) == [s.id for s in world.store.sessions()]
    assert {s.worker for s in world.store.sessions()} == {"w@here"}
    world.step(1.0)
    assert len(world.processes.born) == 3, "no more than that"


def test_heartbeats_keep_sessions_alive_however_busy_their_children_are(world: World) -> None:
    for _ in range(100):
        world.step(1.0)
    (session,) = world.store.sessions()
    assert session.lease_until_ms > world.clock.now
    assert len(world.processes.born) == 1


def test_each_heartbeat_that_the_store_has_taken_is_told_of(world: World) -> None:
    heard = list[str]()

    def hear(sender: str, **_: object) -> None:
        heard.append(sender)

    signals.heartbeat_sent.connect(hear)
    try:
        for _ in range(100):
            world.step(1.0)
    finally:
        signals.heartbeat_sent.disconnect(hear)
    assert set(heard) == {"w@here"}
    assert 10 <= len(heard) <= 50


def test_a_dead_child_is_replaced_and_what_it_ran_is_counted_and_given_to_others(
    world: World,
) -> None:
    world.put("running", "waiting")
    claims = world.claim(2)
    world.runs(claims[0])
    world.step(2.0)
    world.processes.deaths.append((world.pid, "SIGSEGV"))
    world.step(0.1)
    assert len(world.processes.born) == 2
    assert [world.record(i).state for i in ("running", "waiting")] == [State.QUEUED] * 2
    assert [world.record(i).delivery for i in ("running", "waiting")] == [1, 0]


def test_children_that_die_young_are_replaced_with_growing_delays(world: World) -> None:
    births: list[float] = []
    for _ in range(600):
        if len(world.processes.born) > len(births):
            births.append(world.now)
            world.processes.deaths.append((world.pid, "exit code 1"))
        world.step(0.1)
    assert 5 < len(births) < 40, "neither given up nor spun"
    gaps = [b - a for a, b in itertools.pairwise(births)]
    assert gaps[-1] > gaps[0]
    assert max(gaps) <= 5.2


def test_a_child_that_ended_by_itself_is_replaced_at_once(world: World) -> None:
    world.processes.deaths.append((world.pid, ""))
    world.step(0.1)
    assert len(world.processes.born) == 2
    assert len(world.store.sessions()) == 1, "the old session is closed"


def test_the_soft_limit_is_told_once_and_the_hard_one_kills(world: World) -> None:
    world.put("slow")
    (claim,) = world.claim()
    world.runs(claim, soft_s=1.0, hard_s=2.0)
    assert world.supervisor.next_due(world.now) <= world.now + 1.0
    world.step(0.5)
    assert world.processes.told_softly == []
    world.step(0.6)
    world.step(0.1)
    assert world.processes.told_softly == [world.pid]
    assert world.processes.killed == []
    first = world.pid
    world.step(1.0)
    assert world.processes.killed == [first]
    world.step(0.1)
    assert world.record("slow").state == State.QUEUED, "for its hooks to be run by another child"
    (killed,) = world.claim()
    assert killed.limit_failure is not None
    failure = SafeExceptions().rebuild(decode_failure(killed.limit_failure))
    assert isinstance(failure, TimeLimitExceeded)
    assert "longer than 2 s" in str(failure)
    (row,) = world.store.audit(v.AuditQuery(id="slow", event="doomed"))
    assert row.fields == {"exception": "TimeLimitExceeded", "message": str(failure)}


def test_a_body_that_ended_just_in_time_keeps_its_outcome(world: World) -> None:
    """Its commit came before the kill: the kill outcome finds the fence committed."""
    world.put("close")
    (claim,) = world.claim()
    world.runs(claim, hard_s=1.0)
    done = v.Commit(id=claim.id, fence=claim.fence, outcome=Succeeded(result=b"1"))
    world.store.exchange(world.processes.born[world.pid], (done,), None)
    world.step(1.1)
    world.step(0.1)
    assert world.record("close").state == State.SUCCEEDED


def test_pain_28_a_revocation_with_terminate_kills_the_child_that_runs_it(world: World) -> None:
    world.put("unwanted")
    (claim,) = world.claim()
    world.runs(claim)
    first = world.pid
    world.store.revoke(["unwanted"], terminate=True)
    world.step(5.1)
    assert world.processes.terminated == [(first, claim.fence, "SIGTERM")]
    world.step(5.1)
    assert world.processes.killed == [], "it is told once, and may tidy up"
    world.step(5.1)
    assert world.processes.killed == [first]
    world.step(0.1)
    assert world.record("unwanted").state == State.REVOKED
    assert len(world.processes.born) == 2


def test_another_signal_is_told_as_well_and_of_that_the_body_may_die_in_its_own_time(
    world: World,
) -> None:
    world.put("unwanted")
    (claim,) = world.claim()
    world.runs(claim)
    for signal in ("SIGINT", "SIGUSR2"):
        world.store.revoke(["unwanted"], terminate=True, signal=signal)
        world.step(5.1)
    told = [(world.pid, claim.fence, signal) for signal in ("SIGINT", "SIGUSR2")]
    assert world.processes.terminated == told
    for _ in range(5):
        world.step(5.1)
    assert world.processes.killed == []
    world.processes.deaths.append((world.pid, "SIGUSR2"))
    world.step(0.1)
    world.step(5.1)
    assert world.record("unwanted").state == State.REVOKED


def test_a_revoked_body_that_shares_its_process_is_told_and_nobody_is_killed(world: World) -> None:
    world.processes.alone = False
    world.put("unwanted")
    (claim,) = world.claim()
    world.runs(claim)
    world.store.revoke(["unwanted"], terminate=True)
    for _ in range(5):
        world.step(5.1)
    assert len(world.processes.terminated) == 1
    assert world.processes.killed == []


def test_a_session_that_was_taken_back_is_never_revived_and_its_child_is_replaced(
    world: World,
) -> None:
    first = world.pid
    world.clock.advance(LEASE_MS)  # the machine slept; its own monotonic clock did not go on
    world.store.reap()  # somebody else was up before
    world.step(5.1)
    assert world.processes.drained == [first]
    assert len(world.processes.born) == 2
    lost = world.processes.born[first]
    assert lost not in {s.id for s in world.store.sessions()}


def test_pain_37_what_dead_supervisors_of_this_machine_held_is_taken_back_at_once(
    world: World,
) -> None:
    world.store.open_session(v.SessionInfo(id="theirs", worker="other", host="here"), LEASE_MS)
    world.put("theirs")
    world.store.exchange("theirs", (), v.ClaimRequest(queues=("celery",), limit=1))
    world.step(1.1)
    assert world.record("theirs").state == State.RUNNING
    world.processes.gone = ["theirs"]
    world.step(1.1)
    assert world.record("theirs").state == State.QUEUED
    assert world.record("theirs").delivery == 1


def test_what_the_store_dead_letters_is_told_with_its_reason(world: World) -> None:
    world.put("deadly")
    with listening() as told:
        for session in map("s{}".format, itertools.count()):
            world.store.open_session(
                v.SessionInfo(id=session, worker="other", host="here"), LEASE_MS
            )
            want = v.ClaimRequest(queues=("celery",), limit=1)
            if not world.store.exchange(session, (), want).claims:
                break
            world.processes.gone = [session]
            world.step(1.1)
    assert world.record("deadly").state == State.FAILED
    (letter,) = told["message.dead_lettered"]
    assert letter == {"id": "deadly", "task": "add", "reason": "delivery limit"}
    assert told["worker.reaped"][-1]["dead_lettered"] == 1


def test_pain_36_a_session_that_is_alive_is_left_alone(world: World) -> None:
    world.store.open_session(v.SessionInfo(id="theirs", worker="other", host="there"), LEASE_MS)
    world.put("theirs")
    world.store.exchange("theirs", (), v.ClaimRequest(queues=("celery",), limit=1))
    for _ in range(60):
        world.step(1.0)
        world.store.heartbeat(["theirs"], LEASE_MS)
    assert world.record("theirs").state == State.RUNNING


def test_pain_4_it_goes_on_after_the_store_was_away(world: World) -> None:
    world.store.away = True
    world.processes.deaths.append((world.pid, "SIGKILL"))
    for _ in range(1200):
        world.step(0.1)
    assert len(world.processes.born) == 1, "no child without a session"
    world.store.away = False
    for _ in range(60):
        world.step(0.1)
    assert len(world.processes.born) == 2
    assert [s.id for s in world.store.sessions()] == [world.processes.born[world.pid]]


def test_what_a_dead_child_ran_is_settled_once_the_store_is_back(world: World) -> None:
    world.put("a")
    (claim,) = world.claim()
    world.runs(claim)
    world.store.away = True
    world.processes.deaths.append((world.pid, "SIGKILL"))
    world.step(1.0)
    world.store.away = False
    world.step(5.0)
    assert world.record("a").state == State.QUEUED
    assert world.record("a").delivery == 1


def test_a_warm_stop_drains_the_children_and_ends_when_they_have(world: World) -> None:
    world.supervisor.stop(Stopping.WARM, world.now)
    world.step()
    assert world.processes.drained == [world.pid]
    assert not world.finished()
    world.processes.deaths.append((world.pid, ""))
    world.step(1.0)
    assert world.finished()
    assert world.store.sessions() == ()
    assert len(world.processes.born) == 1, "nobody is replaced"


def second_word(world: World) -> None:
    world.supervisor.stop(Stopping.COLD, world.now)
    world.step()


def grace_over(world: World) -> None:
    for _ in range(29):
        world.step(1.0)
    assert world.processes.killed == []
    world.step(1.1)


@pytest.mark.parametrize("how", [second_word, grace_over])
def test_pain_43_a_cold_stop_gives_everything_back_uncounted(
    world: World, how: Callable[[World], None]
) -> None:
    world.put("running", "waiting")
    claims = world.claim(2)
    world.runs(claims[0])
    world.supervisor.stop(Stopping.WARM, world.now)
    how(world)
    assert world.processes.killed == [world.pid]
    world.step(0.1)
    world.step(0.1)
    assert world.finished()
    for message_id in ("running", "waiting"):
        assert world.record(message_id).state == State.QUEUED
        assert world.record(message_id).delivery == 0


def test_a_cold_stop_does_not_wait_for_a_store_that_is_away(world: World) -> None:
    world.store.away = True
    world.supervisor.stop(Stopping.COLD, world.now)
    for _ in range(60):
        world.step(0.1)
    assert world.finished(), "the leases do the rest"
