"""Eager calls: `task.apply()` runs a call here and now, as a worker would run its message.

The same message is built, and the same executor decides what becomes of each attempt. Nothing is
stored, and nobody waits: the delay of a retry passes at once, for the policies as well.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.attempts.executor import Executor, StartedAttempt
from reliable_tasks.attempts.notifier import Notifier
from reliable_tasks.canvas.eager import apply_instead
from reliable_tasks.canvas.replacing import ReplaceMessage
from reliable_tasks.core import checks, clock, outcome, tracebacks
from reliable_tasks.core.codec import loads
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import decode_headers, encode_headers
from reliable_tasks.results.eager import EagerResult
from reliable_tasks.results.states import PROPAGATED, said_exception
from reliable_tasks.store.values import Claim
from reliable_tasks.tasks.calls import HOST, build_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.core.message import Message
    from reliable_tasks.store.values import Input
    from reliable_tasks.tasks.task import Task

__all__ = ["apply_eagerly"]

_OUTLIVED = (Exception, SystemExit, asyncio.CancelledError)
"""Exceptions that end the attempt only. Others (Ctrl-C, pytest's own) go on to the caller."""


def apply_eagerly(
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    throw: bool | None = None,
    options: Mapping[str, Any],
    retries: int = 0,
    takes: str = "",
    shape: list[Any] | None = None,
    inputs: tuple[Input, ...] | None = None,
) -> EagerResult[Any]:
    """Run a call of `task` in this process; its retries follow each other without delay.

    Args:
        task: what to call.
        args: positional arguments.
        kwargs: keyword arguments.
        throw: raise what the body raised; by default as `task_eager_propagates` says.
        options: those of the call.
        retries: how many there were before.
        takes: how its inputs become arguments; see `Headers`.
        shape: how they are nested; see `Headers`.
        inputs: what its parents have left for it; None for a call without parents.

    Raises:
        ConfigError, CodecError, MessageTooLarge: as enqueueing the call would.
        Exception: what the body raised, where `throw` (or `task_eager_propagates`) says so.
    """
    # The once-key depends on all arguments, which a call with parents has when it is claimed.
    keyed = inputs is None
    message = build_message(task.app, task.name, args, kwargs, options, task, keyed=keyed)
    if takes:
        headers = decode_headers(message.headers)
        headers = msgspec.structs.replace(headers, takes=takes, shape=shape)
        message = msgspec.structs.replace(message, headers=encode_headers(headers))
    attempt = 1 + (checks.retries("retries", retries) or 0)
    result = _EagerMessage(task, message, inputs or (), attempt).run()
    propagates = task.app.settings.task_eager_propagates if throw is None else throw
    if propagates and result.state == "FAILURE":
        raise result.result
    return result


class _EagerNotifier(Notifier):
    """Calls hooks and sends signals; the log hears nothing of attempts that no store has.

    It also keeps the original exception, which the outcome has encoded only.
    """

    cause: BaseException | None = None
    progress: tuple[str, Any] | None = None

    def ended(self, started: StartedAttempt, done: outcome.Outcome, exc: BaseException) -> None:
        self.cause, self.progress = exc, started.progress
        super().ended(started, done, exc)

    def emit(self, event: str, claim: Claim, said: Any = None, /, **more: Any) -> None:
        if not event.startswith("attempt."):
            super().emit(event, claim, said, **more)


class _EagerMessage:
    """Runs one message in memory, attempt after attempt, with a clock that skips the delays."""

    def __init__(
        self, task: Task[Any, Any], message: Message, inputs: tuple[Input, ...], attempt: int
    ) -> None:
        self._app = task.app
        self._notifier = _EagerNotifier(HOST, _OUTLIVED)
        self._executor = Executor(
            task.app,
            HOST,
            outlived=_OUTLIVED,
            eager=True,
            notifier=self._notifier,
            tasks={task.name: task},
        )
        self._skipped_ms = 0
        now_ms = clock.now_ms()
        size = sum(len(each.value) for each in inputs)
        self._claim = Claim(
            id=message.id,
            task=message.task,
            queue=message.queue,
            priority=message.priority,
            payload=message.payload,
            headers=message.headers,
            fence=0,
            attempt=attempt,
            delivery=1,
            bounces=0,
            max_deliveries=message.max_deliveries,
            enqueued_ms=now_ms,
            first_started_ms=now_ms,
            started_ms=now_ms,
            once_key=message.once.key if message.once else None,
            root_id=message.root_id,
            parent_id=message.parent_id,
            inputs=inputs,
            oversize=size if size > task.app.settings.max_input_bytes else 0,
        )

    def run(self) -> EagerResult[Any]:
        """Run attempts until the message has ended."""
        while True:
            value, done = self._attempt()
            if isinstance(done, outcome.Retry):
                self._retry(done)
            elif isinstance(done, outcome.KeyAssigned):  # nothing is stored, so the key is free
                self._claim_again(once_key=done.once.key)
            elif isinstance(done, outcome.Rejected) and self._is_delivered_again(done):
                self._claim_again(delivery=self._claim.delivery + 1)
            else:
                return self._result(value, done)

    def _attempt(self) -> tuple[Any, outcome.Outcome]:
        """Run one attempt. Returns what the body returned (None if it raised) and the outcome."""
        started = self._executor.begin(self._claim, None)
        if not isinstance(started, StartedAttempt):
            return None, started
        try:
            value = started.run(*started.args, **started.kwargs)
            if started.is_async:
                value = asyncio.run(value)
        except _OUTLIVED as exc:
            return None, self._executor.raised(started, exc)
        except BaseException:
            self._executor.leave(started)
            raise
        return value, self._executor.returned(started, value)

    # From an attempt to the next -----------------------------------------------------------------

    def _retry(self, done: outcome.Retry) -> None:
        now_ms = clock.now_ms() + self._skipped_ms
        delay_ms = done.delay_ms if done.at_ms is None else done.at_ms - now_ms
        self._skipped_ms += max(0, delay_ms)
        names = ("payload", "headers", "queue", "priority")
        changed = {name: getattr(done, name) for name in names}
        changes = {name: value for name, value in changed.items() if value is not None}
        self._claim_again(attempt=self._claim.attempt + 1, delivery=1, **changes)

    def _is_delivered_again(self, done: outcome.Rejected) -> bool:
        return done.requeue and self._claim.delivery < self._claim.max_deliveries

    def _claim_again(self, **changes: Any) -> None:
        started_ms = clock.now_ms() + self._skipped_ms
        self._claim = msgspec.structs.replace(self._claim, started_ms=started_ms, **changes)

    # What it has come to -------------------------------------------------------------------------

    def _result(self, value: Any, done: outcome.Outcome) -> EagerResult[Any]:
        cause = self._notifier.cause
        if isinstance(cause, ReplaceMessage) and cause.canvas is not None:
            claim = self._claim
            root_id = claim.root_id or claim.id
            return apply_instead(cause.canvas, claim.id, claim.task, root_id)
        state, text = "FAILURE", None
        match done:
            case outcome.Succeeded():
                state = "SUCCESS"
                value = self._decoded(done.result) if done.keep else value
            case outcome.Ignored():
                state, value = self._said_by_the_body()
            case outcome.Failed() | outcome.Rejected():
                value = cause or self._app.exceptions.rebuild(decode_failure(done.failure))
                text = tracebacks.written(value)
        return EagerResult(
            self._claim.id, value, state, traceback=text, name=self._claim.task, app=self._app
        )

    def _decoded(self, result: bytes) -> Any:
        serializer = self._app.settings.result_serializer
        return loads(result, serializer, (serializer,))

    def _said_by_the_body(self) -> tuple[str, Any]:
        """State and value after `raise Ignore()`: those of the last `update_state`."""
        state, meta = self._notifier.progress or ("IGNORED", None)
        if state in PROPAGATED:
            meta = said_exception(state, meta, self._app.exceptions)
        return state, meta
