"""Retries: what a body asks for, what a policy decides, and the record of each."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tenacity

from reliable_tasks import App, RetryPolicy, Task, events
from reliable_tasks.canvas import ReplaceMessage
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import Message
from reliable_tasks.errors import MaxRetriesExceededError, Retry
from tests.attempts.running import attempt, detail_of, failing, raised_by
from tests.worker.fakes import claim_of


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


@pytest.mark.parametrize("cause", [None, ValueError("cause")])
def test_no_policy_retries_what_a_retry_past_the_last_raised(
    app: App, cause: Exception | None
) -> None:
    @app.task(name="asks", bind=True, retry_policy=RetryPolicy(max_retries=5))
    def asks(self: Task[Any, Any]) -> None:
        raise self.retry(exc=cause, max_retries=1, countdown=1)

    assert isinstance(attempt(app, claim_of("a", "asks")), oc.Retry)
    last = attempt(app, claim_of("a", "asks", attempt=2))
    assert isinstance(raised_by(last), type(cause) if cause else MaxRetriesExceededError)
    reason = detail_of(last)["reason"]
    assert reason == "the body asked for a retry: none is left, max_retries=1"


NO_RETRIES = "the task asks for no retries (autoretry_for, retry_policy)"


def test_the_last_failure_says_why_there_is_no_retry(app: App) -> None:
    @app.task(name="asks", bind=True, max_retries=2)
    def asks(self: Task[Any, Any], cause: bool) -> None:
        raise self.retry(exc=ValueError("cause") if cause else None, countdown=1)

    for cause in (True, False):
        last = attempt(app, claim_of("a", "asks", cause, attempt=3))
        reason = detail_of(last)["reason"]
        assert reason == "the body asked for a retry: none is left, max_retries=2"
    failing(app, KeyError("k"))
    assert detail_of(attempt(app, claim_of("a", "fails")))["reason"] == NO_RETRIES
    other = App("other", broker="sqlite://", set_as_current=False)
    failing(other, KeyError("k"), autoretry_for=(OSError,))
    reason = detail_of(attempt(other, claim_of("a", "fails")))["reason"]
    assert reason == "retry not asked for KeyError"


def test_another_failure_after_the_last_retry_says_nothing_of_retries_left(app: App) -> None:
    @app.task(name="asks", bind=True, max_retries=0)
    def asks(self: Task[Any, Any]) -> None:
        try:
            self.retry(countdown=1)
        except MaxRetriesExceededError:
            raise KeyError("k") from None

    assert detail_of(attempt(app, claim_of("a", "asks")))["reason"] == NO_RETRIES


def test_hooks_hear_of_the_cause_when_a_policy_refuses_the_retry_that_was_asked_for(
    app: App,
) -> None:
    heard: list[BaseException] = []

    class Hears(Task[Any, Any]):
        def on_failure(self, exc: BaseException, *_: Any) -> None:
            heard.append(exc)

    policy = RetryPolicy(stop=tenacity.stop_after_attempt(1))

    @app.task(name="asks", bind=True, base=Hears, retry_policy=policy)
    def asks(self: Task[Any, Any], cause: bool) -> None:
        raise self.retry(exc=KeyError("k") if cause else None)

    assert isinstance(raised_by(attempt(app, claim_of("a", "asks", True))), KeyError)
    attempt(app, claim_of("a", "asks", False))
    assert [type(exc) for exc in heard] == [KeyError, MaxRetriesExceededError]


def retry_with(**values: Any) -> Retry:
    """A retry that has gone past every check of the calls that make one."""
    asked = Retry(when=1)
    vars(asked).update(values)
    return asked


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (retry_with(when=1e17), "delay of a retry=1e[+]17 .*a hundred years"),
        (retry_with(when=float("inf")), "delay of a retry=inf"),
        (retry_with(when=float("nan")), "delay of a retry=nan"),
        (retry_with(when="soon"), "delay of a retry"),
        (retry_with(eta="soon"), "eta='soon'"),
        (retry_with(queue=5), "a Retry that cannot be stored: Expected `str"),
        (retry_with(queue="\ud800"), "a Retry that cannot be stored: .*surrogates"),
        (retry_with(payload="text"), "a Retry that cannot be stored"),
        (ReplaceMessage((Message(id="a", task="t", priority=2**70),)), "cannot be stored"),
        (ReplaceMessage(("a",)), "cannot be stored"),  # type: ignore[arg-type]
    ],
)
def test_what_no_store_could_take_fails_its_own_attempt_in_words(
    app: App, asked: BaseException, words: str
) -> None:
    heard: list[BaseException] = []

    class Hears(Task[Any, Any]):
        def on_failure(self, exc: BaseException, *_: Any) -> None:
            heard.append(exc)

    failing(app, asked, base=Hears)
    outcome = attempt(app, claim_of("a", "fails"))
    assert isinstance(outcome, oc.Failed)
    assert re.search(words, str(raised_by(outcome)))
    assert len(heard) == 1


def test_a_negative_delay_is_none(app: App) -> None:
    failing(app, retry_with(when=-5))
    outcome = attempt(app, claim_of("a", "fails"))
    assert isinstance(outcome, oc.Retry)
    assert outcome.delay_ms == 0


def test_a_failure_is_told_whatever_its_exception_is_made_of(app: App) -> None:
    class HugeError(Exception):
        pass

    failing(app, HugeError(*["x" * 60_000] * 40, "\ud800"))
    outcome = attempt(app, claim_of("a", "fails"))
    assert isinstance(outcome, oc.Failed)
    assert len(outcome.failure) < 2**20
    assert decode_failure(outcome.failure).type.endswith("HugeError")
    other = App("other", broker="sqlite://", set_as_current=False)
    failing(other, KeyError("\ud800"))
    assert detail_of(attempt(other, claim_of("a", "fails")))["exception"] == "KeyError"


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


@pytest.mark.parametrize("exc", [KeyError("k"), KeyError])
def test_a_body_that_allows_no_retry_ends_its_message_whatever_autoretry_says(
    app: App, exc: Any
) -> None:
    @app.task(name="asks", bind=True, autoretry_for=(Exception,), max_retries=10)
    def asks(self: Task[Any, Any]) -> None:
        raise self.retry(exc=exc, max_retries=0)

    outcome = attempt(app, claim_of("a", "asks"))
    assert isinstance(outcome, oc.Failed)
    assert isinstance(raised_by(outcome), KeyError)


@pytest.mark.parametrize(("most", "kind"), [(0, oc.Failed), (2, oc.Retry)])
def test_what_a_body_says_of_retries_holds_for_all_of_its_attempt(
    app: App, most: int, kind: type
) -> None:
    @app.task(name="asks", bind=True, autoretry_for=(ValueError,), max_retries=1)
    def asks(self: Task[Any, Any]) -> None:
        try:
            self.retry(exc=KeyError("k"), max_retries=most)
        except (KeyError, Retry) as exc:
            raise ValueError from exc

    outcome = attempt(app, claim_of("a", "asks", attempt=2))
    assert isinstance(outcome, kind)
    if isinstance(outcome, oc.Retry):
        assert detail_of(outcome)["max_retries"] == 2


def test_the_error_of_no_retry_left_has_the_calls_arguments(app: App) -> None:
    @app.task(name="asks", bind=True, max_retries=0)
    def asks(self: Task[Any, Any], *_: Any, **__: Any) -> None:
        self.retry()

    with pytest.raises(MaxRetriesExceededError) as caught:
        asks.apply((1,), {"b": 2}, throw=True)
    assert (caught.value.task_args, caught.value.task_kwargs) == ((1,), {"b": 2})
