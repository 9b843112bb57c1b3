"""Once-locks: part of the message, taken when it is stored and freed when it ends."""

from collections.abc import Callable

import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.store.values import ReceiptKind
from tests.store.driver import Driver, edge, message, once

HELD_FROM_ENQUEUE = [
    "until_executed",
    "until_executing",
    "until_and_while_executing",
    "until_expired",
]


@pytest.mark.parametrize("scope", HELD_FROM_ENQUEUE)
def test_a_second_message_with_the_key_is_a_duplicate(drive: Driver, scope: str) -> None:
    drive.put_one("a", once=once(scope=scope))
    receipt = drive.put_one("b", once=once(scope=scope))
    assert (receipt.kind, receipt.holder) == (ReceiptKind.DUPLICATE, "a")
    assert drive.store.read(["b"]) == (None,)
    assert drive.events("a") == ["enqueued", "duplicate"]


def test_other_keys_are_other_locks(drive: Driver) -> None:
    drive.put(message("a", once=once("x")), message("b", once=once("y")))
    assert [lock.name for lock in drive.store.locks()] == ["x", "y"]


def test_a_lock_tells_its_owner_and_fence(drive: Driver) -> None:
    drive.put_one("a", once=once(timeout_ms=500))
    (lock,) = drive.store.locks("key")
    assert (lock.name, lock.owner, lock.parked) == ("key", "a", ())
    assert (lock.since_ms, lock.until_ms) == (drive.clock.now, drive.clock.now + 500)
    assert lock.fence > 0


def test_the_countdown_is_the_rest_of_the_timeout(drive: Driver) -> None:
    drive.put_one("a", once=once(timeout_ms=500), delay_ms=9000)
    drive.clock.advance(100)
    assert drive.put_one("b", once=once()).countdown_ms == 400


def test_without_a_timeout_the_countdown_is_the_rest_of_the_delay(drive: Driver) -> None:
    drive.put_one("a", once=once(), delay_ms=900)
    drive.clock.advance(100)
    assert drive.put_one("b", once=once()).countdown_ms == 800
    drive.clock.advance(800)
    drive.claim_one()
    assert drive.put_one("c", once=once()).countdown_ms == 0


def test_a_key_past_its_timeout_is_free_though_its_holder_lives(drive: Driver) -> None:
    drive.put_one("a", once=once(timeout_ms=500), delay_ms=9000)
    drive.clock.advance(500)
    assert drive.store.locks() == ()
    assert drive.put_one("b", once=once()).kind == ReceiptKind.CREATED
    assert drive.holder() == "b"
    drive.store.revoke(["a"])
    assert drive.holder() == "b"


def test_waiting_longer_than_any_time_does_not_free_a_key_without_timeout(drive: Driver) -> None:
    drive.put_one("a", once=once(), delay_ms=10**9)
    drive.clock.advance(10**8)
    drive.store.reap()
    assert drive.put_one("b", once=once()).kind == ReceiptKind.DUPLICATE


def _claimed(outcome: oc.Outcome) -> Callable[[Driver], None]:
    def end(drive: Driver) -> None:
        claim = next(c for c in drive.claim(10) if c.id == "a")
        drive.commit(claim, outcome)

    return end


def _expire(drive: Driver) -> None:
    drive.clock.advance(1000)
    drive.store.reap()


def _expire_at_claim(drive: Driver) -> None:
    drive.clock.advance(1000)
    assert drive.claim(10) == ()


def _revoke_running(drive: Driver) -> None:
    claim = drive.claim_one()
    drive.store.revoke(["a"])
    drive.commit(claim, oc.Retry())


def _die_too_often(drive: Driver) -> None:
    while drive.state("a") != State.FAILED:
        drive.claim_one()
        drive.lapse()


def _revoked_and_reaped(drive: Driver) -> None:
    drive.claim_one()
    drive.store.revoke(["a"])
    drive.lapse()


ENDINGS: dict[str, Callable[[Driver], object]] = {
    "succeeded": _claimed(oc.Succeeded()),
    "failed": _claimed(oc.Failed()),
    "ignored": _claimed(oc.Ignored()),
    "rejected": _claimed(oc.Rejected()),
    "terminated": _claimed(oc.Revoked()),
    "revoked": lambda drive: drive.store.revoke(["a"]),
    "revoked while it ran": _revoke_running,
    "revoked and reaped": _revoked_and_reaped,
    "expired": _expire,
    "expired at its claim": _expire_at_claim,
    "purged": lambda drive: drive.store.purge("celery"),
    "delivery limit": _die_too_often,
}


@pytest.mark.parametrize("scope", HELD_FROM_ENQUEUE[:3])
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_frees_the_key(drive: Driver, ending: str, scope: str) -> None:
    expires = drive.clock.now + 1000 if "expired" in ending else None
    drive.put_one("a", once=once(scope=scope), expires_ms=expires, max_deliveries=1)
    ENDINGS[ending](drive)
    assert drive.record("a").ended_ms == drive.clock.now
    assert drive.store.locks() == ()
    assert drive.put_one("b", once=once(scope=scope)).kind == ReceiptKind.CREATED


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_lets_the_next_in_line_go_on(drive: Driver, ending: str) -> None:
    expires = drive.clock.now + 1000 if "expired" in ending else None
    drive.put_one("a", once=once(), expires_ms=expires, max_deliveries=1)
    drive.put_one("b", once=once(on_conflict="reschedule"), queue="behind")
    assert drive.state("b") == State.WAITING
    assert drive.store.locks()[0].parked == ("b",)
    ENDINGS[ending](drive)
    assert drive.state("b") == State.QUEUED
    assert drive.holder() == "b"


def test_a_failed_parent_frees_the_key_of_its_child(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("b"),)), message("b", waits=1, once=once()))
    assert drive.holder() == "b"
    drive.run(oc.Failed())
    assert (drive.state("b"), drive.store.locks()) == (State.FAILED, ())


def test_until_expired_holds_beyond_the_end_until_its_timeout(drive: Driver) -> None:
    drive.put_one("a", once=once(scope="until_expired", timeout_ms=500), result_ttl_ms=100)
    drive.run()
    drive.clock.advance(499)
    drive.store.reap()
    assert drive.store.read(["a"]) == (None,)
    assert drive.put_one("b", once=once()).holder == "a"
    drive.clock.advance(1)
    assert drive.put_one("b", once=once()).kind == ReceiptKind.CREATED


def test_until_executing_is_free_as_soon_as_it_runs(drive: Driver) -> None:
    drive.put_one("a", once=once(scope="until_executing"))
    drive.claim_one()
    assert drive.store.locks() == ()
    assert drive.put_one("b", once=once(scope="until_executing")).kind == ReceiptKind.CREATED


def test_until_executing_takes_the_key_again_for_a_retry(drive: Driver) -> None:
    drive.put_one("a", once=once(scope="until_executing"))
    drive.run(oc.Retry(delay_ms=10))
    assert drive.holder() == "a"


def test_a_retry_whose_key_was_taken_meanwhile_goes_on_without(drive: Driver) -> None:
    drive.put_one("a", once=once(scope="until_executing"))
    claim = drive.claim_one()
    drive.put_one("b", once=once(scope="until_executing"))
    drive.commit(claim, oc.Retry(delay_ms=10))
    assert drive.holder() == "b"
    assert drive.state("a") == State.SCHEDULED


def test_while_executing_lets_many_wait_and_one_run(drive: Driver) -> None:
    drive.put(*(message(name, once=once(scope="while_executing")) for name in "abc"))
    (first,) = drive.claim(10)
    assert [drive.state(name) for name in "bc"] == [State.WAITING] * 2
    assert drive.store.locks()[0].parked == ("b", "c")
    drive.commit(first)
    (second,) = drive.claim(10)
    assert (first.id, second.id) == ("a", "b")


def test_when_the_next_in_turn_ends_unrun_it_is_the_turn_of_the_one_behind_it(
    drive: Driver,
) -> None:
    drive.put(*(message(name, once=once(scope="while_executing")) for name in "abc"))
    (first,) = drive.claim(10)
    drive.commit(first)
    drive.store.revoke(["b"])
    (next_one,) = drive.claim(10)
    assert next_one.id == "c"


@pytest.mark.parametrize("outcome", [oc.Retry(delay_ms=1), oc.Released(), oc.KilledAtLimit()])
def test_while_executing_is_freed_when_the_attempt_is_over(
    drive: Driver, outcome: oc.Outcome
) -> None:
    drive.put_one("a", once=once(scope="while_executing"))
    drive.run(outcome)
    assert drive.store.locks() == ()


def test_while_executing_is_freed_when_the_worker_dies(drive: Driver) -> None:
    drive.put(*(message(name, once=once(scope="while_executing")) for name in "ab"))
    drive.claim(10)
    drive.lapse()
    assert drive.store.locks() == ()
    assert [c.id for c in drive.claim(10)] == ["a"]


def test_until_and_while_executing_lets_one_run_and_one_wait(drive: Driver) -> None:
    scope = "until_and_while_executing"
    drive.put_one("a", once=once(scope=scope))
    claim = drive.claim_one()
    assert drive.put_one("b", once=once(scope=scope)).kind == ReceiptKind.CREATED
    assert drive.put_one("c", once=once(scope=scope)).kind == ReceiptKind.DUPLICATE
    assert drive.claim(10) == ()
    drive.commit(claim)
    assert [c.id for c in drive.claim(10)] == ["b"]


def test_replace_gives_the_waiting_one_the_newest_arguments(drive: Driver) -> None:
    drive.put_one("a", once=once(on_conflict="replace"), payload=b"old", headers=b"h")
    receipt = drive.put_one("b", once=once(on_conflict="replace"), payload=b"new")
    assert (receipt.kind, receipt.holder) == (ReceiptKind.REPLACED, "a")
    record = drive.record("a", full=True)
    assert (record.payload, record.headers) == (b"new", b"")
    assert drive.store.read(["b"]) == (None,)
    assert drive.events("a") == ["enqueued", "replaced"]


def test_replace_cannot_change_one_that_runs(drive: Driver) -> None:
    drive.put_one("a", once=once(on_conflict="replace"), payload=b"old")
    drive.claim_one()
    receipt = drive.put_one("b", once=once(on_conflict="replace"), payload=b"new")
    assert receipt.kind == ReceiptKind.DUPLICATE
    assert drive.record("a", full=True).payload == b"old"


def test_rerun_runs_once_more_with_the_newest_arguments(drive: Driver) -> None:
    policy = once(on_conflict="rerun")
    drive.put_one("a", once=policy)
    claim = drive.claim_one()
    assert drive.put_one("b", once=policy, payload=b"1").kind == ReceiptKind.RERUN
    third = drive.put_one("c", once=policy, payload=b"2")
    assert (third.kind, third.holder) == (ReceiptKind.RERUN, "b")
    drive.commit(claim)
    again = drive.claim_one()
    assert (again.id, again.payload) == ("b", b"2")
    drive.commit(again)
    assert drive.claim(10) == ()


def test_rerun_replaces_while_the_first_still_waits(drive: Driver) -> None:
    policy = once(on_conflict="rerun")
    drive.put_one("a", once=policy)
    receipt = drive.put_one("b", once=policy, payload=b"new")
    assert (receipt.kind, receipt.holder) == (ReceiptKind.REPLACED, "a")


def test_reschedule_waits_in_line_and_keeps_its_order(drive: Driver) -> None:
    policy = once(on_conflict="reschedule")
    drive.put(*(message(name, once=policy) for name in "abc"))
    assert drive.store.locks()[0].parked == ("b", "c")
    for name in "abc":
        assert drive.run().id == name


def test_a_parked_one_that_is_revoked_leaves_the_line(drive: Driver) -> None:
    policy = once(on_conflict="reschedule")
    drive.put(*(message(name, once=policy) for name in "abc"))
    drive.store.revoke(["b"])
    drive.run()
    assert drive.holder() == "c"


def test_the_delay_of_a_parked_one_counts_from_its_turn(drive: Driver) -> None:
    policy = once(on_conflict="reschedule")
    drive.put(message("a", once=policy), message("b", once=policy, delay_ms=50))
    drive.clock.advance(200)
    drive.run()
    assert drive.record("b").due_ms == drive.clock.now + 50


def test_those_in_line_go_on_when_the_timeout_passes(drive: Driver) -> None:
    drive.put_one("a", once=once(timeout_ms=500), delay_ms=9000)
    drive.put_one("b", once=once(on_conflict="reschedule"))
    drive.clock.advance(500)
    assert drive.store.reap().unparked == 1
    assert (drive.state("b"), drive.holder()) == (State.QUEUED, "b")


def test_a_joining_duplicate_ends_as_the_holder_ends(drive: Driver) -> None:
    drive.put_one("a", once=once())
    receipt = drive.put_one("b", once=once(), joins_duplicate=True)
    assert (receipt.kind, receipt.holder) == (ReceiptKind.JOINED, "a")
    assert drive.record("b").mirrors == "a"
    drive.run(oc.Succeeded(result=b"r"))
    record = drive.record("b")
    assert (record.state, record.result) == (State.SUCCEEDED, b"r")
    assert drive.claim(10) == ()


def test_a_joining_duplicate_fails_with_the_holder(drive: Driver) -> None:
    drive.put_one("a", once=once())
    drive.put_one("b", once=once(), joins_duplicate=True)
    drive.run(oc.Failed(failure=b"f"))
    record = drive.record("b")
    assert (record.state, record.reason, record.failure) == (State.FAILED, "mirror", b"f")


def test_joining_the_ended_holder_of_a_lasting_key_ends_at_once(drive: Driver) -> None:
    lasting = once(scope="until_expired", timeout_ms=500)
    drive.put_one("a", once=lasting)
    drive.run(oc.Succeeded(result=b"r"))
    drive.put_one("b", once=lasting, joins_duplicate=True)
    assert drive.record("b").result == b"r"


def test_joining_a_holder_of_whom_nothing_is_left_is_a_duplicate(drive: Driver) -> None:
    lasting = once(scope="until_expired", timeout_ms=500)
    drive.put_one("a", once=lasting)
    drive.run()
    drive.store.drop(["a"])
    drive.put_one("b", once=lasting, joins_duplicate=True)
    record = drive.record("b")
    assert (record.state, record.reason) == (State.REVOKED, "duplicate")


def test_a_repeated_enqueue_is_answered_as_the_first_was(drive: Driver) -> None:
    policy = once(on_conflict="rerun")
    drive.put_one("a", once=policy)
    drive.claim_one()
    for name, fields in (("b", {}), ("c", {"joins_duplicate": True})):
        first = drive.put_one(name, once=policy, **fields)
        assert drive.put_one(name, once=policy, **fields) == first


def test_the_key_is_held_through_retry_release_crash_and_claim(drive: Driver) -> None:
    drive.put_one("a", once=once())
    drive.run(oc.Retry())
    drive.run(oc.Released())
    drive.claim_one()
    drive.lapse()
    drive.claim_one()
    assert drive.holder() == "a"
    (fences,) = {lock.fence for lock in drive.store.locks()}
    assert fences < drive.record("a").fence


def test_a_lock_is_freed_by_hand_only_from_its_owner(drive: Driver) -> None:
    drive.put_one("a", once=once())
    assert not drive.store.release_lock("key", "b")
    assert not drive.store.release_lock("other", "a")
    assert drive.store.release_lock("key", "a")
    assert drive.store.locks() == ()
    assert drive.events("a") == ["enqueued", "unlocked"]


def test_freeing_a_lock_by_hand_lets_the_next_go_on(drive: Driver) -> None:
    policy = once(on_conflict="reschedule")
    drive.put(message("a", once=policy), message("b", once=policy))
    drive.store.release_lock("key", "a")
    assert drive.holder() == "b"


def test_locks_are_listed_by_name(drive: Driver) -> None:
    drive.put(*(message(f"m{name}", once=once(name)) for name in "zab"))
    assert [lock.name for lock in drive.store.locks()] == ["a", "b", "z"]
    assert drive.store.locks("nothing") == ()
