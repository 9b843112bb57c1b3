"""The executor: turns a claim into an outcome. It touches no store.

An attempt has two ends. `begin` decodes the call, sets the request and runs what comes before the
body; the pool then runs the body, in whichever way it runs bodies; `returned` or `raised` decides
what the attempt came to, running the hooks. Claims whose body is not to run (its task is unknown,
it was killed at a limit before, it has no once-key yet) give their outcome at once.

Each of the three gives an outcome whatever user code does meanwhile: a value's own methods, a retry
policy or a hook may raise anything, exits included, and what comes of it is a failure in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks import events, signals
from reliable_tasks.attempts.attempt import (
    MAX_TEXT,
    PreparedCall,
    StartedAttempt,
    einfo_of,
    encode_detail,
    text_of,
)
from reliable_tasks.attempts.notifier import Notifier
from reliable_tasks.attempts.retries import (
    asked_of_policy,
    checked,
    failed,
    retry_asked,
    retry_decided,
)
from reliable_tasks.canvas import ReplaceMessage, arguments_of
from reliable_tasks.canvas.replacing import extended
from reliable_tasks.core import context, outcome
from reliable_tasks.core.clock import monotonic
from reliable_tasks.core.codec.failures import decode_failure, encode_failure
from reliable_tasks.core.message import decode_headers
from reliable_tasks.core.reasons import Reason
from reliable_tasks.core.texts import said
from reliable_tasks.errors import (
    Ignore,
    MessageTooLarge,
    NotRegistered,
    Reject,
    Retry,
    TimeLimitExceeded,
    WorkerLostError,
)
from reliable_tasks.log import output
from reliable_tasks.tasks.calls import once_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Headers, Kind
    from reliable_tasks.core.request import AttemptStore
    from reliable_tasks.store.values import Claim
    from reliable_tasks.tasks.task import Task

__all__ = ["Executor", "StartedAttempt"]

_HOOKS_LIMIT_S = 60.0
_MOST_PREPARED = 256  # calls with different headers


class Executor:
    """Decides the outcome of attempts.

    Args:
        app: whose tasks and settings.
        hostname: the worker's name, for `self.request.hostname` and the log.
        soft_time_limit, time_limit: seconds, for tasks without limits of their own.
        timer: a monotonic clock in seconds.
        outlived: what user code may raise without harm to others; anything else passes through.
        eager: the caller waits for the attempts here and now, and their requests say so.
        notifier: tells of the attempts; one of its own by default.
        tasks: those it runs, by name; the app's by default.
    """

    def __init__(
        self,
        app: AppContext,
        hostname: str,
        *,
        soft_time_limit: float | None = None,
        time_limit: float | None = None,
        timer: Callable[[], float] = monotonic,
        outlived: tuple[type[BaseException], ...] = (BaseException,),
        eager: bool = False,
        notifier: Notifier | None = None,
        tasks: Mapping[str, Task[Any, Any]] | None = None,
    ) -> None:
        self._app = app
        self._settings = app.settings
        self._timer = timer
        self._outlived = outlived
        self._eager = eager
        self._notifier = notifier or Notifier(hostname, outlived)
        self._tasks: Mapping[str, Task[Any, Any]] = app.tasks if tasks is None else tasks
        self._common = (soft_time_limit, time_limit), hostname, eager
        self._prepared_tasks: dict[str, PreparedCall] = {}
        self._prepared_calls: dict[Kind | tuple[str, bytes] | None, PreparedCall] = {}

    # Before the body -----------------------------------------------------------------------------

    def begin(self, claim: Claim, store: AttemptStore | None) -> StartedAttempt | outcome.Outcome:
        """Prepare an attempt. Returns an outcome at once if the body must not run."""
        try:
            prepared = self._prepared_calls.get(claim.kind) or self._prepare(claim)
            if prepared is None:
                return self._unknown(claim)
            # If these bytes cannot be decoded, the message becomes a dead letter.
            args, kwargs = prepared.decode(claim.payload)
            if prepared.headers.takes or claim.oversize:
                args, kwargs = self._with_inputs(claim, prepared.headers, args, kwargs)
            if claim.limit_failure is not None or claim.delivery > claim.max_deliveries:
                return self._dead_letter(claim, prepared, args, kwargs)
            if claim.once_key is None and prepared.task.once_options is not None:
                lock = once_lock(prepared.task, args, kwargs)
                if lock is not None:
                    return outcome.KeyAssigned(once=lock)
            started = self._start(claim, prepared, args, kwargs, store)
        except self._outlived as exc:
            return self._failed_unrun(claim, exc)
        if "before_start" in prepared.hooks:
            try:
                prepared.task.before_start(claim.id, args, kwargs)
            except self._outlived as exc:  # it ends the attempt as a body would
                return self.raised(started, exc, retriable=False)
            except BaseException:  # it ends more than this attempt
                self.leave(started)
                raise
        return started

    def hard_limit_s(self, claim: Claim) -> float:
        """Seconds an attempt may take, counted from its very beginning; 0.0 for no limit.

        The hooks of a message that killed its workers always have a limit: they may kill again.
        """
        try:
            prepared = self._prepared_calls.get(claim.kind) or self._prepare(claim)
        except Exception:  # noqa: BLE001 - nothing of it will run
            return _HOOKS_LIMIT_S
        limit_s = prepared.hard_limit_s if prepared is not None else None
        only_hooks = claim.limit_failure is not None or claim.delivery > claim.max_deliveries
        return limit_s or (_HOOKS_LIMIT_S if only_hooks else 0.0)

    def _prepare(self, claim: Claim) -> PreparedCall | None:
        """What this call has in common with others; None for a task that is not known here.

        Raises:
            Exception: its headers cannot be read.
        """
        key = claim.kind or (claim.task, claim.headers)
        if key in self._prepared_calls:
            return self._prepared_calls[key]
        of_task = self._prepared_tasks.get(claim.task)
        if of_task is None:
            if claim.task not in self._tasks:
                return None
            of_task = PreparedCall(self._tasks[claim.task], *self._common)
            self._prepared_tasks[claim.task] = of_task
        if len(self._prepared_calls) >= _MOST_PREPARED:
            self._prepared_calls.clear()  # each call may have headers of its own
        found = self._prepared_calls[key] = of_task.with_headers(decode_headers(claim.headers))
        return found

    def _with_inputs(
        self, claim: Claim, headers: Headers, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if claim.oversize:
            raise MessageTooLarge(
                f"what the parents of {claim.task} left for it has {claim.oversize:,} bytes "
                f"together; the limit is {self._settings.max_input_bytes:,} (setting "
                "max_input_bytes): let them return references, or raise it and replay this message"
            )
        call: tuple[tuple[Any, ...], dict[str, Any]] = arguments_of(
            self._app, claim, headers, args, kwargs
        )
        return call

    def _start(
        self,
        claim: Claim,
        prepared: PreparedCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        store: AttemptStore | None,
    ) -> StartedAttempt:
        started = StartedAttempt(
            prepared.task,
            None,
            store,
            prepared.headers,
            claim=claim,
            prepared=prepared,
            args=args,
            kwargs=kwargs,
        )
        context.attempts[claim.id] = started
        if self._eager:  # its caller's context goes on
            forbidden = context.forbid_waiting.set(context.waiting_forbidden())
            started.tokens = context.current_attempt.set(started), forbidden
        else:
            context.current_attempt.set(started)
        if (
            signals.task_received.receivers
            or signals.task_prerun.receivers
            or events.listening["attempt.started"]
        ):
            self._notifier.starts(started)
        started.began = self._timer()
        return started

    # After the body ------------------------------------------------------------------------------

    def returned(self, started: StartedAttempt, value: Any) -> outcome.Outcome:
        """The outcome of an attempt whose body returned `value`."""
        prepared, exc = started.prepared, None
        done: outcome.Outcome
        try:
            if started.made is None and not prepared.policy.watches_results:  # it asked for nothing
                done = self._succeeded(started, value)
            else:
                done, exc = self._outcome_of_value(started, value)
        except self._outlived as raised:
            done, exc = failed(started, raised), raised
        if exc is not None:
            return self._ended(started, done, exc)
        try:
            if not isinstance(done, outcome.Succeeded):
                # It has added to its chord, and others take its place.
                self._notifier.set_aside(started, done, value)
            elif (
                prepared.hooks
                or signals.task_success.receivers
                or signals.task_postrun.receivers
                or events.listening["attempt.succeeded"]
            ):
                self._notifier.succeeded(started, value, self._timer())
        finally:
            self.leave(started)
        return done

    def _outcome_of_value(
        self, started: StartedAttempt, value: Any
    ) -> tuple[outcome.Outcome, BaseException | None]:
        """Decide on a returned value: the outcome, and its exception unless it succeeded."""
        asked = started.retry
        if asked is not None:
            return retry_asked(started, asked, self._timer(), self._outlived)
        if started.prepared.policy.watches_results:
            decision = asked_of_policy(started, self._timer(), self._outlived, result=value)
            if decision.retry:
                exc = Retry(f"the result {said(value):.200} is retried")
                return retry_decided(started, exc, decision, self._timer()), exc
        if started.additions:
            return checked(outcome.Replaced(messages=extended(started, value))), None
        return self._succeeded(started, value), None

    def _succeeded(self, started: StartedAttempt, value: Any) -> outcome.Succeeded:
        keep = started.prepared.keep
        try:
            result = started.encoded(value, self._settings.max_result_bytes)
        except self._outlived:
            if keep:
                raise
            result = b""  # nobody wants to have it
        return outcome.Succeeded(result=result, keep=keep)

    def raised(
        self, started: StartedAttempt, exc: BaseException, *, retriable: bool = True
    ) -> outcome.Outcome:
        """The outcome of an attempt whose body raised `exc`."""
        try:
            done, cause = self._outcome_of(started, exc, retriable)
        except self._outlived as raised:
            done, cause = failed(started, raised), raised
        return self._ended(started, done, cause)

    def revoked(self, started: StartedAttempt) -> outcome.Outcome:
        """The outcome of an attempt whose body was stopped because its message was revoked."""
        try:
            self._notifier.revoked(started)
        finally:
            self.leave(started)
        return outcome.Revoked()

    def _outcome_of(
        self, started: StartedAttempt, exc: BaseException, retriable: bool
    ) -> tuple[outcome.Outcome, BaseException]:
        """Decide on a raised exception: the outcome, and the exception that hooks are told of."""
        if isinstance(exc, ReplaceMessage):
            return checked(outcome.Replaced(messages=exc.messages)), exc
        if isinstance(exc, Ignore):
            return self._ignored(started), exc
        if isinstance(exc, Reject):
            return self._rejected(exc), exc
        if isinstance(exc, Retry):
            return retry_asked(started, exc, self._timer(), self._outlived)
        decision = None
        if retriable and not started.gave_up(exc):
            decision = asked_of_policy(started, self._timer(), self._outlived, exception=exc)
            if decision.retry:
                return retry_decided(started, exc, decision, self._timer()), exc
        return failed(started, exc, decision, started.exhausted), exc

    def _rejected(self, exc: Reject) -> outcome.Outcome:
        reason, requeue = said(exc.reason, str)[:MAX_TEXT], bool(exc.requeue)
        detail = encode_detail({"reason": reason, "requeue": requeue})
        return outcome.Rejected(requeue=requeue, failure=encode_failure(exc), detail=detail)

    def _ended(
        self, started: StartedAttempt, done: outcome.Outcome, exc: BaseException
    ) -> outcome.Outcome:
        try:
            self._notifier.ended(started, done, exc)
        finally:
            self.leave(started)
        return done

    def _ignored(self, started: StartedAttempt) -> outcome.Outcome:
        """`raise Ignore()` keeps the state that the body set with `update_state`."""
        said, meta = started.progress or ("", None)
        if said == "SUCCESS":
            return outcome.Succeeded(result=started.prepared.encode(meta))
        return outcome.Ignored(detail=encode_detail({"state": said}) if said else b"")

    # Claims whose body does not run --------------------------------------------------------------

    def interrupted(self, claim: Claim, exc: BaseException) -> outcome.Released:
        """Give back a claim that an earlier body's alarm interrupted before its own began."""
        reason = f"{type(exc).__name__} came before its body began"
        detail = encode_detail({"reason": reason, "delay": 0.0})
        self._notifier.tell("attempt.released", claim, detail)
        return outcome.Released(begun=True, detail=detail)

    def _unknown(self, claim: Claim) -> outcome.Outcome:
        """Give back a task unknown here: during a rolling deploy another worker may know it."""
        exc = NotRegistered(
            f"no worker knew the task {claim.task!r}: given back {claim.bounces} times"
        )
        about = {"name": claim.task, "id": claim.id, "message": None, "exc": exc}
        self._notifier.send(signals.task_unknown, claim, None, **about)
        if claim.bounces >= self._settings.unknown_task_limit:
            return self._failed_unrun(claim, exc)
        delay_ms = round(self._settings.unknown_task_delay * 1000)
        detail = encode_detail({"reason": f"no task {claim.task!r} here", "delay": delay_ms / 1000})
        self._notifier.tell("attempt.released", claim, detail)
        return outcome.Released(delay_ms=delay_ms, bounce=True, detail=detail)

    def _failed_unrun(self, claim: Claim, exc: BaseException) -> outcome.Failed:
        detail = encode_detail({"exception": type(exc).__name__, "message": text_of(exc)})
        einfo = einfo_of(exc)
        self._notifier.tell("attempt.failed", claim, detail, expected=False, einfo=einfo)
        return outcome.Failed(failure=encode_failure(exc, einfo.traceback), detail=detail)

    def _dead_letter(
        self,
        claim: Claim,
        prepared: PreparedCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> outcome.Outcome:
        """Run `on_failure` for a message killed at its limit, or which killed too many workers."""
        if claim.limit_failure is not None:
            failure = claim.limit_failure
            exc = self._rebuilt(failure)
            reason = Reason.TIME_LIMIT if isinstance(exc, TimeLimitExceeded) else Reason.KILLED
        else:
            exc = WorkerLostError(
                f"the worker process died in each of the {claim.delivery - 1} deliveries of "
                f"{claim.task}[{claim.id}]; replay it once the cause is mended"
            )
            failure, reason = encode_failure(exc), Reason.DELIVERY_LIMIT
        started = self._start(claim, prepared, args, kwargs, None)
        detail = {"exception": type(exc).__name__, "message": text_of(exc), "reason": reason}
        done = outcome.Failed(failure=failure, reason=reason, detail=encode_detail(detail))
        return self._ended(started, done, exc)

    def _rebuilt(self, failure: bytes) -> BaseException:
        try:
            return self._app.exceptions.rebuild(decode_failure(failure))
        except self._outlived as exc:  # of the exception's own constructor; its hooks run still
            return exc

    def leave(self, started: StartedAttempt) -> None:
        """Clean up after an attempt: what refers to it, and an eager caller's context."""
        started.told = None  # the frames of its exception refer to it
        if output.unfinished:
            self._notifier.is_over(started)
        if context.attempts.get(started.claim.id) is started:
            del context.attempts[started.claim.id]
        if started.tokens is not None:
            context.current_attempt.reset(started.tokens[0])
            context.forbid_waiting.reset(started.tokens[1])
