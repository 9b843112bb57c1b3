"""A policy asked once per attempt decides as tenacity's own loop does in virtual time."""

import random
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest import mock

import tenacity
from hypothesis import given
from hypothesis import strategies as st

from reliable_tasks.core.retry import Attempt, RetryPolicy, policy_from_options

START_S = 1_700_000_000.0
MOST_ATTEMPTS = 8

seconds = st.integers(0, 40).map(lambda quarter: quarter / 4)
stop_leaves = st.one_of(
    st.just(tenacity.stop_never),
    st.integers(1, 6).map(tenacity.stop_after_attempt),
    seconds.map(tenacity.stop_after_delay),
    seconds.map(tenacity.stop_before_delay),
)
stops = st.recursive(
    stop_leaves,
    lambda inner: (
        st.builds(lambda a, b: a | b, inner, inner) | st.builds(lambda a, b: a & b, inner, inner)
    ),
    max_leaves=3,
)
wait_leaves = st.one_of(
    st.just(tenacity.wait_none()),
    seconds.map(tenacity.wait_fixed),
    st.builds(tenacity.wait_incrementing, seconds, seconds),
    st.builds(tenacity.wait_exponential, seconds, seconds),
    st.builds(tenacity.wait_random, st.just(0.0), seconds),
    st.builds(tenacity.wait_random_exponential, seconds, seconds),
    st.just(lambda state: state.upcoming_sleep + state.idle_for / 2 + 1),
)
waits = st.recursive(
    wait_leaves,
    lambda inner: (
        st.builds(tenacity.wait_combine, inner, inner)
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: tenacity.wait_chain(*parts))
    ),
    max_leaves=3,
)
retry_leaves = st.one_of(
    st.just(tenacity.retry_always),
    st.just(tenacity.retry_never),
    st.sampled_from([KeyError, ValueError, Exception]).map(tenacity.retry_if_exception_type),
    st.sampled_from([KeyError, LookupError]).map(tenacity.retry_if_not_exception_type),
    st.sampled_from([KeyError, ValueError]).map(tenacity.retry_unless_exception_type),
    st.sampled_from([0, 1]).map(lambda wanted: tenacity.retry_if_result(wanted.__eq__)),
)
retries = st.recursive(
    retry_leaves,
    lambda inner: (
        st.builds(lambda a, b: a | b, inner, inner) | st.builds(lambda a, b: a & b, inner, inner)
    ),
    max_leaves=3,
)


@dataclass(frozen=True)
class Run:
    """What one run of the body does: how long it takes, and how it ends."""

    takes_s: float
    raises: type[Exception] | None
    result: int


runs = st.lists(
    st.builds(
        Run,
        seconds,
        st.none() | st.sampled_from([KeyError, ValueError, IndexError, tenacity.TryAgain]),
        st.integers(0, 1),
    ),
    min_size=MOST_ATTEMPTS,
    max_size=MOST_ATTEMPTS,
)


class OutOfRunsError(BaseException):
    """Ends tenacity's loop where the script of the runs ends."""


def delays_of_tenacity(stop: Any, wait: Any, retry: Any, script: list[Run]) -> list[float]:
    now_s = START_S
    delays: list[float] = []
    rest = iter(script)

    def sleep(delay_s: float) -> None:
        nonlocal now_s
        delays.append(delay_s)
        now_s += delay_s
        if len(delays) == len(script):
            raise OutOfRunsError

    def body() -> int:
        nonlocal now_s
        run = next(rest)
        now_s += run.takes_s
        if run.raises is not None:
            raise run.raises
        return run.result

    retrying = tenacity.Retrying(stop=stop, wait=wait, retry=retry, sleep=sleep)
    with mock.patch.object(tenacity, "time", SimpleNamespace(monotonic=lambda: now_s)):
        try:
            retrying(body)
        except (Exception, OutOfRunsError):  # noqa: BLE001 - how it ended shows in the delays
            return delays
    return delays


def delays_of_policy(policy: RetryPolicy, script: list[Run]) -> list[float]:
    now_s = START_S
    delays: list[float] = []
    for number, run in enumerate(script, start=1):
        now_s += run.takes_s
        if run.raises is None and not policy.watches_results:
            break
        decision = policy.decide(
            Attempt(
                number=number,
                first_started_s=START_S,
                now_s=now_s,
                exception=None if run.raises is None else run.raises(),
                result=run.result,
                idle_s=sum(delays),
                previous_delay_s=delays[-1] if delays else 0.0,
            )
        )
        if not decision.retry:
            break
        delays.append(decision.delay_s)
        now_s += decision.delay_s
    return delays


@given(stop=stops, wait=waits, retry=retries, script=runs, seed=st.integers(0, 99))
def test_same_schedule_as_tenacity(
    stop: Any, wait: Any, retry: Any, script: list[Run], seed: int
) -> None:
    random.seed(seed)
    expected = delays_of_tenacity(stop, wait, retry, script)
    random.seed(seed)
    policy = RetryPolicy(stop=stop, wait=wait, retry=retry, max_retries=None)
    assert delays_of_policy(policy, script) == expected


@given(limit=st.integers(0, 9), wait=waits, script=runs, seed=st.integers(0, 99))
def test_max_retries_is_a_stop_after_one_attempt_more(
    limit: int, wait: Any, script: list[Run], seed: int
) -> None:
    retry = tenacity.retry_if_exception_type()
    random.seed(seed)
    expected = delays_of_tenacity(tenacity.stop_after_attempt(limit + 1), wait, retry, script)
    random.seed(seed)
    assert delays_of_policy(RetryPolicy(wait=wait, max_retries=limit), script) == expected


@given(
    backoff=st.floats(0.01, 1e6),
    longest_s=st.floats(0.01, 1e6),
    number=st.integers(1, 5000),
    jitter=st.booleans(),
)
def test_bounds_of_the_backoff(backoff: float, longest_s: float, number: int, jitter: bool) -> None:
    policy = policy_from_options(
        autoretry_for=(Exception,),
        retry_backoff=backoff,
        retry_backoff_max=longest_s,
        retry_jitter=jitter,
        max_retries=None,
    )
    full_s = min(longest_s, backoff * 2.0 ** min(number - 1, 60))
    attempt = Attempt(number=number, first_started_s=0, now_s=1, exception=OSError())
    delay_s = policy.decide(attempt).delay_s
    assert min(1.0, full_s) <= delay_s <= full_s
    assert jitter or delay_s == full_s
