"""Attempts without a pool: a claim goes in, an outcome comes out."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.attempts.executor import Executor, StartedAttempt
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec.exceptions import SafeExceptions
from reliable_tasks.core.codec.failures import decode_failure
from tests.worker.fakes import FakeAttemptStore

if TYPE_CHECKING:
    from reliable_tasks import App
    from reliable_tasks.store.values import Claim

__all__ = ["attempt", "detail_of", "failing", "raised_by"]


def attempt(
    app: App, claim: Claim, store: FakeAttemptStore | None = None, took: float = 0.0
) -> oc.Outcome:
    """What a pool does with a claim, in a context of its own; the body takes so many seconds."""
    return contextvars.copy_context().run(_attempt, app, claim, store or FakeAttemptStore(), took)


def _attempt(app: App, claim: Claim, store: FakeAttemptStore, took: float) -> oc.Outcome:
    now = [100.0]
    executor = Executor(app, "w@h", timer=lambda: now[0])
    started = executor.begin(claim, store)
    if not isinstance(started, StartedAttempt):
        return started
    try:
        value = started.run(*started.args, **started.kwargs)
    except BaseException as exc:  # noqa: BLE001 - as a pool does
        now[0] += took
        return executor.raised(started, exc)
    now[0] += took
    return executor.returned(started, value)


def detail_of(outcome: oc.Outcome) -> dict[str, Any]:
    detail: dict[str, Any] = msgspec.json.decode(outcome.detail)
    return detail


def raised_by(outcome: oc.Outcome) -> BaseException:
    assert isinstance(outcome, oc.Failed | oc.Retry | oc.Rejected)
    return SafeExceptions().rebuild(decode_failure(outcome.failure))


def failing(app: App, exc: BaseException | type[BaseException], **options: Any) -> None:
    @app.task(name="fails", **options)
    def fails(*_: Any) -> None:
        raise exc
