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

    from tests.pains.stage import Stage

AT_ENQUEUE = ["until_executed", "until_executing", "until_and_while_executing"]
SCOPES = [*AT_ENQUEUE, "while_executing"]


def raising(exc: BaseException) -> Callable[[Stage, Any], None]:
    def end(stage: Stage, _: Any) -> None:
        def fail() -> None:
            raise exc

        stage.during = fail
        stage.run()

    return end


def expire(stage: Stage, _: Any) -> None:
    stage.time.advance(3600)
    stage.run()


def die_each_time(stage: Stage, result: Any) -> None:
    while stage.record(result).state != State.FAILED:
        stage.claim()
        stage.lapse()
    assert stage.record(result).reason == "delivery limit"


def hit_the_hard_limit(stage: Stage, _: Any) -> None:
    claim = stage.claim()
    failure = encode_failure(TimeLimitExceeded("60 s"))
    commit = Commit(id=claim.id, fence=claim.fence, outcome=KilledAtLimit(failure=failure))
    stage.store.exchange("supervisor", [commit], None)
    stage.run()


def be_revoked_while_it_runs(stage: Stage, result: Any) -> None:
    stage.claim()
    result.revoke(terminate=True)
    stage.lapse()


ENDINGS: dict[str, Callable[[Stage, Any], object]] = {
    "success": lambda stage, _: stage.run(),
    "failure": raising(ValueError("no")),
    "soft limit": raising(SoftTimeLimitExceeded()),
    "hard limit": hit_the_hard_limit,
    "Ignore": raising(Ignore()),
    "Reject": raising(Reject("no")),
    "expiry": expire,
    "revocation": lambda _, result: result.revoke(),
    "termination": be_revoked_while_it_runs,
    "purge": lambda stage, _: stage.app.control.purge(),
    "crashes": die_each_time,
}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_pain_5_a_dedup_lock_is_never_stuck_after_any_ending(
    stage: Stage, ending: str, scope: str
) -> None:
    stage.app.conf.max_deliveries = 2
    task = stage.task(once={"scope": scope})
    first = task.apply_async((1,), expires=60 if ending == "expiry" else None)
    ENDINGS[ending](stage, first)
    assert first.ready()
    assert stage.store.locks() == ()
    second = task.delay(1)
    assert second.id != first.id
    assert stage.run() == [1], "accepted and run, at once"


def test_pain_5_a_crash_leaves_the_lock_with_the_message_that_will_run_again(stage: Stage) -> None:
    task = stage.task()
    first = task.delay(1)
    stage.claim()
    with pytest.raises(AlreadyQueued):
        task.delay(1)
    stage.lapse()
    with pytest.raises(AlreadyQueued):
        task.delay(1)
    assert stage.run() == [1]
    assert first.successful()
    assert task.delay(1)


@pytest.mark.parametrize("wait_s", [59, 3601, 7200, 86_400 * 40])
def test_pain_6_a_lock_outlasts_whatever_wait_in_the_queue(stage: Stage, wait_s: int) -> None:
    task = stage.task()
    first = task.apply_async((1,), countdown=wait_s)
    stage.time.advance(wait_s - 1)
    stage.store.reap()
    with pytest.raises(AlreadyQueued) as told:
        task.delay(1)
    assert (told.value.task_id, told.value.countdown) == (first.id, 1.0)
    assert stage.run() == [1], "there was one"


def test_pain_6_a_lock_outlasts_a_long_run_and_its_retries(stage: Stage) -> None:
    task = stage.task(autoretry_for=(OSError,), retry_kwargs={"countdown": 5000, "max_retries": 2})
    refused: list[str | None] = []

    def later() -> None:
        stage.time.advance(10_000)
        with pytest.raises(AlreadyQueued) as told:
            task.delay(1)
        refused.append(told.value.task_id)
        stage.during = None if len(refused) == 2 else later
        raise OSError("again")

    stage.during = later
    result = task.delay(1)
    assert stage.run() == [1, 1, 1]
    assert refused == [result.id] * 2


def test_pain_6_a_timeout_is_a_cap_that_the_user_asks_for(stage: Stage) -> None:
    task = stage.task(once={"timeout": 3600})
    task.apply_async((1,), countdown=7200)
    stage.time.advance(3599.999)
    with pytest.raises(AlreadyQueued):
        task.delay(1)
    stage.time.advance(0.001)
    assert task.delay(1)


@pytest.mark.parametrize("applied", [False, True])
def test_pain_7_a_failed_publish_leaves_no_lock_without_a_task(stage: Stage, applied: bool) -> None:
    task = stage.task()
    failing = FailingStore(stage.store, "enqueue", applied=applied)
    stage.app.store = failing
    with pytest.raises(StoreUnavailable):
        task.apply_async((1,), retry=False)
    stage.app.store = failing.inner
    locks = stage.store.locks()
    assert len(locks) == applied
    assert {lock.owner for lock in locks} == {r for r in failing.ids if applied}
    assert stage.run() == [1] * applied
    assert stage.store.locks() == ()
    task.delay(1)


@pytest.mark.parametrize("applied", [False, True])
def test_pain_7_a_publish_that_is_tried_again_is_no_duplicate_of_itself(
    stage: Stage, applied: bool
) -> None:
    task = stage.task()
    failing = FailingStore(stage.store, "enqueue", applied=applied, times=2)
    stage.app.store = failing
    result = task.apply_async((1,), retry_policy={"max_retries": 3, "interval_max": 0})
    assert result.receipt.kind == ReceiptKind.CREATED
    assert stage.run() == [1]


def test_pain_7_a_message_that_is_refused_takes_no_lock(stage: Stage) -> None:
    task = stage.task(once={"keys": []})
    with pytest.raises(MessageTooLarge):
        task.delay("x" * (stage.store.options.max_message_bytes + 1))
    assert stage.store.locks() == ()
    task.delay("small")


def test_pain_8_a_late_finisher_deletes_no_lock_but_its_own(stage: Stage) -> None:
    task = stage.task(once={"timeout": 60})
    late = task.delay(1)
    claim = stage.claim()
    stage.time.advance(61)
    second = task.delay(1)
    assert stage.holder(task, 1) == second.id
    commit = Commit(id=claim.id, fence=claim.fence, outcome=Succeeded())
    assert stage.store.exchange("dying", [commit], None).verdicts == (Verdict.COMMITTED,)
    assert late.successful()
    assert stage.holder(task, 1) == second.id


def test_pain_8_a_worker_thought_dead_frees_nothing_of_the_next_run(stage: Stage) -> None:
    task = stage.task()
    result = task.delay(1)
    lost = stage.claim("first")
    stage.lapse()
    stage.claim("second")
    commit = Commit(id=lost.id, fence=lost.fence, outcome=Succeeded())
    assert stage.store.exchange("first", [commit], None).verdicts == (Verdict.STALE,)
    assert stage.holder(task, 1) == result.id


def test_pain_8_direct_and_eager_calls_free_no_lock(stage: Stage) -> None:
    task = stage.task(once={"unlock_before_run": True})
    result = task.delay(1)
    assert task(1) == 1
    assert task.apply((1,)).get() == 1
    assert stage.holder(task, 1) == result.id
    assert not stage.store.release_lock(task.get_key((1,)), "somebody else")
