"""The executor: turns a claim into an outcome. It touches no store.

An attempt has two ends. `begin` decodes the call, sets the request and runs what comes before the
body; the pool then runs the body, in whichever way it runs bodies; `returned` or `raised` decides
what the attempt came to, running the hooks. Claims that are not to run (unknown task, doomed, no
once-key yet) give their outcome at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import _state, events, outcome, signals
from reliable_tasks.calls import once_lock
from reliable_tasks.canvas import ReplaceMessage, arguments_of
from reliable_tasks.canvas.replacing import extended
from reliable_tasks.clock import monotonic
from reliable_tasks.errors import (
    Ignore,
    MessageTooLarge,
    NotRegistered,
    Reject,
    Retry,
    TimeLimitExceeded,
    WorkerLostError,
)
from reliable_tasks.message import decode_headers
from reliable_tasks.request import Running, request_of_claim
from reliable_tasks.serialization import decode_failure, dumps, encode_failure, loads_call

from .attempt import Runner, Started, einfo_of, encode_detail, text_of, traceback_of
from .retries import failed, retry_asked, retry_decided

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reliable_tasks.app import App
    from reliable_tasks.message import Headers
    from reliable_tasks.request import Port, Request
    from reliable_tasks.store.values import Claim
    from reliable_tasks.task import Task

__all__ = ["Executor", "Started"]

_BURIAL_LIMIT_S = 60.0


class Executor:
    """Decides what attempts come to.

    Args:
        app: whose tasks and settings.
        hostname: the worker's name, for `self.request.hostname` and the log.
        soft_time_limit, time_limit: seconds, for tasks without limits of their own.
        timer: a monotonic clock in seconds.
    """

    def __init__(
        self,
        app: App,
        hostname: str,
        *,
        soft_time_limit: float | None = None,
        time_limit: float | None = None,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self._app = app
        self._settings = app.settings
        self._accept = app.accept_content
        self._tasks: Mapping[str, Task[Any, Any]] = app.tasks
        self._hostname = hostname
        self._limits = (soft_time_limit, time_limit)
        self._timer = timer
        self._runners: dict[str, Runner] = {}

    # Before the body -----------------------------------------------------------------------------

    def begin(self, claim: Claim, port: Port) -> Started | outcome.Outcome:
        """Prepare an attempt; gives its outcome where the body is not to run."""
        runner = self._runner(claim.task)
        if runner is None:
            return self._unknown(claim)
        headers = decode_headers(claim.headers)
        try:
            args, kwargs = self._arguments(claim, headers)
        except Exception as exc:  # noqa: BLE001 - no attempt can decode these bytes: a dead letter
            return self._failed_unrun(claim, exc)
        if claim.doom is not None or claim.delivery > claim.max_deliveries:
            return self._bury(claim, runner, headers, args, kwargs)
        if runner.task.once_options is not None and claim.once_key is None:
            lock = once_lock(runner.task, args, kwargs)
            if lock is not None:
                return outcome.Keyed(once=lock)
        started = self._start(claim, runner, headers, args, kwargs, port)
        if "before_start" in runner.hooks:
            try:
                runner.task.before_start(claim.id, args, kwargs)
            except BaseException as exc:  # noqa: BLE001 - it ends the attempt as a body would
                return self.raised(started, exc, retriable=False)
        return started

    def hard_limit_s(self, claim: Claim) -> float:
        """How long an attempt may take, from its very beginning; 0.0 for as long as it likes.

        A burial is limited in any case: it runs hooks, with which something is wrong, perhaps.
        """
        runner = self._runner(claim.task)
        limit_s = runner.limits[1] if runner is not None else None
        try:
            limit_s = decode_headers(claim.headers).time_limit or limit_s
        except Exception:  # noqa: BLE001 - nothing of it will run
            return _BURIAL_LIMIT_S
        buried = claim.doom is not None or claim.delivery > claim.max_deliveries
        return limit_s or (_BURIAL_LIMIT_S if buried else 0.0)

    def _runner(self, name: str) -> Runner | None:
        runner = self._runners.get(name)
        if runner is None and name in self._tasks:
            runner = self._runners[name] = Runner(self._tasks[name], self._limits)
        return runner

    def _arguments(self, claim: Claim, headers: Headers) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = loads_call(claim.payload, headers.serializer, self._accept)
        if not headers.takes:
            return args, kwargs
        call: tuple[tuple[Any, ...], dict[str, Any]] = arguments_of(
            self._app, claim, headers, args, kwargs
        )
        return call

    def _start(
        self,
        claim: Claim,
        runner: Runner,
        headers: Headers,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        port: Port | None,
    ) -> Started:
        soft = headers.soft_time_limit or runner.limits[0]
        hard = headers.time_limit or runner.limits[1]
        keep = not self._ignores(runner, headers)

        def request() -> Request:
            return request_of_claim(
                claim,
                headers,
                args,
                kwargs,
                hostname=self._hostname,
                limits=(hard, soft),
                ignore_result=not keep,
            )

        running = Running(runner.task, request, port, headers)
        tokens = (_state.current_attempt.set(running), _state.forbid_waiting.set(True))
        if signals.task_prerun.has_listeners:
            signals.task_prerun.send(
                runner.task, task_id=claim.id, task=runner.task, args=args, kwargs=kwargs
            )
        if events.enabled("attempt.started"):
            events.emit("attempt.started", **self._fields(claim))
        began = self._timer()
        return Started(
            claim, runner, headers, running, args, kwargs, began, soft, hard, keep, tokens
        )

    def _ignores(self, runner: Runner, headers: Headers) -> bool:
        for said in (headers.ignore_result, runner.task.ignore_result):
            if said is not None:
                return bool(said)
        return self._settings.task_ignore_result

    # After the body ------------------------------------------------------------------------------

    def returned(self, started: Started, value: Any) -> outcome.Outcome:
        """The outcome of an attempt whose body returned `value`."""
        try:
            asked = started.running.retry
            if asked is not None:
                return self._ended(started, retry_asked(started, asked, self._timer()), asked)
            if started.runner.policy.watches_results:
                decision = started.runner.policy.decide(
                    started.for_policy(self._timer(), result=value)
                )
                if decision.retry:
                    exc = Retry(f"the result {value!r:.200} is retried")
                    return self._ended(
                        started, retry_decided(started, exc, decision, self._timer()), exc
                    )
            if started.running.additions:
                return outcome.Replaced(messages=extended(started.running, value))
            return self._succeeded(started, value)
        finally:
            self._leave(started)

    def raised(
        self, started: Started, exc: BaseException, *, retriable: bool = True
    ) -> outcome.Outcome:
        """The outcome of an attempt whose body raised `exc`."""
        try:
            return self._ended(started, self._outcome_of(started, exc, retriable), exc)
        finally:
            self._leave(started)

    def _outcome_of(self, started: Started, exc: BaseException, retriable: bool) -> outcome.Outcome:
        if isinstance(exc, ReplaceMessage):
            return outcome.Replaced(messages=exc.messages)
        if isinstance(exc, Ignore):
            return self._ignored(started)
        if isinstance(exc, Reject):
            detail = encode_detail({"reason": str(exc.reason), "requeue": exc.requeue})
            return outcome.Rejected(requeue=exc.requeue, failure=encode_failure(exc), detail=detail)
        if isinstance(exc, Retry):
            return retry_asked(started, exc, self._timer())
        decision = None
        if retriable:
            decision = started.runner.policy.decide(
                started.for_policy(self._timer(), exception=exc)
            )
            if decision.retry:
                return retry_decided(started, exc, decision, self._timer())
        return failed(exc, decision)

    def _succeeded(self, started: Started, value: Any) -> outcome.Outcome:
        runner, keep = started.runner, started.keep
        try:
            result = dumps(value, runner.serializer)
            limit = self._settings.max_result_bytes
            if len(result) > limit:
                raise MessageTooLarge(  # noqa: TRY301 - it ends the attempt as a body would
                    f"the result of {started.claim.task} has {len(result):,} bytes; the limit is "
                    f"{limit:,} (setting max_result_bytes): store it elsewhere, return a reference"
                )
        except Exception as exc:  # noqa: BLE001 - a result that cannot be stored is a failure
            if keep:
                return self._ended(started, failed(exc), exc)
            result = b""
        task, claim = runner.task, started.claim
        self._hook(started, "on_success", value, claim.id, started.args, started.kwargs)
        self._after(started, "SUCCESS", value, None)
        if signals.task_success.has_listeners:
            signals.task_success.send(task, result=value)
        self._postrun(started, value, "SUCCESS")
        if events.enabled("attempt.succeeded"):
            took = self._timer() - started.began
            events.emit("attempt.succeeded", **self._fields(claim), runtime=round(took, 6))
        return outcome.Succeeded(result=result, keep=keep)

    def _ended(
        self, started: Started, done: outcome.Outcome, exc: BaseException
    ) -> outcome.Outcome:
        """Hooks, signals and the one line of an attempt that did not succeed."""
        task, claim = started.runner.task, started.claim
        call = (claim.id, started.args, started.kwargs)
        if isinstance(done, outcome.Retry):
            cause = exc.exc or exc if isinstance(exc, Retry) else exc
            einfo = einfo_of(cause)
            self._hook(started, "on_retry", cause, *call, einfo)
            if signals.task_retry.has_listeners:
                signals.task_retry.send(task, request=started.request, reason=cause, einfo=einfo)
            self._postrun(started, cause, "RETRY")
            self._tell("attempt.retried", claim, done.detail)
        elif isinstance(done, outcome.Failed):
            einfo = einfo_of(exc)
            self._hook(started, "on_failure", exc, *call, einfo)
            self._after(started, "FAILURE", exc, einfo)
            if signals.task_failure.has_listeners:
                signals.task_failure.send(
                    task, task_id=claim.id, exception=exc, args=started.args, einfo=einfo
                )
            self._postrun(started, exc, "FAILURE")
            expected = isinstance(exc, task.throws)
            self._tell("attempt.failed", claim, done.detail, expected=expected, einfo=einfo)
        elif isinstance(done, outcome.Rejected):
            signals.task_rejected.send(task, request=started.request)
            self._tell("attempt.rejected", claim, done.detail)
        elif isinstance(done, outcome.Ignored):
            self._tell("attempt.ignored", claim, b"")
        return done

    def _ignored(self, started: Started) -> outcome.Outcome:
        """`raise Ignore()`: what the body has said of its own state stands."""
        said, meta = started.running.progress or ("", None)
        if said == "SUCCESS":
            return outcome.Succeeded(result=dumps(meta, started.runner.serializer))
        return outcome.Ignored(detail=encode_detail({"state": said}) if said else b"")

    # Claims whose body does not run --------------------------------------------------------------

    def _unknown(self, claim: Claim) -> outcome.Outcome:
        """No task of this name here: another worker may know it (a rolling deploy)."""
        signals.task_unknown.send(None, name=claim.task, id=claim.id)
        limit = self._settings.unknown_task_limit
        if claim.bounces >= limit:
            exc = NotRegistered(
                f"no worker knew the task {claim.task!r}: given back {claim.bounces} times"
            )
            return self._failed_unrun(claim, exc)
        delay_ms = round(self._settings.unknown_task_delay * 1000)
        detail = encode_detail({"reason": f"no task {claim.task!r} here", "delay": delay_ms / 1000})
        self._tell("attempt.released", claim, detail)
        return outcome.Released(delay_ms=delay_ms, bounce=True, detail=detail)

    def _failed_unrun(self, claim: Claim, exc: BaseException) -> outcome.Failed:
        detail = encode_detail({"exception": type(exc).__name__, "message": text_of(exc)})
        self._tell("attempt.failed", claim, detail, expected=False, einfo=einfo_of(exc))
        return outcome.Failed(failure=encode_failure(exc, traceback_of(exc)), detail=detail)

    def _bury(
        self,
        claim: Claim,
        runner: Runner,
        headers: Headers,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> outcome.Outcome:
        """Its process was killed at a limit, or too many processes died of it: run the hooks."""
        if claim.doom is not None:
            failure = claim.doom
            exc = self._app.exceptions.rebuild(decode_failure(failure))
            reason = "time limit" if isinstance(exc, TimeLimitExceeded) else "killed"
        else:
            exc = WorkerLostError(
                f"the worker process died in each of the {claim.delivery - 1} deliveries of "
                f"{claim.task}[{claim.id}]; replay it once the cause is mended"
            )
            failure, reason = encode_failure(exc), "delivery limit"
        started = self._start(claim, runner, headers, args, kwargs, None)
        try:
            detail = {"exception": type(exc).__name__, "message": text_of(exc), "reason": reason}
            done = outcome.Failed(failure=failure, reason=reason, detail=encode_detail(detail))
            return self._ended(started, done, exc)
        finally:
            self._leave(started)

    # Hooks and telling ---------------------------------------------------------------------------

    def _hook(self, started: Started, name: str, *args: Any) -> None:
        if name not in started.runner.hooks:
            return
        try:
            getattr(started.runner.task, name)(*args)
        except Exception as exc:  # noqa: BLE001 - the body's outcome stands whatever a hook does
            events.emit(
                "hook.failed", **self._fields(started.claim), hook=name, einfo=einfo_of(exc)
            )

    def _after(self, started: Started, status: str, value: Any, einfo: Any) -> None:
        call = (started.claim.id, started.args, started.kwargs)
        self._hook(started, "after_return", status, value, *call, einfo)

    def _postrun(self, started: Started, value: Any, state: str) -> None:
        if signals.task_postrun.has_listeners:
            task = started.runner.task
            signals.task_postrun.send(
                task,
                task_id=started.claim.id,
                task=task,
                args=started.args,
                kwargs=started.kwargs,
                retval=value,
                state=state,
            )

    def _leave(self, started: Started) -> None:
        _state.current_attempt.reset(started.tokens[0])
        _state.forbid_waiting.reset(started.tokens[1])

    def _fields(self, claim: Claim) -> dict[str, Any]:
        return {
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

    def _tell(self, event: str, claim: Claim, detail: bytes, **more: Any) -> None:
        if events.enabled(event):
            said = msgspec.json.decode(detail) if detail else {}
            events.emit(event, **{**said, **self._fields(claim), **more})
