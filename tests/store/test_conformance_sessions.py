"""Sessions: leases, heartbeats, death, and what a running body tells."""

import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.store.values import (
    Command,
    DeadLettered,
    SessionInfo,
    StepReply,
    Verdict,
)
from tests.store.conftest import Opener
from tests.store.driver import LEASE_MS, SESSION, Driver, message, once


def test_a_session_is_listed_as_it_was_opened(drive: Driver) -> None:
    info = SessionInfo(id="s", worker="w@h", host="h", pid=7, pid_started="then", queues=("a", "b"))
    drive.store.open_session(info, 500)
    drive.put_one("m", queue="a")
    drive.claim(1, ("a",), session="s")
    found = next(s for s in drive.store.sessions() if s.id == "s")
    assert (found.worker, found.host, found.pid, found.pid_started) == ("w@h", "h", 7, "then")
    assert (found.queues, found.claims) == (("a", "b"), 1)
    assert (found.started_ms, found.lease_until_ms) == (drive.clock.now, drive.clock.now + 500)


def test_a_heartbeat_renews_the_lease(drive: Driver) -> None:
    drive.clock.advance(LEASE_MS - 1)
    assert drive.store.heartbeat([SESSION], LEASE_MS).lost == ()
    drive.clock.advance(LEASE_MS - 1)
    assert drive.store.heartbeat([SESSION], LEASE_MS).lost == ()


def test_a_lapsed_session_is_lost_once_it_was_taken_back_and_never_revived(drive: Driver) -> None:
    drive.clock.advance(LEASE_MS)
    assert drive.store.heartbeat(["nobody"], LEASE_MS).lost == ("nobody",)
    drive.store.reap()
    assert drive.store.heartbeat([SESSION, "nobody"], LEASE_MS).lost == (SESSION, "nobody")
    assert drive.store.heartbeat([SESSION], LEASE_MS).lost == (SESSION,)


def test_a_lapsed_session_that_nobody_has_taken_back_is_renewed(drive: Driver) -> None:
    """All could not reach the store for a while: those who live go on."""
    drive.put_one("a")
    claim = drive.claim_one()
    drive.clock.advance(LEASE_MS)
    beat = drive.store.heartbeat([SESSION], LEASE_MS)
    assert (beat.lost, beat.now_ms) == ((), drive.clock.now)
    assert drive.store.reap().requeued == 0
    assert drive.commit(claim) == Verdict.COMMITTED


def test_reap_takes_for_lapsed_what_had_lapsed_by_an_instant(drive: Driver) -> None:
    """The call had to wait for the store, as the one whose lease it was had to."""
    drive.put_one("a")
    drive.claim_one()
    asked_ms = drive.clock.now
    drive.clock.advance(LEASE_MS)
    assert drive.store.reap((), lapsed_by_ms=asked_ms).requeued == 0
    assert drive.store.reap((), lapsed_by_ms=asked_ms + LEASE_MS - 1).requeued == 0
    assert drive.store.reap((), lapsed_by_ms=drive.clock.now + LEASE_MS).requeued == 1


def test_as_many_sessions_are_listed_as_rows_may_be_read(open_driver: Opener) -> None:
    drive = open_driver(max_rows=2)
    drive.open("other")
    assert {s.id for s in drive.store.sessions()} == {SESSION, "other"}


def test_one_heartbeat_serves_many_sessions(drive: Driver) -> None:
    drive.open("other", 100)
    drive.clock.advance(100)
    drive.store.reap()
    assert drive.store.heartbeat(["other", SESSION], LEASE_MS).lost == ("other",)


def test_a_heartbeat_tells_what_to_stop(drive: Driver) -> None:
    drive.put(message("a"), message("b"), message("c"))
    a, b, _ = drive.claim(3)
    drive.store.revoke(["b"], terminate=True, signal="SIGKILL")
    drive.store.revoke(["a"], terminate=True)
    drive.store.revoke(["c"])
    assert drive.store.heartbeat([SESSION], LEASE_MS).commands == (
        Command(session=SESSION, id="a", fence=a.fence, signal="SIGTERM"),
        Command(session=SESSION, id="b", fence=b.fence, signal="SIGKILL"),
    )


def test_a_later_revocation_without_terminate_keeps_the_signal(drive: Driver) -> None:
    drive.put_one("a")
    drive.claim_one()
    drive.store.revoke(["a"], terminate=True)
    drive.store.revoke(["a"])
    assert len(drive.store.heartbeat([SESSION], LEASE_MS).commands) == 1


def test_held_tells_what_a_session_holds_in_order(drive: Driver) -> None:
    drive.put(message("a", payload=b"p"), message("b"))
    claims = drive.claim(2)
    assert drive.store.held(SESSION) == claims
    drive.commit(claims[0])
    assert [c.id for c in drive.store.held(SESSION)] == ["b"]
    assert drive.store.held("nobody") == ()


def test_closing_a_session_gives_back_uncounted_what_it_held(drive: Driver) -> None:
    drive.put(message("a"), message("b"), message("c"))
    drive.claim(2)
    assert drive.store.close_session(SESSION) == 2
    assert [s.id for s in drive.store.sessions()] == []
    record = drive.record("a")
    assert (record.state, record.delivery, record.session) == (State.QUEUED, 0, None)
    drive.open(SESSION)
    assert [c.id for c in drive.claim(3)] == ["a", "b", "c"]


def test_closing_a_session_ends_what_was_revoked(drive: Driver) -> None:
    drive.put_one("a")
    drive.claim_one()
    drive.store.revoke(["a"])
    drive.store.close_session(SESSION)
    assert drive.record("a").reason == "revoked"


def test_closing_an_unknown_session_does_nothing(drive: Driver) -> None:
    assert drive.store.close_session("nobody") == 0


def test_reap_takes_back_what_a_lapsed_session_held(drive: Driver) -> None:
    drive.put(message("a"), message("b"))
    drive.claim_one()
    drive.clock.advance(LEASE_MS)
    reaped = drive.store.reap()
    assert (reaped.requeued, reaped.dead_lettered) == (1, ())
    assert drive.store.sessions() == ()
    drive.open(SESSION)
    claim = drive.claim_one()
    assert (claim.id, claim.delivery) == ("a", 2)
    assert "reaped" in drive.events("a")


def test_reap_leaves_living_sessions_alone(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    drive.clock.advance(LEASE_MS - 1)
    drive.store.heartbeat([SESSION], LEASE_MS)
    drive.clock.advance(LEASE_MS - 1)
    assert drive.store.reap().requeued == 0
    assert drive.commit(claim) == Verdict.COMMITTED


def test_reap_believes_who_says_that_a_session_is_dead(drive: Driver) -> None:
    drive.put_one("a")
    drive.claim_one()
    assert drive.store.reap([SESSION, SESSION, "nobody"]).requeued == 1
    assert drive.store.heartbeat([SESSION], LEASE_MS).lost == (SESSION,)


def test_what_kills_its_workers_is_buried_in_the_end(drive: Driver) -> None:
    drive.put_one("a", max_deliveries=2)
    for delivery in (1, 2, 3, 4):  # two beyond the limit, for a worker to run its hooks
        assert drive.claim_one().delivery == delivery
        reaped = drive.lapse()
    assert reaped.dead_lettered == (DeadLettered(id="a", task="add"),)
    record = drive.record("a")
    assert (record.state, record.reason, record.delivery) == (State.FAILED, "delivery limit", 4)


def test_the_store_buries_the_doomed_with_their_failure(drive: Driver) -> None:
    drive.put_one("a", max_deliveries=1)
    drive.run(oc.KilledAtLimit(failure=b"killed"))
    drive.claim_one()
    drive.lapse()
    drive.claim_one()
    drive.lapse()
    assert drive.record("a").failure == b"killed"


def test_a_retry_starts_the_count_of_deliveries_anew(drive: Driver) -> None:
    drive.put_one("a", max_deliveries=3)
    for _ in range(3):
        drive.claim_one()
        drive.lapse()
        drive.run(oc.Retry())
    claim = drive.claim_one()
    assert (claim.attempt, claim.delivery) == (4, 1)


def test_reap_ends_what_was_revoked_while_it_ran(drive: Driver) -> None:
    drive.put_one("a")
    drive.claim_one()
    drive.store.revoke(["a"])
    assert drive.lapse().requeued == 0
    assert drive.record("a").reason == "revoked"


def test_progress_is_read_back_and_changes_the_version(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    before = drive.record("a").version
    assert drive.store.report("a", claim.fence, "HALF", b"50") == Verdict.COMMITTED
    record = drive.record("a")
    assert (record.progress_state, record.progress_meta) == ("HALF", b"50")
    assert record.version > before


def test_progress_is_forgotten_by_the_next_claim(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    drive.store.report("a", claim.fence, "HALF", b"50")
    drive.commit(claim, oc.Retry())
    drive.claim_one()
    assert drive.record("a").progress_state is None


def test_only_the_latest_claim_may_report(drive: Driver) -> None:
    drive.put_one("a")
    old = drive.claim_one()
    drive.lapse()
    assert drive.store.report("a", old.fence, "HALF", b"") == Verdict.STALE
    new = drive.claim_one()
    assert drive.store.report("a", old.fence, "HALF", b"") == Verdict.STALE
    drive.commit(new)
    assert drive.store.report("a", new.fence, "HALF", b"") == Verdict.STALE
    assert drive.store.report("nobody", 1, "HALF", b"") == Verdict.STALE
    assert drive.record("a").progress_state is None


def test_a_step_is_recorded_once_and_replayed(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    assert drive.store.step("a", claim.fence, "pay", None).known == "new"
    assert drive.store.step("a", claim.fence, "pay", None).known == "new"
    assert drive.store.step("a", claim.fence, "pay", b"1").value == b"1"
    again = drive.store.step("a", claim.fence, "pay", b"2")
    assert (again.known, again.value) == ("done", b"1")
    assert drive.events("a").count("step") == 1


def test_a_done_step_is_known_to_the_next_attempt(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    drive.store.step("a", claim.fence, "pay", None)
    drive.store.step("a", claim.fence, "pay", b"1")
    drive.commit(claim, oc.Retry())
    claim = drive.claim_one()
    reply = drive.store.step("a", claim.fence, "pay", None)
    assert (reply.known, reply.value) == ("done", b"1")


def test_a_step_begun_by_an_attempt_that_died_is_known_as_begun(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    drive.store.step("a", claim.fence, "pay", None)
    drive.lapse()
    claim = drive.claim_one()
    assert drive.store.step("a", claim.fence, "pay", None).known == "begun"
    assert drive.store.step("a", claim.fence, "pay", b"1").known == "done"


def test_only_the_latest_claim_may_record_a_step(drive: Driver) -> None:
    drive.put_one("a")
    old = drive.claim_one()
    drive.lapse()
    new = drive.claim_one()
    assert drive.store.step("a", old.fence, "pay", b"old").known == "stale"
    assert drive.store.step("nobody", 1, "pay", None).known == "stale"
    assert drive.store.step("a", new.fence, "pay", None).known == "new"


@pytest.mark.parametrize(
    "ending",
    [oc.Failed(), oc.Rejected(), oc.Failed(reason="time limit"), None],
    ids=["failed", "rejected", "killed", "delivery limit"],
)
def test_a_replayed_dead_letter_knows_its_steps(drive: Driver, ending: oc.Outcome | None) -> None:
    drive.put_one("a", max_deliveries=1)
    claim = drive.claim_one()
    drive.store.step("a", claim.fence, "pay", b"1")
    drive.store.step("a", claim.fence, "ship", None)
    if ending is not None:
        drive.commit(claim, ending)
    while drive.state("a") != State.FAILED:
        drive.lapse()
        drive.claim()
    drive.store.replay(["a"])
    fence = drive.claim_one().fence
    assert drive.store.step("a", fence, "pay", None) == StepReply(known="done", value=b"1")
    assert drive.store.step("a", fence, "ship", None).known == "begun"


@pytest.mark.parametrize("ending", [oc.Succeeded(), oc.Failed(), oc.Ignored()], ids=repr)
def test_a_new_message_of_the_same_id_knows_no_steps(drive: Driver, ending: oc.Outcome) -> None:
    drive.put_one("a", token="1")
    claim = drive.claim_one()
    drive.store.step("a", claim.fence, "pay", b"1")
    drive.commit(claim, ending)
    drive.put_one("a", token="2")
    claim = drive.claim_one()
    assert drive.store.step("a", claim.fence, "pay", None).known == "new"


@pytest.mark.parametrize("policy", ["replace", "rerun"])
def test_other_arguments_know_no_steps(drive: Driver, policy: str) -> None:
    drive.put_one("a", once=once(on_conflict=policy))
    claim = drive.claim_one()
    drive.store.step("a", claim.fence, "pay", b"1")
    drive.commit(claim, oc.Retry(delay_ms=10))
    assert drive.put_one("b", once=once(on_conflict=policy), payload=b"2").holder == "a"
    drive.clock.advance(10)
    claim = drive.claim_one()
    assert claim.payload == b"2"
    assert drive.store.step("a", claim.fence, "pay", None).known == "new"
