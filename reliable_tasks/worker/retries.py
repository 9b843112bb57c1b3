"""What a retry comes to: the outcome, with the record that the audit trail and the log show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks import outcome
from reliable_tasks.canvas import complete_call
from reliable_tasks.errors import MaxRetriesExceededError
from reliable_tasks.serialization import dumps_call, encode_failure

from .attempt import encode_detail, text_of, traceback_of

if TYPE_CHECKING:
    from reliable_tasks.errors import Retry
    from reliable_tasks.retry import Decision

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
    if asked.when is None and asked.eta is None:
        about = started.for_policy(now, exception=cause, asked=True)
        decision = started.runner.policy.decide(about)
        if not decision.retry:
            gave_up = asked.exc or MaxRetriesExceededError(decision.reason)
            return failed(gave_up, decision)
        return retry_decided(started, cause, decision, now, asked)
    limit = "" if asked.max_retries is None else f" of {asked.max_retries}"
    reason = f"the body asked for it: retry {started.claim.attempt}{limit}"
    said = {"policy": "self.retry()", "reason": reason, "max_retries": asked.max_retries}
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
        at_ms = round(asked.eta.timestamp() * 1000)
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
    call = asked.call if asked else None
    return outcome.Retry(
        delay_ms=max(0, round(delay_s * 1000)),
        at_ms=at_ms,
        failure=encode_failure(exc, traceback_of(exc)),
        payload=None if call is None else _encoded(started, call),
        queue=asked.queue if asked else None,
        detail=encode_detail(detail),
    )


def _encoded(started: Started, call: tuple[tuple[Any, ...], dict[str, Any]]) -> bytes:
    return dumps_call(*complete_call(started.headers, *call), started.headers.serializer)
