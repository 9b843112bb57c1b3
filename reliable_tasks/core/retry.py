"""Retry policies: tenacity's `stop`, `wait` and `retry` evaluated on stored values.

Nothing here sleeps or loops: a policy is asked once per attempt, with what the store remembers of
the message, and answers with a `Decision`. So a delay-based stop counts from the first attempt even
if the worker was restarted in between. This is the only module that imports tenacity.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, TypeAlias

import msgspec
import tenacity
from tenacity.retry import retry_all, retry_any, retry_base, retry_if_exception
from tenacity.stop import stop_all, stop_any, stop_base
from tenacity.wait import wait_base, wait_chain, wait_combine

from reliable_tasks import errors
from reliable_tasks.core import ids
from reliable_tasks.core.checks import delay, exception_classes, retries
from reliable_tasks.core.texts import MAX_SPAN_S, shown
from reliable_tasks.errors import ConfigError, suggest

__all__ = [
    "DEFAULT_MAX_RETRIES",
    "DEFAULT_RETRY_DELAY_S",
    "MIN_JITTERED_DELAY_S",
    "Attempt",
    "Decision",
    "RetryPolicy",
    "describe",
    "policy_from_options",
    "wait_backoff",
]

DEFAULT_MAX_RETRIES = 3
DEFAULT_RETRY_DELAY_S = 180.0
MIN_JITTERED_DELAY_S = 1.0
"""Jitter never makes a delay shorter than this, unless the delay itself is shorter."""

_PASS_THROUGH = (errors.Ignore, errors.Reject, errors.Retry)
_RETRY_ANY_EXCEPTION = tenacity.retry_if_exception_type()
_EXAMPLES = {
    "stop": "stop_after_attempt(5)",
    "wait": "wait_exponential(max=600)",
    "retry": "retry_if_exception_type(OSError)",
}

_State: TypeAlias = tenacity.RetryCallState
_Stop: TypeAlias = stop_base | Callable[[_State], bool]
_Wait: TypeAlias = wait_base | Callable[[_State], float | int]
_Retry: TypeAlias = retry_base | Callable[[_State], bool]
_ExceptionTypes: TypeAlias = type[BaseException] | Iterable[type[BaseException]]
_Seconds: TypeAlias = float | dt.timedelta


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One ended attempt, as the store remembers it.

    Attributes:
        number: 1 for the first attempt.
        first_started_s: when the first attempt started, in seconds since the epoch.
        now_s: when this one ended, by the same clock.
        exception: what it raised; None when it returned `result`.
        result: what it returned.
        asked: the body itself asked for the retry, so only `stop` and `wait` are consulted.
        idle_s: sum of the delays so far, and `previous_delay_s` the last of them, for policies of
            one's own that look at `idle_for` and `upcoming_sleep`.
        fn_name: name of the task, with `args` and `kwargs` for policies that look at them.
    """

    number: int
    first_started_s: float
    now_s: float
    exception: BaseException | None = None
    result: Any = None
    asked: bool = False
    idle_s: float = 0.0
    previous_delay_s: float = 0.0
    fn_name: str = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Decision(msgspec.Struct, frozen=True):
    """A policy's decision on an attempt.

    Attributes:
        retry: whether there is to be another attempt.
        delay_s: how long to wait before it, in seconds; 0.0 without a retry.
        reason: why, in plain words.
        policy: the policy's description.
    """

    retry: bool
    delay_s: float
    reason: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to retry, after how long, and when to give up.

    Attributes:
        stop: a tenacity stop; by default only `max_retries` ends the retries.
        wait: a tenacity wait; by default none, so a retry follows at once.
        retry: a tenacity retry; by default any `Exception` is retried.
        max_retries: how many retries there may be, whatever `stop` says; None for no such limit.
            Left out, it is 3 where there is no `stop` either, else None.
        name: put before the description in logs.

    Raises:
        ConfigError: one of them is of the wrong type.
    """

    stop: _Stop | None = None
    wait: _Wait | None = None
    retry: _Retry | None = None
    max_retries: int | EllipsisType | None = ...
    name: str = ""
    watches_results: bool = field(init=False)
    """Whether a returned value can lead to a retry: if not, `decide` need not be asked for one."""
    description: str = field(init=False)

    def __post_init__(self) -> None:
        for option in ("stop", "wait", "retry"):
            _check_strategy(option, getattr(self, option))
        limit = self.max_retries
        if isinstance(limit, EllipsisType):
            limit = DEFAULT_MAX_RETRIES if self.stop is None else None
        object.__setattr__(self, "max_retries", retries("max_retries", limit))
        watches = self.retry is not None and _watches_results(self.retry)
        object.__setattr__(self, "watches_results", watches)
        object.__setattr__(self, "description", describe(self))

    def decide(self, attempt: Attempt) -> Decision:
        """Decide whether there is another attempt, and after how long.

        `Retry`, `Ignore` and `Reject` are never retried by a policy: they say themselves what is to
        happen. If one of the policy's own functions raises, there is no retry, and the reason says
        what it raised.
        """
        exc = attempt.exception
        if isinstance(exc, _PASS_THROUGH) and not attempt.asked:
            return self._no(f"{type(exc).__name__} is not for the policy to retry")
        if self.retry is tenacity.retry_never and not _is_asked(attempt):
            return self._no("the task asks for no retries (autoretry_for, retry_policy)")
        try:
            return self._evaluate(attempt, self._state(attempt))
        except Exception as error:  # noqa: BLE001 - a user's own function may raise anything
            return self._no(f"the policy itself raised {type(error).__name__}: {error}")

    def _evaluate(self, attempt: Attempt, state: _State) -> Decision:
        what = "the result" if attempt.exception is None else type(attempt.exception).__name__
        if not _is_asked(attempt) and not (self.retry or _RETRY_ANY_EXCEPTION)(state):
            return self._no(f"retry not asked for {what}")
        # tenacity's order: the wait comes first, because stop_before_delay looks at it.
        state.upcoming_sleep = 0.0 if self.wait is None else _checked_delay(self.wait(state))
        if isinstance(self.max_retries, int) and attempt.number > self.max_retries:
            return self._no(f"stopped: max_retries={self.max_retries}")
        if self.stop is not None and self.stop(state):
            return self._no(f"stopped: {_tell(self.stop)}")
        limit = "" if self.max_retries is None else f" of {self.max_retries}"
        why = "the body asked for it" if attempt.asked else f"retry asked for {what}"
        reason = f"{why}: retry {attempt.number}{limit} in {state.upcoming_sleep:g} s"
        return Decision(True, state.upcoming_sleep, reason, self.description)

    def _state(self, attempt: Attempt) -> _State:
        """The state tenacity's objects see, each stamp overwritten from the stored values."""
        retrying = tenacity.Retrying(name=attempt.fn_name or None)
        state = _State(retrying, None, attempt.args, dict(attempt.kwargs))
        state.attempt_number = attempt.number
        state.start_time = min(attempt.first_started_s, attempt.now_s)
        state.outcome_timestamp = attempt.now_s
        state.idle_for = attempt.idle_s
        state.upcoming_sleep = attempt.previous_delay_s
        failed = attempt.exception is not None
        value = attempt.exception if failed else attempt.result
        state.outcome = tenacity.Future.construct(attempt.number, value, failed)
        retrying.statistics.update(
            start_time=state.start_time,
            attempt_number=attempt.number,
            idle_for=attempt.idle_s,
            delay_since_first_attempt=state.seconds_since_start,
        )
        return state

    def _no(self, reason: str) -> Decision:
        return Decision(False, 0.0, reason, self.description)


class wait_backoff(wait_base):  # noqa: N801 - named as tenacity names its own
    """Celery's exponential backoff: `base_s` doubled with each retry, at most `max_s`.

    With `jitter` the delay is uniform between 0 and that, but never under `min_delay_s` (or the
    delay without jitter, if that is shorter still). Randomness comes from `ids.uniform`.
    """

    def __init__(
        self,
        base_s: float = 1.0,
        max_s: float = 600.0,
        *,
        jitter: bool = True,
        min_delay_s: float = MIN_JITTERED_DELAY_S,
    ) -> None:
        self.base_s = base_s
        self.max_s = max_s
        self.jitter = jitter
        self.min_delay_s = min_delay_s

    def __call__(self, retry_state: _State) -> float:
        """Seconds to wait after the attempt that `retry_state` tells of."""
        # The exponent is bounded so that a message retried for ever does not overflow a float.
        delay_s = min(self.max_s, self.base_s * 2.0 ** min(retry_state.attempt_number - 1, 512))
        if not self.jitter:
            return delay_s
        return max(min(self.min_delay_s, delay_s), ids.uniform(0.0, delay_s))

    def __str__(self) -> str:
        jitter = ", jitter" if self.jitter else ""
        return f"backoff({self.base_s:g}..{self.max_s:g}s{jitter})"


def policy_from_options(
    *,
    autoretry_for: _ExceptionTypes = (),
    dont_autoretry_for: _ExceptionTypes = (),
    retry_kwargs: Mapping[str, Any] | None = None,
    retry_backoff: bool | float = False,
    retry_backoff_max: _Seconds = 600,
    retry_jitter: bool = True,
    max_retries: int | None = DEFAULT_MAX_RETRIES,
    default_retry_delay: _Seconds = DEFAULT_RETRY_DELAY_S,
    name: str = "",
) -> RetryPolicy:
    """The policy that Celery's options describe.

    Unlike Celery's: `retry_kwargs` is never changed, `max_retries: None` in it means for ever, a
    `retry_backoff` under 1 or with a fraction is taken as it is, and jitter keeps a least delay.

    Args:
        autoretry_for: exceptions that are retried; none by default.
        dont_autoretry_for: exceptions that are not, though `autoretry_for` covers them.
        retry_kwargs: `countdown` (seconds) and `max_retries`, which go before the options.
        retry_backoff: True for delays of 1, 2, 4, … s, or the first delay in seconds.
        retry_backoff_max: the longest delay of a backoff, in seconds.
        retry_jitter: whether a backoff's delays are drawn at random.
        max_retries: how many retries there may be; None for ever.
        default_retry_delay: the delay in seconds without a backoff and a `countdown`.
        name: put before the description in logs.

    Raises:
        ConfigError: an option has a wrong type or value.
    """
    extra = _check_retry_kwargs(retry_kwargs)
    retried = exception_classes("autoretry_for", autoretry_for)
    spared = exception_classes("dont_autoretry_for", dont_autoretry_for)
    retry: retry_base = tenacity.retry_if_exception_type(retried)
    if spared:
        retry = retry & tenacity.retry_if_not_exception_type(spared)
    jitter = _check_flag("retry_jitter", retry_jitter)
    base_s = 1.0 if retry_backoff is True else delay("retry_backoff", retry_backoff or 0)
    max_s = delay("retry_backoff_max", retry_backoff_max)
    fixed_s = delay("default_retry_delay", default_retry_delay)
    if "countdown" in extra:
        fixed_s = delay("retry_kwargs['countdown']", extra["countdown"])
    return RetryPolicy(
        wait=wait_backoff(base_s, max_s, jitter=jitter) if base_s else tenacity.wait_fixed(fixed_s),
        retry=retry if retried else tenacity.retry_never,
        max_retries=retries("max_retries", extra.get("max_retries", max_retries)),
        name=name,
    )


def describe(policy: RetryPolicy) -> str:
    """A short text such as `backoff(1..600s, jitter), max_retries=3`."""
    parts = [_tell(part) for part in (policy.wait, policy.stop) if part is not None]
    if policy.max_retries is not None:
        parts.append(f"max_retries={policy.max_retries}")
    elif policy.stop is None:
        parts.append("for ever")
    text = ", ".join(parts)
    return f"{policy.name}: {text}" if policy.name else text


# Words for tenacity's objects ---------------------------------------------------------------------

_COMBINED: tuple[tuple[type, str, str], ...] = (
    (stop_any, "stops", " | "),
    (stop_all, "stops", " & "),
    (retry_any, "retries", " | "),
    (retry_all, "retries", " & "),
    (wait_combine, "wait_funcs", " + "),
)


def _tell(strategy: object) -> str:
    if isinstance(strategy, wait_backoff):
        return str(strategy)
    for kind, attribute, sign in _COMBINED:
        if isinstance(strategy, kind):
            return "(" + sign.join(map(_tell, getattr(strategy, attribute))) + ")"
    if isinstance(strategy, wait_chain):
        return "wait_chain(" + ", ".join(map(_tell, strategy.strategies)) + ")"
    if not isinstance(strategy, stop_base | wait_base | retry_base):
        return _word(strategy)
    fields = {k: v for k, v in vars(strategy).items() if not k.startswith("_")}
    if len(fields) == 1:
        text = _word(*fields.values())
    else:
        text = ", ".join(f"{k}={_word(v)}" for k, v in fields.items())
    name = type(strategy).__name__.lstrip("_")
    return f"{name}({text})" if text else name


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_word, value)) + ")"
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__qualname__))
    return repr(value)


def _watches_results(retry: _Retry) -> bool:
    if isinstance(retry, retry_any):
        return any(map(_watches_results, retry.retries))
    if isinstance(retry, retry_all):
        return all(map(_watches_results, retry.retries))
    if retry is tenacity.retry_never or isinstance(retry, tenacity.retry_if_exception_cause_type):
        return False
    # Of the others, those that keep retry_if_exception's own call look at exceptions only; what a
    # user's own function looks at cannot be known.
    keeps_call = type(retry).__call__ is retry_if_exception.__call__
    return not (isinstance(retry, retry_if_exception) and keeps_call)


# Checks -------------------------------------------------------------------------------------------


def _check_strategy(option: str, value: object) -> None:
    if value is None or (callable(value) and not isinstance(value, type)):
        return
    remedy = (
        f"call it: {value.__name__}(…)" if isinstance(value, type) else f"pass a tenacity {option}"
    )
    raise ConfigError(
        f"RetryPolicy({option}={value!r}): this is not a {option} strategy; {remedy}, such as "
        f"tenacity.{_EXAMPLES[option]}"
    )


def _check_flag(option: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigError(f"{option}={shown(value)}: pass True or False")


def _check_retry_kwargs(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"retry_kwargs={shown(value)}: pass a dict such as {{'max_retries': 5}}")
    for name in set(value) - {"countdown", "max_retries"}:
        hint = suggest(str(name), ("countdown", "max_retries"))
        raise ConfigError(
            f"retry_kwargs has no option {name!r}; known are countdown and max_retries{hint}"
        )
    return value


def _is_asked(attempt: Attempt) -> bool:
    """Whether the body said that it is to be retried, whatever the policy thinks of exceptions."""
    return attempt.asked or isinstance(attempt.exception, tenacity.TryAgain)


def _checked_delay(delay_s: float) -> float:
    if not delay_s >= 0:  # also true of a NaN
        raise ValueError(f"the wait gave {delay_s!r} seconds")
    return min(float(delay_s), MAX_SPAN_S)
