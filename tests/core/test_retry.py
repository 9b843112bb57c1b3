"""Policies decide on stored values; Celery's spellings give Celery's schedules."""

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import pytest
import tenacity

from reliable_tasks import errors
from reliable_tasks.core import ids
from reliable_tasks.core.retry import (
    Attempt,
    Decision,
    RetryPolicy,
    describe,
    policy_from_options,
    wait_backoff,
)
from reliable_tasks.errors import ConfigError

START_S = 1_700_000_000.0


def attempt(number: int = 1, exc: BaseException | None = None, **fields: Any) -> Attempt:
    values = {"first_started_s": START_S, "now_s": START_S + 1, **fields}
    return Attempt(number=number, exception=exc or KeyError("k"), **values)


def schedule(policy: RetryPolicy, tries: int = 12) -> list[float]:
    """The delays until the policy gives up, at most `tries` of them."""
    delays = []
    for number in range(1, tries + 1):
        decision = policy.decide(attempt(number))
        if not decision.retry:
            break
        delays.append(decision.delay_s)
    return delays


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets where between its bounds each random number falls: 0.0 the least, 1.0 the greatest."""

    def fix(share: float) -> None:
        monkeypatch.setattr(ids, "uniform", lambda low, high: low + share * (high - low))

    return fix


# Celery's spellings -------------------------------------------------------------------------------

GOLDEN: list[tuple[dict[str, Any], list[float], str]] = [
    ({}, [180, 180, 180], "wait_fixed(180), max_retries=3"),
    ({"default_retry_delay": 5, "max_retries": 1}, [5], "wait_fixed(5), max_retries=1"),
    ({"default_retry_delay": dt.timedelta(minutes=1)}, [60] * 3, "wait_fixed(60), max_retries=3"),
    ({"max_retries": 0}, [], "wait_fixed(180), max_retries=0"),
    ({"retry_kwargs": {"countdown": 2}}, [2, 2, 2], "wait_fixed(2), max_retries=3"),
    ({"retry_kwargs": {"countdown": 0, "max_retries": 2}}, [0, 0], "wait_fixed(0), max_retries=2"),
    ({"retry_kwargs": {"max_retries": 5}, "max_retries": 1}, [180] * 5, "wait_fixed(180), max_re"),
    ({"retry_kwargs": {"max_retries": None}}, [180] * 12, "wait_fixed(180), for ever"),
    ({"max_retries": None}, [180] * 12, "wait_fixed(180), for ever"),
    ({"retry_backoff": True}, [1, 2, 4], "backoff(1..600s), max_retries=3"),
    ({"retry_backoff": 1}, [1, 2, 4], "backoff(1..600s), max_retries=3"),
    ({"retry_backoff": 3, "max_retries": 5}, [3, 6, 12, 24, 48], "backoff(3..600s), max_retries=5"),
    ({"retry_backoff": 0.5}, [0.5, 1, 2], "backoff(0.5..600s), max_retries=3"),
    ({"retry_backoff": 1.5}, [1.5, 3, 6], "backoff(1.5..600s), max_retries=3"),
    ({"retry_backoff": True, "retry_backoff_max": 3}, [1, 2, 3], "backoff(1..3s), max_retries=3"),
    ({"retry_backoff": 0}, [180, 180, 180], "wait_fixed(180), max_retries=3"),
    (
        {"retry_backoff": True, "max_retries": None},
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600],
        "backoff(1..600s), for ever",
    ),
    ({"retry_backoff": 2, "retry_kwargs": {"countdown": 9}}, [2, 4, 8], "backoff(2..600s), max_re"),
]


@pytest.mark.parametrize(("options", "delays", "text"), GOLDEN)
def test_golden_schedules_without_jitter(
    options: dict[str, Any], delays: list[float], text: str
) -> None:
    policy = policy_from_options(autoretry_for=(Exception,), retry_jitter=False, **options)
    assert schedule(policy) == delays
    assert describe(policy).startswith(text)


@pytest.mark.parametrize(
    ("share", "backoff", "delays"),
    [
        (1.0, True, [1, 2, 4, 8]),
        (0.5, True, [1, 1, 2, 4]),
        (0.0, True, [1, 1, 1, 1]),
        (0.0, 0.25, [0.25, 0.5, 1, 1]),
    ],
)
def test_jitter_is_uniform_but_keeps_a_least_delay(
    draw: Callable[[float], None], share: float, backoff: bool | float, delays: list[float]
) -> None:
    draw(share)
    policy = policy_from_options(autoretry_for=(Exception,), retry_backoff=backoff, max_retries=4)
    assert schedule(policy) == delays
    assert "jitter" in describe(policy)


def test_jitter_needs_a_backoff() -> None:
    policy = policy_from_options(autoretry_for=(Exception,), retry_jitter=True)
    assert schedule(policy) == [180, 180, 180]


def test_a_backoff_for_ever_does_not_overflow() -> None:
    policy = policy_from_options(
        autoretry_for=(Exception,), retry_backoff=True, retry_jitter=False, max_retries=None
    )
    assert policy.decide(attempt(1_000_000)).delay_s == 600


def test_options_are_never_changed() -> None:
    retry_kwargs = {"max_retries": 2, "countdown": 1}
    policy = policy_from_options(
        autoretry_for=(Exception,), retry_kwargs=retry_kwargs, retry_backoff=True
    )
    schedule(policy)
    assert retry_kwargs == {"max_retries": 2, "countdown": 1}


@pytest.mark.parametrize(
    ("exc", "retried"),
    [
        (ConnectionResetError(), True),
        (FileNotFoundError(), False),
        (KeyError(), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_which_exceptions_are_retried(exc: BaseException, retried: bool) -> None:
    policy = policy_from_options(autoretry_for=OSError, dont_autoretry_for=[FileNotFoundError])
    decision = policy.decide(attempt(exc=exc))
    assert decision.retry is retried
    if not retried:
        assert decision.reason == f"retry not asked for {type(exc).__name__}"


@pytest.mark.parametrize("exc", [errors.Retry(), errors.Ignore(), errors.Reject()])
def test_what_a_body_raises_to_say_itself_passes_through(exc: Exception) -> None:
    policies = (RetryPolicy(), policy_from_options(autoretry_for=(Exception,)))
    for policy in policies:
        decision = policy.decide(attempt(exc=exc))
        assert decision == Decision(
            False, 0.0, f"{type(exc).__name__} is not for the policy to retry", describe(policy)
        )


def test_nothing_is_retried_unless_asked() -> None:
    policy = policy_from_options()
    assert not policy.decide(attempt()).retry
    decision = policy.decide(attempt(asked=True))
    assert (decision.retry, decision.delay_s) == (True, 180)
    assert decision.reason == "the body asked for it: retry 1 of 3 in 180 s"
    assert policy.decide(attempt(4, asked=True)).reason == "stopped: max_retries=3"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"autoretry_for": "OSError"}, "autoretry_for='OSError': pass a tuple of exception"),
        ({"autoretry_for": (1,)}, "autoretry_for"),
        ({"dont_autoretry_for": int}, "dont_autoretry_for"),
        ({"retry_kwargs": 5}, "retry_kwargs=5: pass a dict"),
        ({"retry_kwargs": {"max_retry": 5}}, "'max_retry'.*did you mean 'max_retries'"),
        ({"retry_kwargs": {"countdown": "1"}}, "countdown'\\]='1': pass seconds"),
        ({"retry_kwargs": {"max_retries": -1}}, "max_retries=-1: pass a number"),
        ({"max_retries": True}, "max_retries=True"),
        ({"max_retries": 1.5}, "max_retries=1.5"),
        ({"retry_backoff": "yes"}, "retry_backoff='yes'"),
        ({"retry_backoff": -1}, "retry_backoff=-1"),
        ({"retry_backoff_max": None}, "retry_backoff_max=None"),
        ({"retry_backoff_max": math.nan}, "retry_backoff_max=nan"),
        ({"retry_jitter": 1}, "retry_jitter=1: pass True or False"),
        ({"default_retry_delay": math.inf}, "default_retry_delay=inf"),
    ],
)
def test_wrong_options_name_option_value_and_remedy(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        policy_from_options(**options)


# tenacity's objects -------------------------------------------------------------------------------


def test_defaults_of_a_policy() -> None:
    assert schedule(RetryPolicy()) == [0, 0, 0]
    assert RetryPolicy().max_retries == 3
    assert RetryPolicy(stop=tenacity.stop_after_attempt(9)).max_retries is None
    assert len(schedule(RetryPolicy(max_retries=None))) == 12


def test_the_lower_of_two_limits_stops() -> None:
    stop = tenacity.stop_after_attempt(3)
    assert len(schedule(RetryPolicy(stop=stop, max_retries=9))) == 2
    policy = RetryPolicy(stop=stop, max_retries=1)
    assert len(schedule(policy)) == 1
    assert policy.decide(attempt(2)).reason == "stopped: max_retries=1"
    assert RetryPolicy(stop=stop).decide(attempt(3)).reason == "stopped: stop_after_attempt(3)"


@pytest.mark.parametrize(
    ("stop", "limit_s"),
    [(tenacity.stop_after_delay(60), 60), (tenacity.stop_before_delay(60), 50)],
)
def test_delay_based_stops_count_from_the_stored_first_start(stop: Any, limit_s: float) -> None:
    policy = RetryPolicy(stop=stop, wait=tenacity.wait_fixed(10))
    assert policy.decide(attempt(7, now_s=START_S + limit_s - 0.5)).retry
    assert not policy.decide(attempt(2, now_s=START_S + limit_s)).retry


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    policy = RetryPolicy(stop=tenacity.stop_after_delay(0.001))
    assert policy.decide(attempt(now_s=START_S - 3600)).retry


def test_policies_of_ones_own_see_the_stored_state() -> None:
    seen: list[Any] = []

    def wait(state: tenacity.RetryCallState) -> float:
        seen.extend([state.attempt_number, state.idle_for, state.upcoming_sleep, state.args])
        seen.extend([state.kwargs, state.get_fn_name(), state.seconds_since_start])
        seen.append(dict(state.retry_object.statistics))
        return 1

    RetryPolicy(wait=wait).decide(
        attempt(2, idle_s=7.0, previous_delay_s=4.0, args=(1,), kwargs={"x": 2}, fn_name="add")
    )
    statistics = seen.pop()
    assert seen == [2, 7.0, 4.0, (1,), {"x": 2}, "add", 1.0]
    assert statistics == {
        "start_time": START_S,
        "attempt_number": 2,
        "idle_for": 7.0,
        "delay_since_first_attempt": 1.0,
    }


def test_try_again_is_retried_whatever_the_retry_says() -> None:
    policy = RetryPolicy(retry=tenacity.retry_never)
    assert policy.decide(attempt(exc=tenacity.TryAgain())).retry


def is_none(value: object) -> bool:
    return value is None


@pytest.mark.parametrize(
    ("retry", "watches"),
    [
        (None, False),
        (tenacity.retry_never, False),
        (tenacity.retry_if_exception_type(OSError), False),
        (tenacity.retry_if_not_exception_type(OSError), False),
        (tenacity.retry_if_exception_message(message="x"), False),
        (tenacity.retry_if_exception_cause_type(OSError), False),
        (tenacity.retry_always, True),
        (tenacity.retry_if_result(is_none), True),
        (tenacity.retry_if_not_result(is_none), True),
        (tenacity.retry_unless_exception_type(OSError), True),
        (tenacity.retry_if_not_exception_message(message="x"), True),
        (tenacity.retry_if_exception_type(OSError) | tenacity.retry_if_result(is_none), True),
        (tenacity.retry_if_exception_type(OSError) & tenacity.retry_if_result(is_none), False),
        (lambda state: state.outcome.failed, True),
    ],
)
def test_which_policies_watch_results(retry: Any, watches: bool) -> None:
    assert RetryPolicy(retry=retry).watches_results is watches


def test_results_can_be_retried() -> None:
    policy = RetryPolicy(retry=tenacity.retry_if_result(is_none))
    fields: dict[str, Any] = {"number": 1, "first_started_s": START_S, "now_s": START_S}
    assert policy.decide(Attempt(**fields, result=None)).retry
    decision = policy.decide(Attempt(**fields, result=0))
    assert (decision.retry, decision.reason) == (False, "retry not asked for the result")


@pytest.mark.parametrize("delay", [-1.0, math.nan, "soon"])
def test_a_wait_that_gives_no_delay_ends_the_retries(delay: Any) -> None:
    decision = RetryPolicy(wait=lambda _state: delay).decide(attempt())
    assert not decision.retry
    assert decision.reason.startswith("the policy itself raised")


def test_a_policy_that_raises_ends_the_retries_and_says_so() -> None:
    def broken(state: tenacity.RetryCallState) -> bool:
        raise LookupError(state.attempt_number)

    decision = RetryPolicy(stop=broken).decide(attempt(2))
    assert decision == Decision(
        False, 0.0, "the policy itself raised LookupError: 2", decision.policy
    )


def test_a_delay_is_cut_to_what_a_store_can_hold() -> None:
    decision = RetryPolicy(wait=lambda _state: math.inf).decide(attempt())
    assert decision.delay_s == 100 * 365 * 86_400


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stop": 5}, r"stop=5.*pass a tenacity stop, such as tenacity.stop_after_attempt\(5\)"),
        ({"wait": 1.0}, "wait=1.0.*not a wait strategy"),
        ({"wait": tenacity.wait_exponential}, r"call it: wait_exponential\(…\)"),
        ({"retry": (OSError,)}, r"tenacity.retry_if_exception_type\(OSError\)"),
        ({"max_retries": "3"}, "max_retries='3'"),
    ],
)
def test_wrong_strategies_name_the_remedy(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RetryPolicy(**fields)


def test_our_wait_composes_with_theirs(draw: Callable[[float], None]) -> None:
    draw(1.0)
    policy = RetryPolicy(wait=wait_backoff(2, 60) + tenacity.wait_fixed(1), max_retries=3)
    assert schedule(policy) == [3, 5, 9]


def retry_after(exc: BaseException) -> float:
    return float(exc.args[0])


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (RetryPolicy(), "max_retries=3"),
        (RetryPolicy(max_retries=None), "for ever"),
        (
            policy_from_options(autoretry_for=OSError, retry_backoff=True, name="net"),
            "net: backoff(1..600s, jitter), max_retries=3",
        ),
        (
            RetryPolicy(
                stop=tenacity.stop_after_attempt(4) | tenacity.stop_after_delay(60),
                wait=tenacity.wait_fixed(3) + wait_backoff(jitter=False),
            ),
            "(wait_fixed(3) + backoff(1..600s)), (stop_after_attempt(4) | stop_after_delay(60))",
        ),
        (
            RetryPolicy(
                stop=tenacity.stop_never,
                wait=tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_random(0, 2)),
            ),
            (
                "wait_chain(wait_fixed(1), wait_random(wait_random_min=0, wait_random_max=2)), "
                "stop_never"
            ),
        ),
        (
            RetryPolicy(wait=tenacity.wait_exception(retry_after)),
            "wait_exception(retry_after), max_retries=3",
        ),
        (RetryPolicy(stop=is_none, max_retries=1), "is_none, max_retries=1"),
    ],
)
def test_descriptions(policy: RetryPolicy, text: str) -> None:
    assert describe(policy) == policy.description == text
