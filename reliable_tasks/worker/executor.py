"""The executor: turns a claim into an outcome. It touches no store.

An attempt has two ends. `begin` decodes the call, sets the request and runs what comes before the
body; the pool then runs the body, in whichever way it runs bodies; `returned` or `raised` decides
what the attempt came to, running the hooks. Claims that are not to run (unknown task, doomed, no
once-key yet) give their outcome at once.
"""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import _state, events, outcome, signals
from reliable_tasks.calls import once_lock
from reliable_tasks.canvas import ReplaceMessage, arguments_of
from reliable_tasks.clock import monotonic
from reliable_tasks.errors import (
    Ignore,
    MaxRetriesExceededError,
    MessageTooLarge,
    NotRegistered,
    Reject,
    Retry,
    TimeLimitExceeded,
    WorkerLostError,
)
from reliable_tasks.message import decode_headers
from reliable_tasks.request import Running, request_of_claim
from reliable_tasks.retry import Attempt
from reliable_tasks.serialization import (
    decode_failure,
    dumps,
    dumps_call,
    encode_failure,
    loads_call,
)
from reliable_tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token

    from reliable_tasks.app import App
    from reliable_tasks.message import Headers
    from reliable_tasks.request import Port, Request
    from reliable_tasks.retry import Decision
    from reliable_tasks.store.values import Claim

__all__ = ["Executor", "Started"]

_HOOKS = ("before_start", "on_success", "on_retry", "on_failure", "after_return")


class ExceptionInfo:
    """What hooks get as `einfo`: the exception and its traceback as text."""

    def __init__(self, exception: BaseException, text: str) -> None:
        self.exception = exception
        self.type = type(exception)
        self.traceback = text

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {self.exception!r}>"


class _Runner:
    """A task, with what each of its attempts needs worked out once."""

    __slots__ = ("hooks", "is_async", "limits", "policy", "run", "serializer", "task")

    def __init__(self, task: Task[Any, Any], limits: tuple[float | None, float | None]) -> None:
        self.task = task
        self.run = task.run
        self.is_async = inspect.iscoroutinefunction(task.run)
        self.serializer = task.serializer_name
        self.policy = task.policy
        # A hook that nobody has overridden costs nothing.
        self.hooks = {h for h in _HOOKS if getattr(type(task), h) is not getattr(Task, h)}
        soft, hard = task.soft_time_limit, task.time_limit
        self.limits = (limits[0] if soft is None else soft, limits[1] if hard is None else hard)


@dataclass(slots=True)
class Started:
    """An attempt whose body is to run now: `run(*args, **kwargs)`, awaited if `is_async`.

    `soft_limit_s` and `hard_limit_s` are for the pool to enforce.
    """

    claim: Claim
    runner: _Runner
    headers: Headers
    request: Request
    running: Running
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    began: float
    soft_limit_s: float | None
    hard_limit_s: float | None
    tokens: tuple[Token[Running | None], Token[bool]]

    @property
    def run(self) -> Callable[..., Any]:
        """The body."""
        return self.runner.run

    @property
    def is_async(self) -> bool:
        """Whether the body is a coroutine function."""
        return self.runner.is_async


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
        self._tasks: Mapping[str, Task[Any, Any]] = app.tasks
        self._hostname = hostname
        self._limits = (soft_time_limit, time_limit)
        self._timer = timer
        self._runners: dict[str, _Runner] = {}

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

    def _runner(self, name: str) -> _Runner | None:
        runner = self._runners.get(name)
        if runner is None and name in self._tasks:
            runner = self._runners[name] = _Runner(self._tasks[name], self._limits)
        return runner

    def _arguments(self, claim: Claim, headers: Headers) -> tuple[tuple[Any, ...], dict[str, Any]]:
        accept = self._app.accept_content
        args, kwargs = loads_call(claim.payload, headers.serializer, accept)
        if not headers.takes:
            return args, kwargs
        call: tuple[tuple[Any, ...], dict[str, Any]] = arguments_of(
            self._app, claim, headers, args, kwargs
        )
        return call

    def _start(
        self,
        claim: Claim,
        runner: _Runner,
        headers: Headers,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        port: Port | None,
    ) -> Started:
        soft = headers.soft_time_limit or runner.limits[0]
        hard = headers.time_limit or runner.limits[1]
        request = request_of_claim(
            claim,
            headers,
            args,
            kwargs,
            hostname=self._hostname,
            limits=(hard, soft),
            ignore_result=self._ignores(runner, headers),
        )
        running = Running(runner.task, request, port)
        tokens = (_state.current_attempt.set(running), _state.forbid_waiting.set(True))
        if signals.task_prerun.has_listeners:
            signals.task_prerun.send(
                runner.task, task_id=claim.id, task=runner.task, args=args, kwargs=kwargs
            )
        if events.enabled("attempt.started"):
            events.emit("attempt.started", **self._fields(claim))
        return Started(
            claim,
            runner,
            headers,
            request,
            running,
            args,
            kwargs,
            self._timer(),
            soft,
            hard,
            tokens,
        )

    def _ignores(self, runner: _Runner, headers: Headers) -> bool:
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
                return self._ended(started, self._retry_asked(started, asked), asked)
            if started.runner.policy.watches_results:
                decision = started.runner.policy.decide(self._attempt(started, result=value))
                if decision.retry:
                    exc = Retry(f"the result {value!r:.200} is retried")
                    return self._ended(started, self._retry(started, exc, decision), exc)
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
            detail = _json({"reason": str(exc.reason), "requeue": exc.requeue})
            return outcome.Rejected(requeue=exc.requeue, failure=encode_failure(exc), detail=detail)
        if isinstance(exc, Retry):
            return self._retry_asked(started, exc)
        decision = None
        if retriable:
            decision = started.runner.policy.decide(self._attempt(started, exception=exc))
            if decision.retry:
                return self._retry(started, exc, decision)
        return self._failed(exc, decision)

    def _succeeded(self, started: Started, value: Any) -> outcome.Outcome:
        runner, keep = started.runner, not started.request.ignore_result
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
                return self._ended(started, self._failed(exc, None), exc)
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
            einfo = _einfo(cause)
            self._hook(started, "on_retry", cause, *call, einfo)
            if signals.task_retry.has_listeners:
                signals.task_retry.send(task, request=started.request, reason=cause, einfo=einfo)
            self._postrun(started, cause, "RETRY")
            self._tell("attempt.retried", claim, done.detail)
        elif isinstance(done, outcome.Failed):
            einfo = _einfo(exc)
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
        return outcome.Ignored(detail=_json({"state": said}) if said else b"")

    @staticmethod
    def _failed(exc: BaseException, decision: Decision | None) -> outcome.Failed:
        detail = {
            "exception": type(exc).__name__,
            "message": _text(exc),
            "reason": decision.reason if decision else "not retried",
        }
        failure = encode_failure(exc, _traceback(exc))
        return outcome.Failed(failure=failure, detail=_json(detail))

    # Retries -------------------------------------------------------------------------------------

    def _now_ms(self, started: Started) -> int:
        """The store's clock, as far as an executor can know it."""
        return started.claim.started_ms + round((self._timer() - started.began) * 1000)

    def _attempt(
        self,
        started: Started,
        *,
        exception: BaseException | None = None,
        result: Any = None,
        asked: bool = False,
    ) -> Attempt:
        return Attempt(
            number=started.claim.attempt,
            first_started_s=started.claim.first_started_ms / 1000,
            now_s=self._now_ms(started) / 1000,
            exception=exception,
            result=result,
            asked=asked,
            fn_name=started.claim.task,
            args=started.args,
            kwargs=started.kwargs,
        )

    def _retry_asked(self, started: Started, asked: Retry) -> outcome.Outcome:
        """`self.retry()`: its own delay, or what the policy says where it gave none."""
        cause = asked.exc or asked
        if asked.when is None and asked.eta is None:
            decision = started.runner.policy.decide(
                self._attempt(started, exception=cause, asked=True)
            )
            if not decision.retry:
                gave_up = asked.exc or MaxRetriesExceededError(decision.reason)
                return self._failed(gave_up, decision)
            return self._retry(started, cause, decision, asked)
        limit = "" if asked.max_retries is None else f" of {asked.max_retries}"
        reason = f"the body asked for it: retry {started.claim.attempt}{limit}"
        return self._retry_record(
            started, cause, asked, asked.when or 0.0, reason, "self.retry()", asked.max_retries
        )

    def _retry(
        self,
        started: Started,
        exc: BaseException,
        decision: Decision,
        asked: Retry | None = None,
    ) -> outcome.Retry:
        limit = started.runner.policy.max_retries
        return self._retry_record(
            started,
            exc,
            asked,
            decision.delay_s,
            decision.reason,
            decision.policy,
            limit if isinstance(limit, int) else None,
        )

    def _retry_record(
        self,
        started: Started,
        exc: BaseException,
        asked: Retry | None,
        delay_s: float,
        reason: str,
        policy: str,
        max_retries: int | None,
    ) -> outcome.Retry:
        """The retry, with the structured record that the audit trail and the log show."""
        eta = asked.eta if asked else None
        at_ms = round(eta.timestamp() * 1000) if eta is not None else None
        now_ms = self._now_ms(started)
        if at_ms is not None:
            delay_s = max(0.0, (at_ms - now_ms) / 1000)
        detail = {
            "exception": type(exc).__name__,
            "message": _text(exc),
            "delay": round(delay_s, 3),
            "next_at": now_ms + round(delay_s * 1000) if at_ms is None else at_ms,
            "max_retries": max_retries,
            "policy": policy,
            "reason": reason,
            "root_id": started.request.root_id,
            "once_key": started.claim.once_key,
            "queue": started.claim.queue,
        }
        call = asked.call if asked else None
        return outcome.Retry(
            delay_ms=max(0, round(delay_s * 1000)),
            at_ms=at_ms,
            failure=encode_failure(exc, _traceback(exc)),
            payload=dumps_call(*call, started.headers.serializer) if call else None,
            queue=asked.queue if asked else None,
            detail=_json(detail),
        )

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
        detail = _json({"reason": f"no task {claim.task!r} here", "delay": delay_ms / 1000})
        self._tell("attempt.released", claim, detail)
        return outcome.Released(delay_ms=delay_ms, bounce=True, detail=detail)

    def _failed_unrun(self, claim: Claim, exc: BaseException) -> outcome.Failed:
        detail = _json({"exception": type(exc).__name__, "message": _text(exc)})
        self._tell("attempt.failed", claim, detail, expected=False, einfo=_einfo(exc))
        return outcome.Failed(failure=encode_failure(exc, _traceback(exc)), detail=detail)

    def _bury(
        self,
        claim: Claim,
        runner: _Runner,
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
            detail = {"exception": type(exc).__name__, "message": _text(exc), "reason": reason}
            done = outcome.Failed(failure=failure, reason=reason, detail=_json(detail))
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
            events.emit("hook.failed", **self._fields(started.claim), hook=name, einfo=_einfo(exc))

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
            "task": claim.task,
            "attempt": claim.attempt,
            "delivery": claim.delivery,
            "fence": claim.fence,
            "queue": claim.queue,
            "worker": self._hostname,
        }

    def _tell(self, event: str, claim: Claim, detail: bytes, **more: Any) -> None:
        if events.enabled(event):
            said = msgspec.json.decode(detail) if detail else {}
            events.emit(event, **{**said, **self._fields(claim), **more})


def _json(fields: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(fields)


def _text(exc: BaseException) -> str:
    try:
        return str(exc)[:1000]
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(exc).__name__} whose __str__ raised {type(broken).__name__}>"


def _traceback(exc: BaseException) -> str:
    return "".join(traceback.format_exception(exc))


def _einfo(exc: BaseException) -> ExceptionInfo:
    return ExceptionInfo(exc, _traceback(exc))
