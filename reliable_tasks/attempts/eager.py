"""Eager calls: `task.apply()` runs a call here and now, with hooks and retries, without a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from reliable_tasks.core import context as _state
from reliable_tasks.core import ids
from reliable_tasks.core import tracebacks as _tracebacks
from reliable_tasks.core.call_options import checked
from reliable_tasks.core.retry import Attempt, Decision, RetryPolicy
from reliable_tasks.errors import Ignore, MaxRetriesExceededError, Reject, Retry
from reliable_tasks.results.result import PROPAGATED, AsyncResult
from reliable_tasks.results.states import said_exception
from reliable_tasks.results.wait import wait_span
from reliable_tasks.tasks.asking import decide_asked
from reliable_tasks.tasks.request import Request, Running

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from uuid import UUID

    from reliable_tasks.app import App
    from reliable_tasks.tasks.task import Task

__all__ = ["EagerResult", "apply_eagerly"]

R = TypeVar("R")


class EagerResult(AsyncResult[R]):
    """The result of a call that was run here and now."""

    def __init__(
        self,
        id: str | None,  # noqa: A002 - Celery's name
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
        app: App | None = None,
    ) -> None:
        super().__init__(id or "eager", task_name=name, app=app)
        self._value = ret_value
        self._state = state
        self._traceback = traceback

    @property
    def state(self) -> str:
        """How it ended."""
        return self._state

    status = state

    @property
    def result(self) -> Any:
        """What the body returned or raised."""
        return self._value

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback of the failure, as text."""
        return self._traceback

    def ready(self) -> bool:
        """It has ended."""
        return True

    def successful(self) -> bool:
        """Whether it ended in success."""
        return self._state == "SUCCESS"

    def failed(self) -> bool:
        """Whether it ended in failure."""
        return self._state == "FAILURE"

    def get(  # type: ignore[override]
        self,
        timeout: float | None = None,
        propagate: bool = True,
        **_: Any,
    ) -> R:
        """What the body returned; raises what it raised. There is nothing to wait for."""
        wait_span(timeout)
        if propagate and self._state in PROPAGATED:
            raise self._value
        value: R = self._value
        return value

    wait = get  # type: ignore[assignment]

    def __await__(self) -> Generator[Any, None, R]:
        yield from ()
        return self.get()

    def maybe_throw(self, propagate: bool = True, callback: Any = None) -> Any:
        """The value; raises it if it is an exception that ended the call."""
        value = self.get(propagate=propagate)
        if callback is not None:
            callback(self.id, value)
        return value

    def forget(self) -> None:
        """Nothing is stored of it."""

    def revoke(self, *_: Any, **__: Any) -> str:
        """It has ended already."""
        return "ended"

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"


def apply_eagerly(
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    task_id: str | UUID | None = None,
    throw: bool | None = None,
    link: Any = None,
    link_error: Any = None,
    options: Mapping[str, Any] | None = None,
) -> EagerResult[Any]:
    """Run a call of `task` in this process; its retries follow each other without delay.

    Raises:
        Exception: what the body raised, where `throw` (or `task_eager_propagates`) says so.
    """
    from reliable_tasks.canvas import linked, maybe_signature  # noqa: PLC0415 - canvas builds on tasks

    given = checked({**(options or {}), "task_id": task_id})
    links = linked("link", link, lambda each: maybe_signature(each, task.app))
    errbacks = linked("link_error", link_error, lambda each: maybe_signature(each, task.app))
    message_id = given.get("task_id") or ids.new_id()
    request = Request(
        id=message_id,
        task=task.name,
        args=args,
        kwargs=kwargs,
        root_id=message_id,
        idempotency_key=message_id,
        called_directly=False,
        is_eager=True,
        delivery_info={"is_eager": True, "exchange": "", "routing_key": None},
        **{k: v for k, v in given.items() if k in {"headers", "group", "chord"}},
    )
    state, value = _attempts(task, request)
    result: EagerResult[Any] = EagerResult(
        message_id,
        value,
        state,
        traceback=_tracebacks.written(value) if state == "FAILURE" else None,
        name=task.name,
        app=task.app,
    )
    for callback in links if state == "SUCCESS" else errbacks:
        extra = (value,) if state == "SUCCESS" else (message_id,)
        callback.apply(extra, throw=throw)
    propagates = task.app.settings.task_eager_propagates if throw is None else throw
    if propagates and state == "FAILURE":
        raise value
    return result


def _attempts(task: Task[Any, Any], request: Request) -> tuple[str, Any]:
    while True:
        running = Running(task, request, None)
        token = _state.current_attempt.set(running)
        try:
            state, value = _attempt(task, request, running)
        finally:
            _state.current_attempt.reset(token)
        if state != "RETRY":
            return state, value
        request.retries += 1
        request.attempt += 1


def _attempt(task: Task[Any, Any], request: Request, running: Running) -> tuple[str, Any]:
    call = (request.id or "", request.args, request.kwargs)
    try:
        task.before_start(*call)
    except Exception as exc:  # noqa: BLE001 - it ends the attempt as a body would
        return _after_exception(task, request, running, exc, retriable=False)
    try:
        value = _body(task, request)
    except Exception as exc:  # noqa: BLE001 - whatever a body raises ends its attempt
        return _after_exception(task, request, running, exc)
    if running.retry is not None:
        return _after_exception(task, request, running, running.retry)
    if task.policy.watches_results and _decision(task, request, task.policy, result=value).retry:
        task.on_retry(Retry(f"the result {value!r:.200} is retried"), *call, None)
        return "RETRY", value
    task.on_success(value, *call)
    task.after_return("SUCCESS", value, *call, None)
    return "SUCCESS", value


def _body(task: Task[Any, Any], request: Request) -> Any:
    value = task.run(*request.args, **request.kwargs)
    if hasattr(value, "__await__"):
        import asyncio  # noqa: PLC0415 - only eager coroutine bodies need it

        return asyncio.run(_awaited(value))
    return value


async def _awaited(value: Any) -> Any:
    return await value


def _after_exception(
    task: Task[Any, Any],
    request: Request,
    running: Running,
    exc: Exception,
    *,
    retriable: bool = True,
) -> tuple[str, Any]:
    call = (request.id or "", request.args, request.kwargs)
    if isinstance(exc, Ignore):
        state, meta = running.progress or ("IGNORED", None)
        if state in PROPAGATED:
            meta = said_exception(state, meta, task.app.exceptions)
        return state, meta
    ended_by: BaseException | None = exc
    if isinstance(exc, Retry):
        ended_by = _asked(task, request, exc)
    elif (
        retriable
        and not (isinstance(exc, Reject) or running.gave_up(exc))
        and _decision(task, request, task.policy, exception=exc).retry
    ):
        ended_by = None
    if ended_by is None:
        cause: BaseException = exc
        if isinstance(exc, Retry):
            cause = exc.exc or exc
            if exc.call is not None:
                request.args, request.kwargs = exc.call
        task.on_retry(cause, *call, None)
        return "RETRY", exc
    task.on_failure(ended_by, *call, None)
    task.after_return("FAILURE", ended_by, *call, None)
    return "FAILURE", ended_by


def _asked(task: Task[Any, Any], request: Request, asked: Retry) -> BaseException | None:
    """What the body's own retry ends in, as in a worker; None: in another attempt."""
    cause = asked.exc or asked

    def decide(policy: RetryPolicy) -> Decision:
        return _decision(task, request, policy, exception=cause, asked=True)

    decision = decide_asked(task, asked, request.attempt, decide)
    if decision is None or decision.retry:
        return None
    return asked.exc or MaxRetriesExceededError(decision.reason)


def _decision(
    task: Task[Any, Any], request: Request, policy: RetryPolicy, **ended: Any
) -> Decision:
    return policy.decide(
        Attempt(
            number=request.attempt,
            first_started_s=0.0,
            now_s=0.0,
            fn_name=task.name,
            args=request.args,
            kwargs=request.kwargs,
            **ended,
        )
    )
