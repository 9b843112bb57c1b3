"""A record's state under Celery's names, and what one that did not succeed raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import ChordError, TaskRevokedError
from .message import State
from .serialization import decode_failure

if TYPE_CHECKING:
    from .serialization import SafeExceptions
    from .store.values import Record

__all__ = ["PROPAGATED", "exception_of", "state_of"]

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
            follows_revoked = record.reason in {"parent", "mirror"} and not record.failure
            return "REVOKED" if follows_revoked and not record.joins else "FAILURE"
        case State.REVOKED if record.reason == "ignored":
            return record.progress_state or "IGNORED"
        case State.REVOKED:
            return "REVOKED"
        case State.RUNNING:
            return record.progress_state or "STARTED"
        case State.SCHEDULED | State.QUEUED if record.attempt > 1:
            return "RETRY"
    return "PENDING"


def exception_of(record: Record, exceptions: SafeExceptions) -> BaseException:
    """What a message that did not succeed raises where its result is asked for."""
    cause = None
    if record.failure:
        cause = exceptions.rebuild(decode_failure(record.failure))
    if record.reason == "parent" and record.joins:
        more = len(record.broken) - _NAMED
        failed = ", ".join(record.broken[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        chord_error = ChordError(
            f"Dependency {failed} raised {cause!r}" if cause else f"Dependency {failed} ended"
        )
        chord_error.__cause__ = cause
        return chord_error
    if cause is not None:
        return cause
    return TaskRevokedError(record.reason or "revoked")
