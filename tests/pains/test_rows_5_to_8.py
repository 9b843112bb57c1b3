"""What users of once-locks have suffered: locks that stay, lapse, or have no task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import AlreadyQueued, Ignore, Reject
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.message import State
from reliable_tasks.core.outcome import KilledAtLimit, Succeeded
from reliable_tasks.errors import (
    MessageTooLarge,
    SoftTimeLimitExceeded,
    StoreUnavailable,
    TimeLimitExceeded,
)
from reliable_tasks.store.values import Commit, ReceiptKind, Verdict
from tests.faults.failing import FailingStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pains.harness import Harness

AT_ENQUEUE = ["until_executed", "until_executing", "until_and_while_executing"]
SCOPES = [*AT_ENQUEUE, "while_executing"]


def raising(exc: BaseException) -> Callable[[Harness, Any], None]:
    def end(harness: Harness, _: Any) -> None:
        def fail() -> None:
            raise exc

        harness.during = fail
        harness.run()

    return end


def expire(harness: Harness, _: Any) -> None:
    harness.time.advance(3600)
    harness.run()


def die_each_time(harness: Harness, result: Any) -> None:
    while harness.record(result).state != State.FAILED:
        harness.claim()
        harness.lapse()
    assert harness.record(result).reason == "delivery limit"


def hit_the_hard_limit(harness: Harness, _: Any) -> None:
    claim = harness.claim()
    failure = encode_failure(TimeLimitExceeded("60 s"))
    commit = Commit(id=claim.id, fence=claim.fence, outcome=KilledAtLimit(failure=failure))
    harness.store.exchange("supervisor", [commit], None)
    harness.run()


def be_revoked_while_it_runs(harness: Harness, result: Any) -> None:
    harness.claim()
    result.revoke(terminate=True)
    harness.lapse()


ENDINGS: dict[str, Callable[[Harness, Any], object]] = {
    "success": lambda harness, _: harness.run(),
    "failure": raising(ValueError("no")),
    "soft limit": raising(SoftTimeLimitExceeded()),
    "hard limit": hit_the_hard_limit,
    "Ignore": raising(Ignore()),
    "Reject": raising(Reject("no")),
    "expiry": expire,
    "revocation": lambda _, result: result.revoke(),
    "termination": be_revoked_while_it_runs,
    "purge": lambda harness, _: harness.app.control.purge(),
    "crashes": die_each_time,
}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_pain_5_a_dedup_lock_is_never_stuck_after_any_ending(
    harness: Harness, ending: str, scope: str
) -> None:
    harness.app.conf.max_deliveries = 2
    task = harness.task(once={"scope": scope})
    first = task.apply_async((1,), expires=60 if ending == "expiry" else None)
    ENDINGS[ending](harness, first)
    assert first.ready()
    assert harness.store.locks() == ()
    second = task.delay(1)
    assert second.id != first.id
    assert harness.run() == [1], "accepted and run, at once"


def test_pain_5_a_crash_leaves_the_lock_with_the_message_that_will_run_again(
    harness: Harness,
) -> None:
    task = harness.task()
    first = task.delay(1)
    harness.claim()
    with pytest.raises(AlreadyQueued):
        task.delay(1)
    harness.lapse()
    with pytest.raises(AlreadyQueued):
        task.delay(1)
    assert harness.run() == [1]
    assert first.successful()
    assert task.delay(1)


@pytest.mark.parametrize("wait_s", [59, 3601, 7200, 86_400 * 40])
def test_pain_6_a_lock_outlasts_whatever_wait_in_the_queue(harness: Harness, wait_s: int) -> None:
    task = harness.task()
    first = task.apply_async((1,), countdown=wait_s)
    harness.time.advance(wait_s - 1)
    harness.store.reap()
    with pytest.raises(AlreadyQueued) as told:
        task.delay(1)
    assert (told.value.task_id, told.value.countdown) == (first.id, 1.0)
    assert harness.run() == [1], "there was one"


def test_pain_6_a_lock_outlasts_a_long_run_and_its_retries(harness: Harness) -> None:
    task = harness.task(
        autoretry_for=(OSError,), retry_kwargs={"countdown": 5000, "max_retries": 2}
    )
    refused: list[str | None] = []

    def later() -> None:
        harness.time.advance(10_000)
        with pytest.raises(AlreadyQueued) as told:
            task.delay(1)
        refused.append(told.value.task_id)
        harness.during = None if len(refused) == 2 else later
        raise OSError("again")

    harness.during = later
    result = task.delay(1)
    assert harness.run() == [1, 1, 1]
    assert refused == [result.id] * 2


def test_pain_6_a_timeout_is_a_cap_that_the_user_asks_for(harness: Harness) -> None:
    task = harness.task(once={"timeout": 3600})
    task.apply_async((1,), countdown=7200)
    harness.time.advance(3599.999)
    with pytest.raises(AlreadyQueued):
        task.delay(1)
    harness.time.advance(0.001)
    assert task.delay(1)


@pytest.mark.parametrize("applied", [False, True])
def test_pain_7_a_failed_publish_leaves_no_lock_without_a_task(
    harness: Harness, applied: bool
) -> None:
    task = harness.task()
    failing = FailingStore(harness.store, "enqueue", applied=applied)
    harness.app.store = failing
    with pytest.raises(StoreUnavailable):
        task.apply_async((1,), retry=False)
    harness.app.store = failing.inner
    locks = harness.store.locks()
    assert len(locks) == applied
    assert {lock.owner for lock in locks} == {r for r in failing.ids if applied}
    assert harness.run() == [1] * applied
    assert harness.store.locks() == ()
    task.delay(1)


@pytest.mark.parametrize("applied", [False, True])
def test_pain_7_a_publish_that_is_tried_again_is_no_duplicate_of_itself(
    harness: Harness, applied: bool
) -> None:
    task = harness.task()
    failing = FailingStore(harness.store, "enqueue", applied=applied, times=2)
    harness.app.store = failing
    result = task.apply_async((1,), retry_policy={"max_retries": 3, "interval_max": 0})
    assert result.receipt.kind == ReceiptKind.CREATED
    assert harness.run() == [1]


def test_pain_7_a_message_that_is_refused_takes_no_lock(harness: Harness) -> None:
    task = harness.task(once={"keys": []})
    with pytest.raises(MessageTooLarge):
        task.delay("x" * (harness.store.options.max_message_bytes + 1))
    assert harness.store.locks() == ()
    task.delay("small")


def test_pain_8_a_late_finisher_deletes_no_lock_but_its_own(harness: Harness) -> None:
    task = harness.task(once={"timeout": 60})
    late = task.delay(1)
    claim = harness.claim()
    harness.time.advance(61)
    second = task.delay(1)
    assert harness.holder(task, 1) == second.id
    commit = Commit(id=claim.id, fence=claim.fence, outcome=Succeeded())
    assert harness.store.exchange("dying", [commit], None).verdicts == (Verdict.COMMITTED,)
    assert late.successful()
    assert harness.holder(task, 1) == second.id


def test_pain_8_a_worker_thought_dead_frees_nothing_of_the_next_run(harness: Harness) -> None:
    task = harness.task()
    result = task.delay(1)
    lost = harness.claim("first")
    harness.lapse()
    harness.claim("second")
    commit = Commit(id=lost.id, fence=lost.fence, outcome=Succeeded())
    assert harness.store.exchange("first", [commit], None).verdicts == (Verdict.STALE,)
    assert harness.holder(task, 1) == result.id


def test_pain_8_direct_and_eager_calls_free_no_lock(harness: Harness) -> None:
    task = harness.task(once={"unlock_before_run": True})
    result = task.delay(1)
    assert task(1) == 1
    assert task.apply((1,)).get() == 1
    assert harness.holder(task, 1) == result.id
    assert not harness.store.release_lock(task.get_key((1,)), "somebody else")
