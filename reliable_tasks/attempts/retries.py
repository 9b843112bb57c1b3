"""Outcomes of failed attempts: a retry or the final failure, with the details for audit and log."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import signals
from reliable_tasks.attempts.attempt import MAX_TEXT, encode_detail, text_of
from reliable_tasks.core import checks, outcome
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.retry import Decision, RetryPolicy
from reliable_tasks.errors import ConfigError, MaxRetriesExceededError
from reliable_tasks.results.offspring import trail
from reliable_tasks.signals.publishing import hand_over_retry
from reliable_tasks.tasks.asking import decide_asked, limit_of, none_left

if TYPE_CHECKING:
    from reliable_tasks.attempts.attempt import StartedAttempt
    from reliable_tasks.errors import Retry

__all__ = ["asked_of_policy", "checked", "failed", "retry_asked", "retry_decided"]


def failed(
    started: StartedAttempt,
    exc: BaseException,
    decision: Decision | None = None,
    exhausted: tuple[BaseException, int] | None = None,
) -> outcome.Failed:
    """The final failure of a message: its attempt raised and is not retried.

    Args:
        started: the attempt.
        exc: what it raised.
        decision: of the policy, where it was asked.
        exhausted: what `self.retry()` raised when no retry was left, and of how many.
    """
    reason = decision.reason if decision else "not retried"
    if exhausted is not None and exhausted[0] is exc:
        reason = none_left(exhausted[1])
    detail = {"exception": type(exc).__name__, "message": text_of(exc), "reason": reason[:MAX_TEXT]}
    sent = None if started.made is None else trail(started.children)
    failure = encode_failure(exc, started.einfo(exc).traceback, sent)
    return outcome.Failed(failure=failure, detail=encode_detail(detail))


def asked_of_policy(
    started: StartedAttempt,
    now: float,
    outlived: tuple[type[BaseException], ...],
    policy: RetryPolicy | None = None,
    **ended: Any,
) -> Decision:
    """Ask the task's policy about an attempt that `ended` in an exception or a result."""
    if policy is None:
        policy, said = started.prepared.policy, started.max_retries
        if said is not None:  # by the body, for this attempt
            policy = replace(policy, max_retries=said)
    try:
        return policy.decide(started.for_policy(now, **ended))
    except outlived as exc:
        # The policy may call user functions. If one raises, even SystemExit, there is no retry.
        reason = f"the policy itself raised {type(exc).__name__}: {text_of(exc)}"
        return Decision(False, 0.0, reason, policy.description)


def retry_asked(
    started: StartedAttempt, asked: Retry, now: float, outlived: tuple[type[BaseException], ...]
) -> tuple[outcome.Outcome, BaseException]:
    """Decide on `self.retry()`: after its own delay, or as the policy says if it gave none.

    Returns:
        The outcome, and the exception that hooks are told of.
    """
    cause = asked if asked.exc is None else asked.exc
    task = started.task

    def decide(policy: RetryPolicy) -> Decision:
        return asked_of_policy(started, now, outlived, policy, exception=cause, asked=True)

    decision = decide_asked(task, asked, started.number, decide)
    if decision is not None:
        if not decision.retry:
            return _gave_up(started, asked, decision)
        return retry_decided(started, cause, decision, now, asked), asked
    limit = limit_of(task) if asked.max_retries is None else asked.max_retries
    of_limit = "" if limit is None else f" of {limit}"
    reason = f"the body asked for it: retry {started.number}{of_limit}"
    said = {"policy": "self.retry()", "reason": reason, "max_retries": limit}
    return _record(started, cause, asked, asked.when or 0.0, said, now), asked


def _gave_up(
    started: StartedAttempt, asked: Retry, decision: Decision
) -> tuple[outcome.Outcome, BaseException]:
    exc = MaxRetriesExceededError(decision.reason) if asked.exc is None else asked.exc
    return failed(started, exc, decision), exc


def retry_decided(
    started: StartedAttempt,
    exc: BaseException,
    decision: Decision,
    now: float,
    asked: Retry | None = None,
) -> outcome.Outcome:
    """The outcome of a retry that the task's policy decided on."""
    limit = started.prepared.policy.max_retries
    if asked is not None and asked.max_retries is not None:
        limit = asked.max_retries
    elif asked is None and started.max_retries is not None:
        limit = started.max_retries
    said = {
        "policy": decision.policy,
        "reason": decision.reason[:MAX_TEXT],
        "max_retries": limit if isinstance(limit, int) else None,
    }
    return _record(started, exc, asked, decision.delay_s, said, now)


def _record(
    started: StartedAttempt,
    exc: BaseException,
    asked: Retry | None,
    delay_s: float,
    said: dict[str, str | int | None],
    now: float,
) -> outcome.Outcome:
    now_ms = started.now_ms(now)
    at_ms = None
    delay_s = max(0.0, checks.span("the delay of a retry", delay_s))
    if asked is not None and asked.eta is not None:
        at_ms = checks.instant_ms("eta", asked.eta, started.task.app.timezone)
        delay_s = max(0.0, (at_ms - now_ms) / 1000)
    detail = {
        "exception": type(exc).__name__,
        "message": text_of(exc),
        "delay": round(delay_s, 3),
        "next_at": now_ms + round(delay_s * 1000) if at_ms is None else at_ms,
        **said,
        "root_id": started.claim.root_id or started.claim.id,
        "once_key": started.claim.once_key,
        "queue": started.claim.queue,
    }
    retry = outcome.Retry(
        delay_ms=round(delay_s * 1000),
        at_ms=at_ms,
        failure=encode_failure(exc, started.einfo(exc).traceback),
        detail=encode_detail(detail),
        **({} if asked is None else _changes(started, asked, now_ms)),
    )
    if signals.before_task_publish.receivers and started.store is not None:
        due_ms = now_ms + retry.delay_ms if at_ms is None else at_ms
        retry = hand_over_retry(started.task.app, started.claim, retry, due_ms)
    return checked(retry)


def checked(done: outcome.Outcome) -> outcome.Outcome:
    """Check that a store can encode an outcome made of values that the body chose.

    It is committed in one batch with others, and must not keep those from being committed.

    Raises:
        ConfigError: it cannot be packed; the attempt has failed then.
    """
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(done), type=type(done))
    except Exception as exc:
        raise ConfigError(
            f"the attempt asked for a {type(done).__name__} that cannot be stored: {exc}"
        ) from exc
    return done


def _changes(started: StartedAttempt, asked: Retry, now_ms: int) -> dict[str, Any]:
    """What `self.retry()` changes of the message; it has checked and encoded it."""
    expires, expires_ms = asked.expires, None
    if isinstance(expires, dt.datetime | str):
        expires_ms = checks.instant_ms("expires", expires, started.task.app.timezone)
    elif expires is not None:
        expires_ms = now_ms + max(0, checks.span_ms("expires", expires))
    return {
        "payload": asked.payload,
        "headers": asked.headers,
        "queue": asked.queue,
        "priority": asked.priority,
        "expires_ms": expires_ms,
    }
