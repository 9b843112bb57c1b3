"""The audit trail: its events, its rows, and how to ask for them."""

from enum import StrEnum
from typing import Any

import msgspec

from reliable_tasks.store.values.base import Value

__all__ = ["AUDIT_DEFAULT", "AuditEvent", "AuditQuery", "AuditRow"]


class AuditEvent(StrEnum):
    """What an audit row tells of."""

    ENQUEUED = "enqueued"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    PROMOTED = "promoted"
    RELEASED = "released"
    STEP = "step"
    FIRED = "fired"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REPLACED = "replaced"
    RERUN = "rerun"
    JOINED = "joined"
    RETRY = "retry"
    FAILED = "failed"
    DOOMED = "doomed"
    REAPED = "reaped"
    STALE = "stale"
    REVOKED = "revoked"
    EXPIRED = "expired"
    IGNORED = "ignored"
    REJECTED = "rejected"
    PURGED = "purged"
    REPLAYED = "replayed"
    DROPPED = "dropped"
    UNLOCKED = "unlocked"
    UNKNOWN = "unknown task"
    SUPPRESSED = "suppressed"


AUDIT_DEFAULT = frozenset(AuditEvent) - {
    AuditEvent.ENQUEUED,
    AuditEvent.STARTED,
    AuditEvent.SUCCEEDED,
    AuditEvent.PROMOTED,
    AuditEvent.RELEASED,
    AuditEvent.STEP,
    AuditEvent.FIRED,
}
"""What is kept with `audit="default"`; the rest is added with `audit="all"`."""


class AuditRow(Value, frozen=True, kw_only=True):
    """One line of the trail, written in the same atomic step as the transition it tells of."""

    seq: str
    at_ms: int
    event: str
    id: str
    task: str = ""
    attempt: int = 0
    delivery: int = 0
    fence: int = 0
    worker: str = ""
    detail: bytes = b""

    @property
    def fields(self) -> dict[str, Any]:
        """What `detail` says, decoded; what cannot be decoded is shown as it is."""
        try:
            fields = msgspec.json.decode(self.detail) if self.detail else {}
        except msgspec.DecodeError:
            return {"detail": repr(self.detail)}
        return fields if isinstance(fields, dict) else {"detail": fields}


class AuditQuery(Value, frozen=True, kw_only=True):
    """Which rows to read: oldest first, bounded; `after` is the last `seq` of the page before."""

    id: str | None = None
    event: str | None = None
    since_ms: int | None = None
    after: str | None = None
    limit: int = 1000
