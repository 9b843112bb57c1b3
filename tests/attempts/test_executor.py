"""From a claim to an outcome, without a store."""

from __future__ import annotations

import contextvars
from typing import Any

import msgspec
import pytest

from reliable_tasks import App, Ignore, OnceTask, Reject, Task, events, signals
from reliable_tasks.attempts.executor import Executor, StartedAttempt
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec import loads
from reliable_tasks.core.codec.failures import decode_failure, encode_failure
from reliable_tasks.errors import (
    NotRegistered,
    TimeLimitExceeded,
    WorkerLostError,
)
from tests.attempts.running import attempt, detail_of, failing, raised_by
from tests.worker.fakes import FakeAttemptStore, claim_of

called: list[tuple[Any, ...]] = []


class Told(Task[Any, Any]):
    """Notes which hooks are called."""

    def before_start(self, *args: Any) -> None:
        called.append(("before_start", *args))

    def on_success(self, *args: Any) -> None:
        called.append(("on_success", *args))

    def on_retry(self, exc: BaseException, *args: Any) -> None:
        called.append(("on_retry", type(exc), *args[:-1]))

    def on_failure(self, exc: BaseException, *args: Any) -> None:
        called.append(("on_failure", type(exc), *args[:-1]))

    def after_return(self, status: str, retval: Any, *args: Any) -> None:
        called.append(("after_return", status, *args[:-1]))


@pytest.fixture
def app() -> App:
    called.clear()
    return App("executing", broker="sqlite://", set_as_current=False)


# Endings -----------------------------------------------------------------------------------------


def test_what_a_body_returns_is_its_result(app: App) -> None:
    app.task(name="add")(lambda x, y: x + y)
    outcome = attempt(app, claim_of("a", "add", 2, kwargs={"y": 3}))
    assert isinstance(outcome, oc.Succeeded)
    assert loads(outcome.result) == 5
    assert outcome.keep


@pytest.mark.parametrize(
    ("of_task", "of_call", "setting", "kept"),
    [
        (None, None, False, True),
        (True, None, False, False),
        (None, None, True, False),
        (False, None, True, True),
        (True, False, False, True),
        (False, True, False, False),
    ],
)
def test_the_nearest_word_on_keeping_a_result_counts(
    app: App, of_task: bool | None, of_call: bool | None, setting: bool, kept: bool
) -> None:
    app.conf.task_ignore_result = setting
    app.task(name="add", ignore_result=of_task)(lambda: 5)
    outcome = attempt(app, claim_of("a", headers={"ignore_result": of_call}))
    assert isinstance(outcome, oc.Succeeded)
    assert outcome.keep == kept
    assert loads(outcome.result) == 5, "its children get it in any case"


def test_a_result_that_cannot_be_stored_is_a_failure_in_words(app: App) -> None:
    app.task(name="add")(object)
    outcome = attempt(app, claim_of("a"))
    assert isinstance(outcome, oc.Failed)
    assert detail_of(outcome)["exception"] == "CodecError"


def test_a_result_that_is_too_large_is_a_failure_in_words(app: App) -> None:
    app.conf.max_result_bytes = 1024
    app.task(name="add")(lambda: "x" * 2000)
    assert "the limit is 1,024 (setting max_result_bytes)" in str(
        raised_by(attempt(app, claim_of("a")))
    )


def test_what_a_body_raises_is_a_failure_with_its_traceback(app: App) -> None:
    failing(app, KeyError("k"))
    outcome = attempt(app, claim_of("a", "fails"))
    assert isinstance(outcome, oc.Failed)
    assert outcome.reason == "failed"
    assert "raise exc" in decode_failure(outcome.failure).traceback
    assert isinstance(raised_by(outcome), KeyError)


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt()])
def test_even_an_exit_ends_only_the_attempt(app: App, exc: BaseException) -> None:
    failing(app, exc)
    assert isinstance(attempt(app, claim_of("a", "fails")), oc.Failed)


def test_ignore_ends_without_a_result_and_keeps_what_the_body_said(app: App) -> None:
    failing(app, Ignore())
    assert attempt(app, claim_of("a", "fails")) == oc.Ignored()

    @app.task(name="says", bind=True)
    def says(self: Task[Any, Any], state: str) -> None:
        self.update_state(state=state, meta={"rows": 7})
        raise Ignore

    outcome = attempt(app, claim_of("b", "says", "SKIPPED"))
    assert isinstance(outcome, oc.Ignored)
    assert detail_of(outcome) == {"state": "SKIPPED"}
    succeeded = attempt(app, claim_of("c", "says", "SUCCESS"))
    assert isinstance(succeeded, oc.Succeeded)
    assert loads(succeeded.result) == {"rows": 7}


@pytest.mark.parametrize("requeue", [False, True])
def test_reject_is_a_dead_letter_or_another_delivery(app: App, requeue: bool) -> None:
    failing(app, Reject("no such row", requeue=requeue))
    outcome = attempt(app, claim_of("a", "fails"))
    assert isinstance(outcome, oc.Rejected)
    assert outcome.requeue == requeue
    assert detail_of(outcome) == {"reason": "no such row", "requeue": requeue}


# Hooks and signals -------------------------------------------------------------------------------


def test_pain_29_hooks_of_each_ending_are_called_in_celerys_order(app: App) -> None:
    app.task(name="add", base=Told)(lambda: 5)
    attempt(app, claim_of("a"))
    assert called == [
        ("before_start", "a", (), {}),
        ("on_success", 5, "a", (), {}),
        ("after_return", "SUCCESS", "a", (), {}),
    ]
    called.clear()
    failing(app, KeyError("k"), base=Told, autoretry_for=(KeyError,), max_retries=1)
    attempt(app, claim_of("b", "fails", 1))
    assert called == [("before_start", "b", (1,), {}), ("on_retry", KeyError, "b", (1,), {})]
    called.clear()
    attempt(app, claim_of("b", "fails", 1, attempt=2))
    assert called == [
        ("before_start", "b", (1,), {}),
        ("on_failure", KeyError, "b", (1,), {}),
        ("after_return", "FAILURE", "b", (1,), {}),
    ]


def test_what_a_hook_raises_does_not_change_the_outcome(app: App) -> None:
    class Clumsy(Task[Any, Any]):
        def on_success(self, *_: Any) -> None:
            raise RuntimeError("in a hook")

    app.task(name="add", base=Clumsy)(lambda: 5)
    told: list[Any] = []
    end = events.subscribe(lambda _, fields: told.append(fields["hook"]), "hook.failed")
    try:
        assert isinstance(attempt(app, claim_of("a")), oc.Succeeded)
    finally:
        end()
    assert told == ["on_success"]


def test_before_start_that_raises_fails_the_attempt_and_is_not_retried(app: App) -> None:
    class Strict(Told):
        def before_start(self, *_: Any) -> None:
            raise ValueError("not now")

    app.task(name="add", base=Strict, autoretry_for=(ValueError,))(lambda: 5)
    assert isinstance(attempt(app, claim_of("a")), oc.Failed)
    assert called[0][0] == "on_failure"


def test_signals_are_sent_around_the_body(app: App) -> None:
    heard: list[str] = []

    def note(**fields: Any) -> None:
        heard.append(fields["signal"].name)

    chosen = (signals.task_prerun, signals.task_postrun, signals.task_success, signals.task_failure)
    for signal in chosen:
        signal.connect(note)
    try:
        app.task(name="add")(lambda: 5)
        attempt(app, claim_of("a"))
        assert heard == ["task_prerun", "task_success", "task_postrun"]
        heard.clear()
        failing(app, KeyError("k"))
        attempt(app, claim_of("a", "fails"))
        assert heard == ["task_prerun", "task_failure", "task_postrun"]
    finally:
        for signal in chosen:
            signal.disconnect(note)


# Claims whose body is not to run -----------------------------------------------------------------


def test_an_unknown_task_goes_back_with_a_delay_and_fails_after_a_bound(app: App) -> None:
    app.conf.update(unknown_task_delay=2, unknown_task_limit=3)
    outcome = attempt(app, claim_of("a", "elsewhere", bounces=2))
    assert isinstance(outcome, oc.Released)
    assert (outcome.delay_ms, outcome.bounce) == (2000, True)
    failed = attempt(app, claim_of("a", "elsewhere", bounces=3))
    assert isinstance(raised_by(failed), NotRegistered)


def test_a_payload_that_nobody_can_decode_is_a_dead_letter(app: App) -> None:
    app.task(name="add")(lambda: 5)
    outcome = attempt(app, claim_of("a", payload=b"\xff not json"))
    assert isinstance(outcome, oc.Failed)


def test_pain_14_a_delivery_above_the_limit_runs_the_hooks_and_not_the_body(app: App) -> None:
    app.task(name="add", base=Told)(lambda: called.append(("body",)))
    outcome = attempt(app, claim_of("a", delivery=6, max_deliveries=5))
    assert isinstance(outcome, oc.Failed)
    assert outcome.reason == "delivery limit"
    assert isinstance(raised_by(outcome), WorkerLostError)
    assert [c[0] for c in called] == ["on_failure", "after_return"]


def test_a_doomed_message_gets_its_failure_and_its_hooks(app: App) -> None:
    app.task(name="add", base=Told)(lambda: called.append(("body",)))
    doom = encode_failure(TimeLimitExceeded("too long"))
    outcome = attempt(app, claim_of("a", limit_failure=doom))
    assert isinstance(outcome, oc.Failed)
    assert (outcome.failure, outcome.reason) == (doom, "time limit")
    assert called[0][:2] == ("on_failure", TimeLimitExceeded)


def test_pain_9_a_once_task_that_came_without_its_key_is_sent_back_for_it(app: App) -> None:
    app.task(name="add", base=OnceTask)(lambda n: n)
    keyed = attempt(app, claim_of("a", "add", 1))
    assert isinstance(keyed, oc.KeyAssigned)
    task = app.tasks["add"]
    assert isinstance(task, OnceTask)
    assert keyed.once.key == task.get_key((1,))
    assert isinstance(attempt(app, claim_of("a", "add", 1, once_key=keyed.once.key)), oc.Succeeded)


# What a body sees --------------------------------------------------------------------------------


def test_a_body_sees_its_request_and_only_its_own(app: App) -> None:
    seen: dict[str, Any] = {}

    @app.task(name="sees", bind=True, soft_time_limit=3, time_limit=4)
    def sees(self: Task[Any, Any], n: int) -> None:
        seen.update(self.request.__dict__)
        seen["other"] = app.tasks["other"].request.called_directly

    app.task(name="other")(lambda: None)
    claim = claim_of("a", "sees", 1, fence=9, attempt=3, delivery=2, queue="q", priority=4)
    attempt(app, claim)
    assert seen["id"] == seen["idempotency_key"] == seen["root_id"] == "a"
    assert (seen["retries"], seen["attempt"], seen["delivery"], seen["fence"]) == (2, 3, 2, 9)
    assert seen["args"] == (1,)
    assert seen["timelimit"] == (4, 3)
    assert seen["delivery_info"]["routing_key"] == "q"
    assert seen["delivery_info"]["redelivered"]
    assert seen["hostname"] == "w@h"
    assert seen["other"], "another task's request is no business of this body"
    assert app.tasks["sees"].request.called_directly, "and it is over afterwards"


@pytest.mark.parametrize(
    ("of_call", "of_task", "of_worker", "in_force"),
    [(1, 2, 3, 1), (None, 2, 3, 2), (None, None, 3, 3), (None, None, None, None)],
)
def test_the_nearest_time_limit_is_in_force(
    app: App, of_call: float | None, of_task: float | None, of_worker: float | None, in_force: Any
) -> None:
    app.task(name="add", time_limit=of_task)(lambda: 5)
    executor = Executor(app, "w@h", time_limit=of_worker)
    claim = claim_of("a", headers={"time_limit": of_call})
    started = contextvars.copy_context().run(executor.begin, claim, FakeAttemptStore())
    assert isinstance(started, StartedAttempt)
    assert started.prepared.hard_limit_s == in_force
    executor.returned(started, 5)


def test_progress_goes_out_at_once(app: App) -> None:
    @app.task(name="says", bind=True)
    def says(self: Task[Any, Any]) -> None:
        self.update_state(state="PROGRESS", meta={"p": 10})

    store = FakeAttemptStore()
    attempt(app, claim_of("a", "says"), store)
    ((state, meta),) = store.reports
    assert state == "PROGRESS"
    assert loads(meta) == {"p": 10}


def test_an_attempt_is_limited_from_its_beginning_and_a_burial_in_any_case(app: App) -> None:
    app.task(name="add")(lambda: 5)
    app.task(name="limited", time_limit=7)(lambda: 5)
    executor = Executor(app, "w@h")
    assert executor.hard_limit_s(claim_of("a")) == 0.0
    assert executor.hard_limit_s(claim_of("a", delivery=6)) == 60.0
    assert executor.hard_limit_s(claim_of("a", limit_failure=b"killed")) == 60.0
    assert executor.hard_limit_s(claim_of("a", headers={"time_limit": 3.0})) == 3.0
    assert executor.hard_limit_s(claim_of("a", "limited", limit_failure=b"killed")) == 7
    assert executor.hard_limit_s(claim_of("a", "elsewhere")) == 0.0
    damaged = msgspec.structs.replace(claim_of("a"), headers=b"\xc1")
    assert executor.hard_limit_s(damaged) == 60.0


def test_calls_with_other_headers_are_prepared_apart_and_not_all_are_kept(app: App) -> None:
    app.task(name="add")(lambda: 5)
    executor = Executor(app, "w@h")
    for limit in (*range(1, 600), *range(1, 600)):
        assert executor.hard_limit_s(claim_of("a", headers={"time_limit": limit})) == limit
    assert len(executor._prepared_calls) <= 256


def test_a_task_that_comes_later_is_found(app: App) -> None:
    executor = Executor(app, "w@h")
    claim = claim_of("a", "late")
    assert isinstance(executor.begin(claim, FakeAttemptStore()), oc.Released)
    app.task(name="late")(lambda: 5)
    started = contextvars.copy_context().run(executor.begin, claim, FakeAttemptStore())
    assert isinstance(started, StartedAttempt)
