"""Handles on messages: what they tell, how they wait, what they raise."""

from __future__ import annotations

import asyncio
import datetime as dt
import pickle
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from reliable_tasks import AsyncResult, allow_join_result
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.message import State
from reliable_tasks.errors import (
    ReliableTasksError,
    RemoteError,
    StoreUnavailable,
    TaskRevokedError,
    TimeoutError,  # noqa: A004 - Celery's name
)
from reliable_tasks.results.result import state_of
from reliable_tasks.store import values as v
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.results.driver import Driver


class Strange(Exception):
    """A class of a module that is not imported here."""

    __module__ = "elsewhere"


def success(value: Any) -> oc.Succeeded:
    return oc.Succeeded(result=dumps(value))


def failure(exc: BaseException) -> oc.Failed:
    return oc.Failed(failure=encode_failure(exc, "Traceback: here"))


# States ------------------------------------------------------------------------------------------


def test_states_go_by_celerys_names(driver: Driver) -> None:
    result = driver.call()
    assert result.state == result.status == "PENDING"
    claim = driver.claim()
    assert result.state == "STARTED"
    driver.app.store.report(result.id, claim.fence, "PROGRESS", dumps({"p": 10}))
    assert (result.state, result.info) == ("PROGRESS", {"p": 10})
    retry = oc.Retry(delay_ms=0, failure=encode_failure(KeyError("k")))
    driver.app.store.exchange("s", (v.Commit(id=claim.id, fence=claim.fence, outcome=retry),), None)
    assert result.state == "RETRY"
    assert isinstance(result.result, KeyError)
    assert result.retries == 1
    driver.end(success(5))
    assert result.state == "SUCCESS"
    assert result.get() == 5


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"state": State.WAITING}, "PENDING"),
        ({"state": State.SCHEDULED}, "PENDING"),
        ({"state": State.SCHEDULED, "attempt": 2}, "RETRY"),
        ({"state": State.QUEUED}, "PENDING"),
        ({"state": State.QUEUED, "attempt": 2}, "RETRY"),
        ({"state": State.QUEUED, "delivery": 2}, "PENDING"),
        ({"state": State.RUNNING}, "STARTED"),
        ({"state": State.RUNNING, "progress_state": "HALF"}, "HALF"),
        ({"state": State.SUCCEEDED}, "SUCCESS"),
        ({"state": State.FAILED, "reason": "failed"}, "FAILURE"),
        ({"state": State.FAILED, "reason": "parent", "failure": b"x"}, "FAILURE"),
        ({"state": State.FAILED, "reason": "parent"}, "REVOKED"),
        ({"state": State.FAILED, "reason": "parent", "joins": True}, "FAILURE"),
        ({"state": State.REVOKED, "reason": "expired"}, "REVOKED"),
        ({"state": State.REVOKED, "reason": "ignored"}, "IGNORED"),
        ({"state": State.REVOKED, "reason": "ignored", "progress_state": "SKIP"}, "SKIP"),
    ],
)
def test_every_state_of_a_record_has_a_name(fields: dict[str, Any], state: str) -> None:
    record = v.Record(id="a", task="add", queue="celery", priority=0, **fields)
    assert state_of(record) == state


def test_an_unknown_id_is_pending_and_does_not_exist(driver: Driver) -> None:
    result: AsyncResult[Any] = AsyncResult("no such")
    assert (result.state, result.ready(), result.exists()) == ("PENDING", False, False)
    assert (result.result, result.traceback, result.date_done) == (None, None, None)
    assert (result.name, result.retries, result.queue, result.worker) == (None, None, None, None)
    assert (result.args, result.kwargs) == (None, None)


# Values ------------------------------------------------------------------------------------------


def test_success_gives_the_value_and_all_there_is_to_know(driver: Driver) -> None:
    result = driver.call(2, queue="celery")
    before = dt.datetime.now(dt.UTC)
    driver.end(success((1, {"a": dt.date(2030, 1, 1)})))
    assert result.get() == (1, {"a": dt.date(2030, 1, 1)}), "with Python's own types"
    assert result.successful()
    assert not result.failed()
    assert (result.name, result.queue, result.worker) == ("add", "celery", "w@h")
    assert result.date_done is not None
    assert abs(result.date_done - before) < dt.timedelta(minutes=1)


def test_a_result_that_is_not_kept_is_none(driver: Driver) -> None:
    result = driver.call()
    driver.end(oc.Succeeded(result=dumps(5), keep=False))
    assert result.get() is None
    assert result.successful()


def test_failure_raises_what_the_body_raised(driver: Driver) -> None:
    result = driver.call(7)
    driver.end(failure(KeyError("k")))
    with pytest.raises(KeyError, match="k"):
        result.get()
    assert isinstance(result.get(propagate=False), KeyError)
    assert result.traceback == "Traceback: here"
    assert result.failed()
    assert result.args == (7,), "a dead letter keeps its arguments"
    with pytest.raises(KeyError):
        result.maybe_throw()
    assert isinstance(result.maybe_reraise(propagate=False), KeyError)


def test_an_exception_of_a_class_that_is_not_registered_gets_a_faithful_stand_in(
    driver: Driver,
) -> None:
    first = driver.call()
    driver.end(failure(Strange("odd", 7)))
    with pytest.raises(RemoteError, match="odd") as caught:
        first.get()
    assert type(caught.value).__name__ == "Strange"
    assert not isinstance(caught.value, Strange)
    driver.app.exceptions.register(Strange)
    with pytest.raises(Strange) as own:
        AsyncResult(first.id).get()
    assert own.value.args == ("odd", 7)


def test_a_revoked_message_raises_and_says_why(driver: Driver) -> None:
    result = driver.call()
    assert result.revoke() == "revoked"
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get()
    assert result.revoke() == "ended"


# Waiting -----------------------------------------------------------------------------------------


def test_get_gives_up_after_its_timeout(driver: Driver) -> None:
    with pytest.raises(TimeoutError, match=r"had not ended after 0\.05 s"):
        driver.call().get(timeout=0.05)


def test_pain_22_get_returns_although_no_notification_comes(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever `read_ended` misses, it is asked again."""
    result = driver.call()
    read_ended = driver.app.store.read_ended
    misses: Iterator[Callable[[], None]] = iter([lambda: None, lambda: driver.end(success(5))])

    def deaf(message_id: str, timeout: float) -> v.Record | None:
        missed = next(misses, None)
        if missed is None:
            return read_ended(message_id, timeout)
        missed()
        return None

    monkeypatch.setattr(driver.app.store, "read_ended", deaf)
    assert result.get(timeout=PATIENCE_S) == 5


def test_pain_22_get_goes_on_while_the_store_is_away(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = driver.call()
    read_ended = driver.app.store.read_ended
    there = iter([True, False, False])

    def shaky(message_id: str, _: float) -> v.Record | None:
        is_there = next(there, None)
        if is_there is False:
            raise StoreUnavailable("cut")
        if is_there is None:
            driver.end(success(5))
        return read_ended(message_id, 0)

    monkeypatch.setattr(driver.app.store, "read_ended", shaky)
    assert result.get(timeout=PATIENCE_S) == 5


def test_get_says_that_the_store_is_away_when_its_time_is_up(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = driver.call()
    there = iter([True])

    def away(*_: Any) -> Any:
        if not next(there, False):
            raise StoreUnavailable("gone")

    monkeypatch.setattr(driver.app.store, "read_ended", away)
    with pytest.raises(StoreUnavailable):
        result.get(timeout=0.2)
    with pytest.raises(StoreUnavailable):
        result.get()  # at once, as it is away from the start


def test_progress_arrives_at_on_message_and_the_end_as_well(driver: Driver) -> None:
    result = driver.call()
    told: list[dict[str, Any]] = []
    claim = driver.claim()

    def work(body: dict[str, Any]) -> None:
        told.append(body)
        step = len(told) + 1
        if step <= 3:
            driver.app.store.report(result.id, claim.fence, "PROGRESS", dumps({"p": step}))
        elif step == 4:
            commit = v.Commit(id=claim.id, fence=claim.fence, outcome=success("finish"))
            driver.app.store.exchange("s", (commit,), None)

    driver.app.store.report(result.id, claim.fence, "PROGRESS", dumps({"p": 1}))
    assert result.get(timeout=10, on_message=work) == "finish"
    seen = [(body["status"], body["result"]) for body in told]
    assert seen == [*(("PROGRESS", {"p": p}) for p in (1, 2, 3)), ("SUCCESS", "finish")]
    assert {body["task_id"] for body in told} == {result.id}


def test_callbacks_of_get(driver: Driver) -> None:
    result = driver.call()
    beats: list[int] = []
    told: list[tuple[str, Any]] = []

    def beat() -> None:
        if not beats:
            driver.end(success(5))
        beats.append(1)

    result.get(timeout=10, on_interval=beat, callback=lambda *args: told.append(args))
    assert told == [(result.id, 5)]
    assert beats


def test_get_inside_a_body_is_refused_as_celery_does(driver: Driver) -> None:
    inner = driver.call()
    driver.end(success(5))
    from reliable_tasks.core.context import forbid_waiting  # noqa: PLC0415 - what the executor sets

    token = forbid_waiting.set(True)
    try:
        with pytest.raises(RuntimeError, match=r"Never call result\.get\(\) within a task"):
            inner.get()
        assert inner.get(disable_sync_subtasks=False) == 5
        with allow_join_result():
            assert inner.get() == 5
        with pytest.raises(RuntimeError):
            inner.get()
    finally:
        forbid_waiting.reset(token)


def test_then_calls_back_once_it_has_ended(driver: Driver) -> None:
    good, bad = driver.call(), driver.call()
    done: list[tuple[str, str]] = []
    all_told = threading.Event()

    def note(kind: str, result: AsyncResult[Any]) -> None:
        done.append((kind, result.id))
        if len(done) == 2:
            all_told.set()

    for result in (good, bad):
        result.then(lambda r: note("good", r), on_error=lambda r: note("bad", r))
    driver.end(success(1))
    driver.end(failure(KeyError("k")))
    assert all_told.wait(PATIENCE_S)
    assert sorted(done) == [("bad", bad.id), ("good", good.id)]


def test_a_handle_is_awaited_on_any_loop(driver: Driver) -> None:
    result = driver.call()

    async def main() -> Any:
        ending = asyncio.get_running_loop().run_in_executor(None, driver.end, success(5))
        value = await result
        await ending
        return value

    assert asyncio.run(main()) == 5


def test_revoke_can_wait_for_the_end(driver: Driver) -> None:
    result = driver.call()
    claim = driver.claim()
    with pytest.raises(TimeoutError):
        result.revoke(terminate=True, wait=True, timeout=0.02)
    commit = v.Commit(id=claim.id, fence=claim.fence, outcome=oc.Revoked())
    driver.app.store.exchange("s", (commit,), None)
    assert result.state == "REVOKED"


# The handle itself -------------------------------------------------------------------------------


def test_a_handle_equals_its_id_and_survives_pickling(driver: Driver) -> None:
    result = driver.call(task_id="mine")
    assert result == "mine"
    assert result == AsyncResult("mine")
    assert AsyncResult(task_id="mine") == result
    assert result != AsyncResult("other")
    assert {result: 1}[AsyncResult("mine")] == 1
    assert str(result) == result.task_id == "mine"
    assert repr(result) == "<AsyncResult: mine>"
    assert pickle.loads(pickle.dumps(result)) == result
    assert result.as_tuple() == (("mine", None), None)


def test_a_handle_needs_an_id(driver: Driver) -> None:
    with pytest.raises(ReliableTasksError, match="needs an id"):
        AsyncResult()


def test_forget_deletes_what_has_ended_and_nothing_else(driver: Driver) -> None:
    result = driver.call()
    result.forget()
    assert result.exists()
    driver.end(success(5))
    assert result.get() == 5
    result.forget()
    assert not result.exists()


def test_pain_23_a_final_answer_never_changes(driver: Driver) -> None:
    result = driver.call()
    claim = driver.claim()
    driver.app.store.reap(["s"])
    driver.app.store.open_session(v.SessionInfo(id="s", worker="w@h"), 60_000)
    driver.end(success("second"))
    late = [
        v.Commit(id=claim.id, fence=claim.fence, outcome=outcome)
        for outcome in (success("first"), failure(KeyError("k")), oc.Retry())
    ]
    assert set(driver.app.store.exchange("s", late, None).verdicts) == {v.Verdict.STALE}
    assert driver.app.store.report(result.id, claim.fence, "STARTED", b"") == v.Verdict.STALE
    assert (result.state, result.get()) == ("SUCCESS", "second")


def test_collect_yields_what_it_waited_for(driver: Driver) -> None:
    result = driver.call()
    driver.end(success(5))
    assert list(result.collect(timeout=PATIENCE_S)) == [(result, 5)]


def test_the_receipt_tells_of_a_duplicate(driver: Driver) -> None:
    @driver.app.task(name="once", once={"keys": ["x"], "graceful": True})
    def once(x: int, y: int = 0) -> None: ...

    first, again, other = once.delay(1), once.delay(1, y=2), once.delay(2)
    assert [(r.receipt.kind, r.receipt.holder) for r in (first, again, other) if r.receipt] == [
        (v.ReceiptKind.CREATED, None),
        (v.ReceiptKind.DUPLICATE, first.id),
        (v.ReceiptKind.CREATED, None),
    ]
    assert (first.duplicate, again.duplicate, other.duplicate) == (False, True, False)
    assert again == first
    assert msgspec.to_builtins(again.receipt)["kind"] == "duplicate"
