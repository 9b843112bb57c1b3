"""`TaskResult`s: of a call, of the attempt that runs, of a record in the store."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from reliable_tasks.contrib.django.tasks_api import (
    InvalidTask,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
)
from reliable_tasks.core.clock import moment
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.codec.tags import untag
from reliable_tasks.core.message import State, decode_headers
from reliable_tasks.store.values import AuditEvent, AuditQuery, every_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reliable_tasks.app import App
    from reliable_tasks.core.request import Request
    from reliable_tasks.store.values import Record

__all__ = [
    "end",
    "ended_eagerly",
    "enqueued",
    "headers_of",
    "of_record",
    "priority_of",
    "running",
]

_HEADER = "django.tasks"
_LEAST, _MOST, _LAST = -100, 100, 9
_REVOKED = "reliable_tasks.errors.TaskRevokedError"
_STATUS = {
    State.RUNNING: TaskResultStatus.RUNNING,
    State.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    State.FAILED: TaskResultStatus.FAILED,
    State.REVOKED: TaskResultStatus.FAILED,
}


def priority_of(django: int) -> int:
    """Django's priority (100 is first, -100 last) as one of a message: 0 is first, 9 last.

    Django's default of 0 is 4.
    """
    return round((_MOST - django) * _LAST / (_MOST - _LEAST))


def enqueued(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], alias: str) -> Any:
    """The result of a call that is about to be stored.

    Raises:
        TypeError: an argument is not for JSON.
    """
    return TaskResult(
        task=task,
        id="",
        status=TaskResultStatus.READY,
        enqueued_at=timezone.now(),
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=list(args),
        kwargs=dict(kwargs),
        backend=alias,
        errors=[],
        worker_ids=[],
    )


def headers_of(result: Any) -> dict[str, Any]:
    """What the message carries for its results.

    The arguments are there once more: a message that has succeeded keeps its headers only.
    """
    task = result.task
    return {
        _HEADER: {
            "backend": result.backend,
            "priority": task.priority,
            "run_after": None if task.run_after is None else task.run_after.isoformat(),
            "enqueued_at": result.enqueued_at.isoformat(),
            "args": result.args,
            "kwargs": result.kwargs,
        }
    }


def _built(declared: Any, told: Mapping[str, Any], queue: str, **fields: Any) -> Any:
    """A result, with the call's own variant of its task."""
    after = told["run_after"]
    changes = {
        "backend": told["backend"],
        "priority": told["priority"],
        "queue_name": queue,
        "run_after": None if after is None else dt.datetime.fromisoformat(after),
    }
    if any(getattr(declared, name) != value for name, value in changes.items()):
        with contextlib.suppress(InvalidTask):  # of a queue that is no longer in the settings
            declared = replace(declared, **changes)
    return TaskResult(
        task=declared,
        enqueued_at=dt.datetime.fromisoformat(told["enqueued_at"]),
        args=told["args"],
        kwargs=told["kwargs"],
        backend=told["backend"],
        **fields,
    )


def running(task: Any, request: Request) -> Any:
    """The result as the attempt knows it that runs.

    What earlier attempts have left is read from the store.
    """
    told = (request.headers or {}).get(_HEADER)
    app: Any = task.get_backend().app
    if told is None:  # enqueued by other ways than Django's: by `call` or a workflow, say
        told = {"backend": task.backend, "priority": task.priority, "run_after": None}
        told |= {"enqueued_at": timezone.now().isoformat()}
        told |= {"args": list(request.args), "kwargs": request.kwargs}
    if request.attempt > 1 and not request.is_eager:
        record = app.store.read([request.id], full=True)[0]
        if record is not None:
            return _of_told(app, record, task, told)
    now = timezone.now()
    return _built(
        task,
        told,
        request.delivery_info["routing_key"],
        id=request.id,
        status=TaskResultStatus.RUNNING,
        started_at=now,
        finished_at=None,
        last_attempted_at=now,
        errors=[],
        worker_ids=[request.hostname] * request.attempt,
    )


def end(
    result: Any, status: Any, value: Any = None, error: tuple[BaseException, str] | None = None
) -> None:
    """Let a result be one that has ended."""
    object.__setattr__(result, "status", status)
    object.__setattr__(result, "finished_at", timezone.now())
    object.__setattr__(result, "_return_value", value)
    if error is not None:
        kind = type(error[0])
        path = f"{kind.__module__}.{kind.__qualname__}"
        result.errors.append(TaskError(exception_class_path=path, traceback=error[1]))


def ended_eagerly(result: Any, handle: Any) -> None:
    """Take over what an eager call has come to."""
    object.__setattr__(result, "started_at", result.enqueued_at)
    object.__setattr__(result, "last_attempted_at", result.enqueued_at)
    result.worker_ids.append("eager")
    if handle.successful():
        end(result, TaskResultStatus.SUCCESSFUL, handle.result)
    else:
        end(result, TaskResultStatus.FAILED, error=(handle.result, handle.traceback or ""))


def of_record(app: App, record: Record, alias: str) -> Any:
    """The result that a record in the store stands for.

    Raises:
        TaskResultDoesNotExist: it is no call of one of Django's tasks, or of none known here.
    """
    user = decode_headers(record.headers).user or {}
    told = untag(user.get(_HEADER))
    declared = getattr(app.tasks.get(record.task), "declared", None)
    if told is None or declared is None:
        what = "is no call of a Django task" if told is None else f"is of {record.task!r}"
        raise TaskResultDoesNotExist(
            f"{record.id} {what}" + ("" if told is None else ", which no module here declares")
        )
    return _of_told(app, record, declared, {**told, "backend": told["backend"] or alias})


def _of_told(app: App, record: Record, declared: Any, told: Mapping[str, Any]) -> Any:
    status = _STATUS.get(record.state, TaskResultStatus.READY)
    result = _built(
        declared,
        told,
        record.queue,
        id=record.id,
        status=status,
        started_at=moment(record.first_started_ms),
        finished_at=moment(record.ended_ms),
        last_attempted_at=moment(record.started_ms),
        errors=_errors(record),
        worker_ids=_workers(app, record),
    )
    if status == TaskResultStatus.SUCCESSFUL:
        handle = app.AsyncResult(record.id)
        handle.found(record)
        object.__setattr__(result, "_return_value", handle.result)
    return result


def _errors(record: Record) -> list[Any]:
    """What the last attempt raised that failed; the trail has those before it."""
    if record.failure:
        failure = decode_failure(record.failure)
        path = f"{failure.module}.{failure.type}"
        return [TaskError(exception_class_path=path, traceback=failure.traceback)]
    if record.state == State.REVOKED:
        return [TaskError(exception_class_path=_REVOKED, traceback=record.reason or "revoked")]
    return []


def _workers(app: App, record: Record) -> list[str]:
    """The worker of each attempt that has begun."""
    if record.started_ms is None:
        return []
    waits = record.state in {State.SCHEDULED, State.QUEUED, State.WAITING} and record.attempt > 1
    begun = record.attempt - waits
    last = record.worker or ""
    if begun == 1:
        return [last]
    rows = every_of(app.store.audit, AuditQuery(id=record.id))
    by_attempt = {row.attempt: row.worker for row in rows if row.event == AuditEvent.RETRY}
    return [by_attempt.get(number) or last for number in range(1, begun + 1)]
