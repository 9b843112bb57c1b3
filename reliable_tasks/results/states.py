"""Celery's name for a record's state, and the exception of one that did not succeed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.codec.failures import Failure, decode_failure
from reliable_tasks.core.message import State
from reliable_tasks.core.reasons import BY_ANOTHER, Reason
from reliable_tasks.core.texts import said
from reliable_tasks.errors import ChordError, CodecError, TaskRevokedError, WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.codec.exceptions import SafeExceptions
    from reliable_tasks.store.values import Record

__all__ = ["PROPAGATED", "exception_of", "raised_by_get", "said_exception", "state_of"]

PROPAGATED = frozenset({"FAILURE", "REVOKED"})
"""The states in which `get` raises."""

_NAMED = 10  # of the parts of a chord that did not succeed


def state_of(record: Record | None) -> str:  # noqa: PLR0911 - a line for each state
    """The state of a message under Celery's names."""
    if record is None:
        return "PENDING"
    match record.state:
        case State.SUCCEEDED:
            return "SUCCESS"
        case State.FAILED:
            follows_revoked = record.reason in BY_ANOTHER and not record.failure
            return "REVOKED" if follows_revoked and not record.joins else "FAILURE"
        case State.REVOKED if record.reason == Reason.IGNORED:
            return record.progress_state or "IGNORED"
        case State.REVOKED:
            return "REVOKED"
        case State.RUNNING:
            return record.progress_state or "STARTED"
        case State.SCHEDULED | State.QUEUED if record.attempt > 1:
            return "RETRY"
    return "PENDING"


def raised_by_get(value: BaseException, follows: bool) -> BaseException:
    """What `get` raises of a result that is an exception.

    As in Celery the handle of a chord, which knows the header, raises what the member raised that
    failed first, and not the `ChordError` that the body ended in; a note has its text.

    Args:
        value: the result.
        follows: whether the handle knows what came before, and is to follow it.
    """
    member = value.__cause__ if follows and isinstance(value, ChordError) else None
    if member is None:
        return value
    if str(value) not in getattr(member, "__notes__", ()):
        member.add_note(str(value))
    return member


def exception_of(
    record: Record, exceptions: SafeExceptions, decode: Callable[[bytes], Any]
) -> BaseException:
    """The exception that `get` raises for a message that did not succeed."""
    meta = record.progress_meta if record.progress_state in PROPAGATED else None
    if meta is not None and (record.state is State.RUNNING or record.reason == Reason.IGNORED):
        return said_exception(record.progress_state or "", decode(meta), exceptions)
    cause = None
    if record.failure:
        cause = exceptions.rebuild(decode_failure(record.failure))
    if record.reason == Reason.PARENT and record.joins:
        more = len(record.broken) - _NAMED
        failed = ", ".join(record.broken[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        chord_error = ChordError(
            f"Dependency {failed} ended"
            if cause is None
            else f"Dependency {failed} raised {said(cause)}"
        )
        chord_error.__cause__ = cause
        return chord_error
    if cause is not None:
        return cause
    if record.reason == Reason.UNREADABLE:
        return CodecError(
            f"what the store has of message {record.id} cannot be decoded: it is damaged, or of a "
            f"newer release; see `reliable-tasks dead show {record.id}`"
        )
    if record.reason == Reason.DELIVERY_LIMIT:  # its hooks died as well, so no worker could say why
        return WorkerLostError(
            f"the worker process died in each of the {record.delivery} deliveries of message "
            f"{record.id}, also while its hooks were run"
        )
    return TaskRevokedError(record.reason or "revoked")


def said_exception(state: str, meta: Any, exceptions: SafeExceptions) -> BaseException:
    """What `get` raises after `update_state(state="FAILURE", …)` and `raise Ignore()`.

    A `meta` with `exc_type` and `exc_message` (and `exc_module`), as Celery wants it, is that
    exception.
    """
    if not isinstance(meta, Mapping) or not isinstance(meta.get("exc_type"), str):
        return TaskRevokedError(f"its body said {state} of it: {meta!r}")
    told = meta.get("exc_message", "")
    args = tuple(told) if isinstance(told, list | tuple) else (told,)
    text, module = str(told if len(args) > 1 else (*args, "")[0]), meta.get("exc_module")
    failure = Failure(
        type=meta["exc_type"], module=str(module or "builtins"), message=text, args=args
    )
    return exceptions.rebuild(failure)
