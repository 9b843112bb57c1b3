"""Notifies hooks, signal receivers and the log of an attempt.

All of them may run user code. Whatever that raises, the attempt's outcome stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import events, signals
from reliable_tasks.attempts.attempt import einfo_of
from reliable_tasks.core import outcome
from reliable_tasks.core.reasons import Reason
from reliable_tasks.errors import Retry
from reliable_tasks.log import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.attempts.attempt import StartedAttempt
    from reliable_tasks.signals import Signal
    from reliable_tasks.store.values import Claim

__all__ = ["Notifier"]


class Notifier:
    """Calls hooks, sends signals and emits events, and survives what they raise.

    Args:
        hostname: the worker's name, for the log.
        outlived: what user code may raise without harm; anything else passes.
    """

    def __init__(
        self, hostname: str, outlived: tuple[type[BaseException], ...] = (BaseException,)
    ) -> None:
        self._hostname = hostname
        self._outlived = outlived

    # The ends of an attempt ----------------------------------------------------------------------

    def starts(self, started: StartedAttempt) -> None:
        """The body is about to run."""
        claim, task = started.claim, started.task
        if signals.task_received.receivers and not started.prepared.eager:
            self.send(signals.task_received, claim, task, request=started.request)
        call = {"task": task, "args": started.args, "kwargs": started.kwargs}
        self.send(signals.task_prerun, claim, task, task_id=claim.id, **call)
        if events.enabled("attempt.started"):
            self.emit("attempt.started", claim)

    def succeeded(self, started: StartedAttempt, value: Any, now: float) -> None:
        """The body has returned, and its result can be stored."""
        claim, task = started.claim, started.task
        self.hook(started, "on_success", value, claim.id, started.args, started.kwargs)
        self._after(started, "SUCCESS", value, None)
        self.send(signals.task_success, claim, task, result=value)
        self._postrun(started, value, "SUCCESS")
        if events.enabled("attempt.succeeded"):
            self.emit("attempt.succeeded", claim, runtime=round(now - started.began, 6))

    def ended(self, started: StartedAttempt, done: outcome.Outcome, exc: BaseException) -> None:
        """The attempt ended other than by success, because of `exc`."""
        task, claim = started.task, started.claim
        if isinstance(done, outcome.Retry):
            self._retried(started, done, exc)
        elif isinstance(done, outcome.Failed):
            self._failed(started, done, exc)
        elif isinstance(done, outcome.Rejected):
            said = {"message": None, "exc": exc, "request": started.request}
            self.send(signals.task_rejected, claim, task, **said)
            self._postrun(started, exc, "REJECTED")
            self.tell("attempt.rejected", claim, done.detail)
        else:
            self.set_aside(started, done, exc)

    def set_aside(self, started: StartedAttempt, done: outcome.Outcome, value: Any) -> None:
        """The body ended without a result of its own. As in Celery, no hook is called."""
        self._postrun(started, value, "IGNORED")
        if isinstance(done, outcome.Ignored):
            self.tell("attempt.ignored", started.claim, done.detail)
        else:
            self.emit("attempt.replaced", started.claim)

    def _retried(self, started: StartedAttempt, done: outcome.Retry, exc: BaseException) -> None:
        task, claim = started.task, started.claim
        cause = exc.exc or exc if isinstance(exc, Retry) else exc
        einfo = started.einfo(cause)
        self.hook(started, "on_retry", cause, claim.id, started.args, started.kwargs, einfo)
        if signals.task_retry.has_listeners:
            asked = {"request": started.request, "reason": cause, "einfo": einfo}
            self.send(signals.task_retry, claim, task, **asked)
        self._postrun(started, cause, "RETRY")
        self.tell("attempt.retried", claim, done.detail)

    def _failed(self, started: StartedAttempt, done: outcome.Failed, exc: BaseException) -> None:
        task, claim = started.task, started.claim
        einfo = started.einfo(exc)
        self.hook(started, "on_failure", exc, claim.id, started.args, started.kwargs, einfo)
        self._after(started, "FAILURE", exc, einfo)
        if signals.task_failure.has_listeners:
            call = {"task_id": claim.id, "args": started.args, "kwargs": started.kwargs}
            said = {**call, "exception": exc, "traceback": exc.__traceback__, "einfo": einfo}
            self.send(signals.task_failure, claim, task, **said)
        self._postrun(started, exc, "FAILURE")
        expected = self._try(claim, "throws", isinstance, exc, task.throws)
        self.tell("attempt.failed", claim, done.detail, expected=bool(expected), einfo=einfo)

    def revoked(self, started: StartedAttempt) -> None:
        """The message was revoked, and its body stopped."""
        claim, task = started.claim, started.task
        if signals.task_revoked.has_listeners:
            said = {"terminated": True, "signum": None, "expired": False}
            self.send(signals.task_revoked, claim, task, request=started.request, **said)
        self._postrun(started, None, "REVOKED")
        self.emit("attempt.revoked", claim, reason=Reason.TERMINATED.value)

    def is_over(self, started: StartedAttempt) -> None:
        """The attempt is over: flush the last unfinished line that it printed."""
        self._try(started.claim, "the log of what it printed", output.finish, started)

    # Each of those who are told ------------------------------------------------------------------

    def hook(self, started: StartedAttempt, name: str, *args: Any) -> None:
        """Call a hook if the task overrides it."""
        if name in started.prepared.hooks:
            self._try(started.claim, name, getattr(started.task, name), *args)

    def _after(self, started: StartedAttempt, status: str, value: Any, einfo: Any) -> None:
        call = (started.claim.id, started.args, started.kwargs)
        self.hook(started, "after_return", status, value, *call, einfo)

    def _postrun(self, started: StartedAttempt, value: Any, state: str) -> None:
        if signals.task_postrun.has_listeners:
            claim, task = started.claim, started.task
            call = {"task": task, "args": started.args, "kwargs": started.kwargs}
            said = {"task_id": claim.id, **call, "retval": value, "state": state}
            self.send(signals.task_postrun, claim, task, **said)

    def send(self, signal: Signal, claim: Claim, sender: Any, **fields: Any) -> None:
        """Send a signal."""
        if signal.has_listeners:
            self._try(claim, f"a receiver of {signal.name}", signal.send, sender, **fields)

    def _try(
        self, claim: Claim, what: str, call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        try:
            return call(*args, **kwargs)
        except self._outlived as exc:
            # A hook must not change the outcome, and its SystemExit must not end the worker.
            self.emit("hook.failed", claim, hook=what, einfo=einfo_of(exc))
            return None

    def tell(self, event: str, claim: Claim, detail: bytes, **more: Any) -> None:
        """Emit an event with the fields of an outcome's detail."""
        if events.enabled(event):
            said = msgspec.json.decode(detail) if detail else {}
            self.emit(event, claim, said, **more)

    def emit(self, event: str, claim: Claim, said: Any = None, /, **more: Any) -> None:
        """Emit an event about a claim."""
        about = {
            "id": claim.id,
            "root_id": claim.root_id or claim.id,
            "task": claim.task,
            "attempt": claim.attempt,
            "delivery": claim.delivery,
            "fence": claim.fence,
            "queue": claim.queue,
            "once_key": claim.once_key,
            "worker": self._hostname,
        }
        try:
            events.emit(event, **{**(said or {}), **about, **more})
        except self._outlived:
            return  # a log that raises cannot be told of either; what it was told of stands
