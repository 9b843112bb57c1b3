"""What a retry comes to: the outcome, with the record that the audit trail and the log show."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reliable_tasks import _checks as checks
from reliable_tasks import outcome
from reliable_tasks._asking import limit_of
from reliable_tasks.errors import MaxRetriesExceededError
from reliable_tasks.retry import Decision
from reliable_tasks.serialization import encode_failure

from .attempt import encode_detail, text_of, traceback_of

if TYPE_CHECKING:
    from reliable_tasks.errors import Retry

    from .attempt import Started

__all__ = ["failed", "retry_asked", "retry_decided"]


def failed(exc: BaseException, decision: Decision | None = None) -> outcome.Failed:
    """The end of a message whose attempt raised and is not followed by another."""
    detail = {
        "exception": type(exc).__name__,
        "message": text_of(exc),
        "reason": decision.reason if decision else "not retried",
    }
    failure = encode_failure(exc, traceback_of(exc))
    return outcome.Failed(failure=failure, detail=encode_detail(detail))


def retry_asked(started: Started, asked: Retry, now: float) -> outcome.Retry | outcome.Failed:
    """`self.retry()`: after its own delay, or as the policy says where it gave none."""
    cause = asked.exc or asked
    limit = asked.max_retries
    if limit is None:  # a `Retry` that the body has made itself does not say
        limit = limit_of(started.runner.task)
    if limit is not None and started.claim.attempt > limit:
        decision = Decision(False, 0.0, f"stopped: max_retries={limit}", "self.retry()")
        return failed(asked.exc or MaxRetriesExceededError(decision.reason), decision)
    if asked.when is None and asked.eta is None:
        about = started.for_policy(now, exception=cause, asked=True)
        policy = started.runner.policy
        if limit != policy.max_retries and started.runner.task.retry_policy is not None:
            policy = replace(policy, max_retries=limit)  # the body's own word for this message
        decision = policy.decide(about)
        if not decision.retry:
            gave_up = asked.exc or MaxRetriesExceededError(decision.reason)
            return failed(gave_up, decision)
        return retry_decided(started, cause, decision, now, asked)
    of_limit = "" if limit is None else f" of {limit}"
    reason = f"the body asked for it: retry {started.claim.attempt}{of_limit}"
    said = {"policy": "self.retry()", "reason": reason, "max_retries": limit}
    return _record(started, cause, asked, asked.when or 0.0, said, now)


def retry_decided(
    started: Started,
    exc: BaseException,
    decision: Decision,
    now: float,
    asked: Retry | None = None,
) -> outcome.Retry:
    """A retry that the task's policy has decided on."""
    limit = started.runner.policy.max_retries
    if asked is not None and asked.max_retries is not None:
        limit = asked.max_retries
    said = {
        "policy": decision.policy,
        "reason": decision.reason,
        "max_retries": limit if isinstance(limit, int) else None,
    }
    return _record(started, exc, asked, decision.delay_s, said, now)


def _record(
    started: Started,
    exc: BaseException,
    asked: Retry | None,
    delay_s: float,
    said: dict[str, str | int | None],
    now: float,
) -> outcome.Retry:
    now_ms = started.now_ms(now)
    at_ms = None
    if asked is not None and asked.eta is not None:
        at_ms = checks.instant_ms("eta", asked.eta, started.runner.task.app.timezone)
        delay_s = max(0.0, (at_ms - now_ms) / 1000)
    detail = {
        "exception": type(exc).__name__,
        "message": text_of(exc),
        "delay": round(delay_s, 3),
        "next_at": now_ms + round(delay_s * 1000) if at_ms is None else at_ms,
        **said,
        "root_id": started.request.root_id,
        "once_key": started.claim.once_key,
        "queue": started.claim.queue,
    }
    return outcome.Retry(
        delay_ms=max(0, round(delay_s * 1000)),
        at_ms=at_ms,
        failure=encode_failure(exc, traceback_of(exc)),
        detail=encode_detail(detail),
        **({} if asked is None else _changes(started, asked, now_ms)),
    )


def _changes(started: Started, asked: Retry, now_ms: int) -> dict[str, Any]:
    """What `self.retry()` changes of the message; it has checked and encoded it."""
    expires, expires_ms = asked.expires, None
    if isinstance(expires, dt.datetime | str):
        expires_ms = checks.instant_ms("expires", expires, started.runner.task.app.timezone)
    elif expires is not None:
        expires_ms = now_ms + max(0, checks.span_ms("expires", expires))
    return {
        "payload": asked.payload,
        "headers": asked.headers,
        "queue": asked.queue,
        "priority": asked.priority,
        "expires_ms": expires_ms,
    }
