"""Retries: what a body asks for, what a policy decides, and the record of each."""

from __future__ import annotations

from typing import Any

import pytest
import tenacity

from reliable_tasks import App, RetryPolicy, Task, events
from reliable_tasks import outcome as oc
from reliable_tasks.errors import MaxRetriesExceededError
from reliable_tasks.serialization import loads_call
from tests.worker.fakes import claim_of
from tests.worker.running import attempt, detail_of, failing, raised_by


@pytest.fixture
def app() -> App:
    return App("retrying", broker="sqlite://", set_as_current=False)


def test_a_retry_that_the_body_asks_for_keeps_its_own_delay(app: App) -> None:
    @app.task(name="asks", bind=True)
    def asks(self: Task[Any, Any]) -> None:
        raise self.retry(exc=ValueError("x"), countdown=7, max_retries=4)

    claim = claim_of("a", "asks", attempt=2, started_ms=1000, once_key="k", root_id="r")
    outcome = attempt(app, claim, took=0.5)
    assert isinstance(outcome, oc.Retry)
    assert outcome.delay_ms == 7000
    assert detail_of(outcome) == {
        "exception": "ValueError",
        "message": "x",
        "delay": 7.0,
        "next_at": 8500,
        "max_retries": 4,
        "policy": "self.retry()",
        "reason": "the body asked for it: retry 2 of 4",
        "root_id": "r",
        "once_key": "k",
        "queue": "celery",
    }


def test_a_retry_may_change_the_arguments_and_the_queue(app: App) -> None:
    @app.task(name="asks", bind=True)
    def asks(self: Task[Any, Any], n: int) -> None:
        raise self.retry(args=(n + 1,), kwargs={}, queue="slow", countdown=0)

    outcome = attempt(app, claim_of("a", "asks", 1))
    assert isinstance(outcome, oc.Retry)
    assert outcome.queue == "slow"
    assert loads_call(outcome.payload or b"") == ((2,), {})


def test_a_retry_that_is_not_thrown_counts_when_the_body_returns(app: App) -> None:
    @app.task(name="asks", bind=True)
    def asks(self: Task[Any, Any]) -> str:
        self.retry(countdown=1, throw=False)
        return "done"

    assert isinstance(attempt(app, claim_of("a", "asks")), oc.Retry)


def test_past_the_last_retry_the_message_fails_with_its_cause(app: App) -> None:
    @app.task(name="asks", bind=True, max_retries=2)
    def asks(self: Task[Any, Any], cause: bool) -> None:
        raise self.retry(exc=ValueError("cause") if cause else None, countdown=1)

    assert isinstance(attempt(app, claim_of("a", "asks", True, attempt=2)), oc.Retry)
    assert isinstance(raised_by(attempt(app, claim_of("a", "asks", True, attempt=3))), ValueError)
    without = raised_by(attempt(app, claim_of("a", "asks", False, attempt=3)))
    assert isinstance(without, MaxRetriesExceededError)
    assert "Can't retry asks[a]" in str(without)


def test_autoretry_retries_what_it_names_and_nothing_else(app: App) -> None:
    failing(
        app,
        KeyError("k"),
        autoretry_for=(LookupError,),
        retry_kwargs={"max_retries": 2, "countdown": 5},
    )
    outcome = attempt(app, claim_of("a", "fails"))
    assert isinstance(outcome, oc.Retry)
    assert outcome.delay_ms == 5000
    assert isinstance(attempt(app, claim_of("a", "fails", attempt=3)), oc.Failed)


def test_a_policy_sees_elapsed_time_since_the_first_attempt_of_all(app: App) -> None:
    policy = RetryPolicy(stop=tenacity.stop_after_delay(10), wait=tenacity.wait_fixed(1))
    failing(app, ValueError("x"), retry_policy=policy)
    early = claim_of("a", "fails", attempt=5, first_started_ms=1000, started_ms=10_000)
    assert isinstance(attempt(app, early), oc.Retry)
    assert isinstance(attempt(app, early, took=1.5), oc.Failed), "10.5 s after the first began"


def test_a_policy_may_retry_for_what_a_body_returned(app: App) -> None:
    policy = RetryPolicy(retry=tenacity.retry_if_result(lambda value: value is None))
    app.task(name="add", retry_policy=policy)(lambda value: value)
    assert isinstance(attempt(app, claim_of("a", "add", None)), oc.Retry)
    assert isinstance(attempt(app, claim_of("a", "add", 0)), oc.Succeeded)


def test_each_retry_emits_one_record_with_all_that_one_asks_about_it(app: App) -> None:
    told: list[dict[str, Any]] = []
    end = events.subscribe(lambda _, fields: told.append(dict(fields)), "attempt.retried")
    failing(app, KeyError("k"), autoretry_for=(KeyError,), retry_backoff=2, retry_jitter=False)
    try:
        attempt(app, claim_of("a", "fails", fence=9, delivery=2, once_key="k", root_id="r"))
    finally:
        end()
    (record,) = told
    wanted = {"task", "id", "root_id", "attempt", "max_retries", "delivery", "fence", "delay"}
    wanted |= {"next_at", "policy", "exception", "message", "once_key", "queue", "worker", "reason"}
    assert wanted <= set(record)
    assert record["delay"] == 2.0
