"""Committing: once, by the latest claim only, whatever the outcome."""

import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.store.values import AuditQuery, Commit, Verdict
from tests.store.driver import SESSION, Driver, message, once


def test_success_stores_the_result(drive: Driver) -> None:
    drive.put_one("a", payload=b"p")
    drive.clock.advance(5)
    drive.run(oc.Succeeded(result=b"r"))
    record = drive.record("a", full=True)
    assert (record.state, record.result, record.reason) == (State.SUCCEEDED, b"r", "")
    assert (record.payload, record.session, record.ended_ms) == (None, None, drive.clock.now)


def test_success_without_keep_stores_no_result(drive: Driver) -> None:
    drive.put_one("a")
    drive.run(oc.Succeeded(result=b"r", keep=False))
    assert drive.record("a").result is None


def test_a_failure_is_a_dead_letter_with_its_payload(drive: Driver) -> None:
    drive.put_one("a", payload=b"p")
    drive.run(oc.Failed(failure=b"f"))
    record = drive.record("a", full=True)
    assert (record.state, record.reason) == (State.FAILED, "failed")
    assert (record.failure, record.payload) == (b"f", b"p")


def test_a_commit_repeated_after_a_lost_reply_is_committed_and_changes_nothing(
    drive: Driver,
) -> None:
    drive.put_one("a")
    claim = drive.run(oc.Succeeded(result=b"r"))
    version = drive.record("a").version
    assert drive.commit(claim, oc.Failed()) == Verdict.COMMITTED
    assert (drive.record("a").result, drive.record("a").version) == (b"r", version)


def test_a_retry_repeated_after_a_lost_reply_counts_once(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.run(oc.Retry(delay_ms=5))
    assert drive.commit(claim, oc.Retry(delay_ms=5)) == Verdict.COMMITTED
    assert drive.record("a").attempt == 2


def test_a_commit_for_an_unknown_message_is_stale(drive: Driver) -> None:
    commit = Commit(id="nobody", fence=3, outcome=oc.Succeeded())
    assert drive.store.exchange(SESSION, (commit,), None).verdicts == (Verdict.STALE,)
    assert drive.events("nobody") == ["stale"]


def test_a_commit_with_another_fence_is_stale(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    wrong = Commit(id="a", fence=claim.fence + 1, outcome=oc.Succeeded())
    assert drive.store.exchange(SESSION, (wrong,), None).verdicts == (Verdict.STALE,)
    assert drive.state("a") == State.RUNNING


def test_a_claim_taken_away_can_commit_nothing(drive: Driver) -> None:
    drive.put_one("a")
    old = drive.claim_one()
    drive.lapse()
    new = drive.claim_one()
    assert drive.commit(old, oc.Succeeded(result=b"old")) == Verdict.STALE
    assert drive.commit(new, oc.Succeeded(result=b"new")) == Verdict.COMMITTED
    assert drive.record("a").result == b"new"
    (row,) = drive.store.audit(AuditQuery(event="stale"))
    assert (row.id, row.fence, row.worker) == ("a", old.fence, "worker-1@here")


def test_a_claim_taken_away_can_commit_nothing_while_the_message_waits(drive: Driver) -> None:
    drive.put_one("a")
    old = drive.claim_one()
    drive.lapse()
    assert drive.commit(old) == Verdict.STALE
    assert drive.state("a") == State.QUEUED


def test_a_lapsed_session_may_still_commit_what_nobody_took(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    drive.clock.advance(60_000)
    assert drive.commit(claim) == Verdict.COMMITTED


def test_each_commit_of_an_exchange_is_judged_alone(drive: Driver) -> None:
    drive.put(message("a"), message("b"))
    a, b = drive.claim(2)
    commits = (
        Commit(id="b", fence=a.fence, outcome=oc.Succeeded()),
        Commit(id="a", fence=a.fence, outcome=oc.Succeeded()),
        Commit(id="b", fence=b.fence, outcome=oc.Failed()),
    )
    verdicts = drive.store.exchange(SESSION, commits, None).verdicts
    assert verdicts == (Verdict.STALE, Verdict.COMMITTED, Verdict.COMMITTED)
    assert (drive.state("a"), drive.state("b")) == (State.SUCCEEDED, State.FAILED)


def test_a_retry_is_the_same_message_later(drive: Driver) -> None:
    drive.put_one("a", payload=b"p", once=once())
    drive.run(oc.Retry(delay_ms=100, failure=b"f", detail=b"{}"))
    record = drive.record("a", full=True)
    assert (record.state, record.due_ms) == (State.SCHEDULED, drive.clock.now + 100)
    assert (record.attempt, record.delivery, record.failure) == (2, 0, b"f")
    assert record.payload == b"p"
    assert drive.holder() == "a"
    drive.clock.advance(100)
    claim = drive.claim_one()
    assert (claim.attempt, claim.delivery) == (2, 1)
    assert claim.first_started_ms == claim.started_ms - 100


SIZES = [0, 31, 1021, 1022, 5_000, 70_000]  # round where stores begin to keep them otherwise


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("then", SIZES)
def test_a_payload_of_any_size_is_kept_as_long_as_it_is_needed(
    drive: Driver, size: int, then: int
) -> None:
    drive.put_one("a", payload=b"\xff" * size, headers=b"h")
    assert drive.record("a", full=True).payload == b"\xff" * size
    assert drive.run(oc.Retry()).payload == b"\xff" * size
    assert drive.run(oc.Retry(payload=b"\xfe" * then)).payload == b"\xff" * size
    claim = drive.claim_one()
    assert (claim.payload, claim.headers) == (b"\xfe" * then, b"h")
    assert drive.store.held(SESSION) == (claim,)
    assert drive.commit(claim, oc.Failed()) == Verdict.COMMITTED
    assert drive.record("a", full=True).payload == b"\xfe" * then
    drive.store.replay(["a"])
    assert drive.run().payload == b"\xfe" * then
    assert drive.record("a", full=True).payload is None


@pytest.mark.parametrize("size", SIZES)
def test_a_payload_of_any_size_may_replace_another(drive: Driver, size: int) -> None:
    lock = once(on_conflict="replace")
    drive.put_one("a", payload=b"p" * 2_000, once=lock)
    drive.put_one("b", payload=b"q" * size, headers=b"h", once=lock)
    claim = drive.claim_one()
    assert (claim.id, claim.payload, claim.headers) == ("a", b"q" * size, b"h")


def test_a_retry_may_name_an_instant_a_payload_and_a_queue(drive: Driver) -> None:
    drive.put_one("a", payload=b"old")
    drive.run(oc.Retry(at_ms=drive.clock.now + 7, payload=b"new", queue="other"))
    drive.clock.advance(7)
    assert drive.claim(1) == ()
    (claim,) = drive.claim(1, ("other",))
    assert claim.payload == b"new"


@pytest.mark.parametrize("size", [0, 5_000])
def test_a_retry_may_name_headers_a_priority_and_when_it_expires(drive: Driver, size: int) -> None:
    until = drive.clock.now + 1_000
    drive.put(message("a", payload=b"p" * size, headers=b"old"), message("b", priority=3))
    drive.run(oc.Retry(headers=b"new", priority=7, expires_ms=until))
    record = drive.record("a", full=True)
    assert (record.headers, record.priority, record.expires_ms) == (b"new", 7, until)
    first, second = drive.claim(2)
    assert (first.id, second.id) == ("b", "a"), "the priority it has now counts"
    assert (second.headers, second.priority, second.expires_ms) == (b"new", 7, until)
    assert second.payload == b"p" * size
    drive.commit(second, oc.Retry(delay_ms=5, queue="other"))
    record = drive.record("a", full=True)
    assert (record.headers, record.priority, record.expires_ms) == (b"new", 7, until), "and stay"
    drive.clock.advance(1_000)
    assert drive.claim(1, ("other",)) == ()
    assert drive.state("a") == State.REVOKED


def test_a_retry_may_be_more_urgent_than_its_message_was(drive: Driver) -> None:
    drive.put_one("a", priority=9)
    claim = drive.claim_one()
    drive.put(message("b", priority=5))
    drive.commit(claim, oc.Retry(priority=0))
    assert [c.id for c in drive.claim(2)] == ["a", "b"]


def test_a_retry_at_once_goes_to_the_end_of_the_queue(drive: Driver) -> None:
    drive.put(message("a"), message("b"))
    drive.run(oc.Retry())
    assert [c.id for c in drive.claim(2)] == ["b", "a"]


def test_what_was_released_is_uncounted_and_keeps_its_place(drive: Driver) -> None:
    drive.put(message("a"), message("b"))
    drive.run(oc.Released())
    record = drive.record("a")
    assert (record.state, record.delivery, record.first_started_ms) == (State.QUEUED, 0, None)
    first, _ = drive.claim(2)
    assert (first.id, first.delivery) == ("a", 1)


def test_a_bounce_is_counted_as_a_bounce_and_comes_back_later(drive: Driver) -> None:
    drive.put_one("a")
    drive.run(oc.Released(delay_ms=10, bounce=True))
    assert drive.claim(1) == ()
    drive.clock.advance(10)
    claim = drive.claim_one()
    assert (claim.bounces, claim.delivery) == (1, 1)
    assert "unknown task" in drive.events("a")


def test_one_that_was_stopped_while_it_ran_is_counted_as_given_back(drive: Driver) -> None:
    drive.put_one("a")
    drive.run(oc.Released(begun=True))
    claim = drive.claim_one()
    assert (claim.bounces, claim.delivery) == (1, 1)
    assert "unknown task" not in drive.events("a")
    drive.commit(claim, oc.Retry())
    assert drive.claim_one().bounces == 0, "an attempt has its own count"


def test_the_doomed_come_back_with_their_failure(drive: Driver) -> None:
    drive.put(message("a"), message("b"))
    drive.run(oc.KilledAtLimit(failure=b"killed"))
    claim = drive.claim_one()
    assert (claim.id, claim.limit_failure, claim.delivery) == ("a", b"killed", 2)
    drive.commit(claim, oc.Failed(failure=b"killed", reason="time limit"))
    assert drive.record("a").reason == "time limit"
    assert drive.events("a") == ["enqueued", "started", "doomed", "started", "failed"]


def test_the_doomed_whose_hooks_were_killed_as_well_are_buried_without_them(drive: Driver) -> None:
    drive.put_one("a")
    drive.run(oc.KilledAtLimit(failure=b"first"))
    drive.run(oc.KilledAtLimit(failure=b"second"))
    record = drive.record("a")
    assert (record.state, record.reason, record.failure) == (State.FAILED, "time limit", b"first")
    assert record.delivery == 2, "not after all the deliveries that are left"


def test_hooks_of_one_that_killed_its_workers_have_one_chance(drive: Driver) -> None:
    drive.put_one("a", max_deliveries=1)
    drive.claim_one()
    drive.lapse()
    drive.run(oc.KilledAtLimit(failure=b"killed"))
    record = drive.record("a")
    assert (record.state, record.reason, record.failure) == (State.FAILED, "time limit", b"killed")


def test_an_ignored_one_ends_without_result(drive: Driver) -> None:
    drive.put_one("a")
    drive.run(oc.Ignored())
    record = drive.record("a")
    assert (record.state, record.reason) == (State.REVOKED, "ignored")


def test_a_rejected_one_is_a_dead_letter(drive: Driver) -> None:
    drive.put_one("a", payload=b"p")
    drive.run(oc.Rejected(failure=b"f"))
    record = drive.record("a", full=True)
    assert (record.state, record.reason, record.payload) == (State.FAILED, "rejected", b"p")


def test_a_rejected_one_with_requeue_is_delivered_again_up_to_the_limit(drive: Driver) -> None:
    drive.put_one("a", max_deliveries=2)
    drive.run(oc.Rejected(requeue=True))
    assert drive.state("a") == State.QUEUED
    assert drive.run(oc.Rejected(requeue=True)).delivery == 2
    record = drive.record("a")
    assert (record.state, record.reason) == (State.FAILED, "delivery limit")


AGAIN = [
    oc.Retry(),
    oc.Released(),
    oc.KilledAtLimit(),
    oc.Rejected(requeue=True),
    oc.KeyAssigned(once=once()),
    oc.Replaced(messages=(message("graft", edges=()),)),
]


@pytest.mark.parametrize("outcome", AGAIN, ids=lambda o: type(o).__name__)
def test_a_revoked_one_does_not_run_again(drive: Driver, outcome: oc.Outcome) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    drive.store.revoke(["a"])
    assert drive.commit(claim, outcome) == Verdict.COMMITTED
    record = drive.record("a")
    assert (record.state, record.reason) == (State.REVOKED, "revoked")


def test_a_revoked_one_may_still_succeed(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    drive.store.revoke(["a"])
    drive.commit(claim, oc.Succeeded(result=b"r"))
    assert drive.state("a") == State.SUCCEEDED


def test_a_terminated_one_ends_revoked(drive: Driver) -> None:
    drive.put_one("a")
    drive.run(oc.Revoked())
    record = drive.record("a")
    assert (record.state, record.reason) == (State.REVOKED, "terminated")


def test_a_message_whose_key_was_missing_is_admitted_under_it(drive: Driver) -> None:
    drive.put(message("a"), message("b"))
    drive.run(oc.KeyAssigned(once=once()))
    assert drive.holder() == "a"
    claim = drive.claim_one()
    assert (claim.id, claim.delivery, claim.once_key) == ("a", 1, "key")


def test_a_message_whose_missing_key_is_held_follows_the_holder(drive: Driver) -> None:
    drive.put(message("a", delay_ms=10, once=once()), message("b"))
    drive.run(oc.KeyAssigned(once=once()))
    record = drive.record("b")
    assert (record.state, record.mirrors) == (State.WAITING, "a")
    drive.clock.advance(10)
    drive.run(oc.Succeeded(result=b"r"))
    assert drive.record("b").result == b"r"


def test_results_and_dead_letters_are_deleted_after_their_time(drive: Driver) -> None:
    times = {"result_ttl_ms": 100, "failure_ttl_ms": 300}
    drive.put(*(message(name, **times) for name in ("good", "bad")))
    drive.run(oc.Succeeded(result=b"r"))
    drive.run(oc.Failed())
    drive.clock.advance(99)
    assert drive.store.reap().deleted == 0
    drive.clock.advance(1)
    assert drive.store.reap().deleted == 1
    assert [r is not None for r in drive.store.read(["good", "bad"])] == [False, True]
    drive.clock.advance(200)
    assert drive.store.reap().deleted == 1
    assert drive.store.read(["bad"]) == (None,)


def test_a_time_of_nought_keeps_a_result_for_ever(drive: Driver) -> None:
    drive.put_one("a", result_ttl_ms=0)
    drive.run(oc.Succeeded(result=b"r"))
    drive.clock.advance(10**12)
    assert drive.store.reap().deleted == 0
    assert drive.record("a").result == b"r"


def test_old_lines_of_the_trail_are_deleted(drive: Driver) -> None:
    drive.put_one("a")
    drive.clock.advance(drive.store.options.audit_ttl_ms)
    drive.put_one("b")
    drive.store.reap()
    assert drive.events("a") == []
    assert drive.events("b") == ["enqueued"]


@pytest.mark.parametrize("size", SIZES)
def test_a_message_that_takes_the_place_of_a_dead_letter_has_its_own_payload(
    drive: Driver, size: int
) -> None:
    drive.put_one("a", payload=b"p" * 5_000, token="first")
    drive.run(oc.Failed())
    drive.put_one("a", payload=b"q" * size, token="second")
    assert drive.run().payload == b"q" * size


@pytest.mark.parametrize("size", SIZES)
def test_a_dead_letter_that_is_dropped_takes_its_payload_along(drive: Driver, size: int) -> None:
    drive.put_one("a", payload=b"p" * size)
    drive.run(oc.Failed())
    assert drive.store.drop(["a"]) == 1
    assert drive.store.read(["a"], full=True) == (None,)
