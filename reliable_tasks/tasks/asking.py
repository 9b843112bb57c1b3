"""`self.retry()` and `self.update_state()`: checked where the body calls them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.bodies.merging import merged_call
from reliable_tasks.bodies.requests import attempt_of
from reliable_tasks.core import call_options, checks, context, texts
from reliable_tasks.core.codec import dumps, dumps_call
from reliable_tasks.core.message import encode_headers
from reliable_tasks.core.retry import Decision, RetryPolicy
from reliable_tasks.errors import ConfigError, MaxRetriesExceededError, Retry, suggest
from reliable_tasks.tasks import calls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reliable_tasks.core.request import AttemptContext
    from reliable_tasks.tasks.task import Task

__all__ = ["ask_retry", "decide_asked", "limit_of", "none_left", "publish_state"]

_OF_HEADERS = frozenset(
    {"headers", "ignore_result", "serializer", "shadow", "soft_time_limit", "time_limit"}
)
_OWN_CALL = "a retry is the same message, which keeps its {}; leave it out, or enqueue another one"
_SENDING = "it is about enqueueing, and a retry is part of the worker's own commit; leave it out"
_REFUSED = {
    **dict.fromkeys(("task_id", "root_id", "parent_id"), _OWN_CALL.format("ids")),
    **dict.fromkeys(("group_id", "chord", "chain"), _OWN_CALL.format("place in its workflow")),
    **dict.fromkeys(("link", "link_error"), _OWN_CALL.format("callbacks")),
    **dict.fromkeys(calls.PUBLISH, _SENDING),
    "once": _OWN_CALL.format("once-key"),
    "replaced_task_nesting": _OWN_CALL.format("count"),
    "stamped_headers": _OWN_CALL.format("stamps"),
}
"""Call options that a retry cannot change, and why."""


def limit_of(task: Task[Any, Any]) -> int | None:
    """How many retries a body may ask for; None for no limit."""
    limit = task.retry_policy.max_retries if task.retry_policy else task.max_retries
    return limit if isinstance(limit, int) else None


def none_left(limit: int) -> str:
    """The reason given when a body asks for a retry and none is left."""
    return f"the body asked for a retry: none is left, max_retries={limit}"


def decide_asked(
    task: Task[Any, Any], asked: Retry, attempt: int, decide: Callable[[RetryPolicy], Decision]
) -> Decision | None:
    """Decide on a retry by its limit and the task's policy; None means: at the time it asked for.

    Args:
        task: whose body asks.
        asked: by `self.retry()`, or made by the body itself: it does not say its limit then.
        attempt: the number of the one that asks.
        decide: asks a policy about this attempt.
    """
    limit = limit_of(task) if asked.max_retries is None else asked.max_retries
    if limit is not None and attempt > limit:
        return Decision(False, 0.0, none_left(limit), "self.retry()")
    if asked.when is not None or asked.eta is not None:
        return None
    policy = task.policy
    if limit != policy.max_retries and task.retry_policy is not None:
        policy = replace(policy, max_retries=limit)  # the body's own word for this message
    return decide(policy)


def ask_retry(
    task: Task[Any, Any],
    call: tuple[Any, Mapping[str, Any] | None],
    exc: BaseException | type[BaseException] | None,
    timing: Mapping[str, Any],
    max_retries: int | None,
    options: Mapping[str, Any],
) -> Retry:
    """Build the retry that a body asks for and note it with the attempt; see `Task.retry`."""
    if isinstance(exc, type) and issubclass(exc, BaseException):
        exc = exc()
    if exc is not None and not isinstance(exc, BaseException):
        raise ConfigError(f"exc must be an exception, not {texts.shown(exc)}")
    running = attempt_of(task)
    if running is None:
        raise exc or Retry("a task called directly is not retried: there is no message")
    limit = limit_of(task)
    if max_retries is not None:
        limit = running.max_retries = checks.retries("max_retries", max_retries)
    given = _checked({**options, **timing})
    ret = Retry(exc=exc, when=_delay(task, given))
    ret.max_retries = limit
    if given.get("eta") is not None:
        ret.eta = checks.instant("eta", given["eta"], task.app.timezone)
    ret.queue = given.get("queue") or given.get("routing_key")
    ret.priority, ret.expires = given.get("priority"), given.get("expires")
    _check_limit(task, running, ret)
    _change(task, running, ret, call, given)
    running.retry = ret
    return ret


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in options.items():
        if value is not None and name in _REFUSED:
            raise ConfigError(f"retry({name}={texts.shown(value)}): {_REFUSED[name]}")
        if name not in call_options.CALL_OPTIONS | call_options.MEANINGLESS:
            near = suggest(str(name), call_options.CALL_OPTIONS - _REFUSED.keys())
            raise ConfigError(f"retry() knows no option {texts.shown(name)}{near}")
    return call_options.checked(options)


def _delay(task: Task[Any, Any], given: Mapping[str, Any]) -> float | None:
    """Seconds to wait; None if an eta or the task's policy decides."""
    if given.get("countdown") is not None:
        return max(0.0, checks.span("countdown", given["countdown"]))
    if given.get("eta") is not None or task.retry_policy is not None:
        return None
    return float(task.default_retry_delay)


def _check_limit(task: Task[Any, Any], running: AttemptContext, ret: Retry) -> None:
    request = running.request
    if ret.max_retries is None or request.retries < ret.max_retries:
        return
    gave_up = ret.exc
    if gave_up is None:
        gave_up = MaxRetriesExceededError(
            f"Can't retry {task.name}[{request.id}] args: {request.args} kwargs: {request.kwargs}",
            task_args=request.args,
            task_kwargs=request.kwargs,
        )
    running.exhausted = gave_up, ret.max_retries
    raise gave_up


def _change(
    task: Task[Any, Any],
    running: AttemptContext,
    ret: Retry,
    call: tuple[Any, Mapping[str, Any] | None],
    given: Mapping[str, Any],
) -> None:
    """Encode what the retry changes, so that the body hears of what cannot be encoded."""
    args, kwargs, request = *call, running.request
    changes = {name: given[name] for name in _OF_HEADERS & given.keys()}
    if "headers" in changes:
        changes["user"] = checks.user_headers("headers", changes.pop("headers"))
    other = args is not None or kwargs is not None
    if other:
        ret.call = merged_call(
            task.signature_of_call,
            (request.args, request.kwargs),
            None if args is None else calls.call_args(args),
            None if kwargs is None else calls.call_kwargs(kwargs),
        )
        if task.call_models is not None:
            ret.call = task.call_models.dumped(*ret.call)
        if task.typing:
            task.check_arguments(*ret.call)
    headers = running.headers
    if headers is None or not (other or changes):
        return
    new = msgspec.structs.replace(headers, **changes) if changes else headers
    if "serializer" in changes:
        calls.check_accepted(task.app, new.serializer)
    ret.headers = encode_headers(new) if changes else None
    if other or new.serializer != headers.serializer:
        complete = calls.complete_call(headers, *(ret.call or (request.args, request.kwargs)))
        ret.payload = dumps_call(*complete, new.serializer)
    most = task.app.settings.max_message_bytes
    size = len(ret.payload or b"") + len(ret.headers or b"")
    checks.check_size(f"the retry of {task.name}", size, most, "max_message_bytes")


def publish_state(task: Task[Any, Any], task_id: str | None, state: str | None, meta: Any) -> None:
    """Publish the progress of the running attempt; see `Task.update_state`."""
    running = context.current_attempt.get()
    if task_id is not None and (running is None or task_id != running.request.id):
        running = context.attempts.get(task_id)  # of a thread that the body has started
    if running is None:
        whose = "" if task_id is None else f", and {texts.shown(task_id)} does not run here"
        raise ConfigError(
            "update_state() works from inside the body of the message itself, and by task_id in "
            f"threads that the body has started{whose}"
        )
    settings = task.app.settings
    state = checks.text("state", "STARTED" if state is None else state)
    encoded = dumps(meta, settings.result_serializer)
    what, most = f"the meta of {task.name}", settings.max_result_bytes
    checks.check_size(what, len(encoded), most, "max_result_bytes")
    running.progress = (state, meta)
    if running.store is not None:
        running.store.report(state, encoded)
