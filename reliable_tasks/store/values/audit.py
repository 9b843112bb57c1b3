"""The audit trail: its events, its rows, and how to ask for them."""

from enum import StrEnum
from typing import Any

import msgspec

from reliable_tasks.store.values.base import Value

__all__ = [
    "AUDIT_COUNTED",
    "AUDIT_COUNTED_MS",
    "AUDIT_DEFAULT",
    "AUDIT_ROW_BYTES",
    "AuditCut",
    "AuditEvent",
    "AuditQuery",
    "AuditRow",
    "size_of",
]


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


AUDIT_COUNTED = frozenset(
    {AuditEvent.DUPLICATE, AuditEvent.CONFLICT, AuditEvent.REPLACED, AuditEvent.RERUN}
)
"""What a producer can cause at any rate while nothing more is stored.

If the message's newest row tells of the same, and began less than `AUDIT_COUNTED_MS` ago, it is
counted there.
"""
AUDIT_COUNTED_MS = 60_000

AUDIT_ROW_BYTES = 200
"""What a row takes about, beside its texts."""


class AuditRow(Value, frozen=True, kw_only=True):
    """One line of the trail, written in the same atomic step as the transition it tells of.

    Attributes:
        at_ms: when; where it happened `count` times, for the first time.
        last_ms: when for the last time, if several.
    """

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
    count: int = 1
    last_ms: int | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """What `detail` says, decoded; what cannot be decoded is shown as it is."""
        try:
            fields = msgspec.json.decode(self.detail) if self.detail else {}
        except msgspec.DecodeError:
            return {"detail": repr(self.detail)}
        return fields if isinstance(fields, dict) else {"detail": fields}


class AuditCut(Value, frozen=True, kw_only=True):
    """What the bounds of the trail have dropped, which is the oldest first.

    Attributes:
        rows: how many rows of a message were dropped that has later ones.
        until_ms: up to when rows were dropped at all; 0 = none ever was.
    """

    rows: int = 0
    until_ms: int = 0


def size_of(message_id: str, task: str, worker: str, detail: bytes) -> int:
    """What a row counts for towards the bound in bytes."""
    texts = len(message_id.encode()) + len(task.encode()) + len(worker.encode())
    return AUDIT_ROW_BYTES + texts + len(detail)


class AuditQuery(Value, frozen=True, kw_only=True):
    """Which rows to read, oldest first: a page of `limit`.

    Attributes:
        after: the `after` of the page before, or the `seq` of a row.
    """

    id: str | None = None
    event: str | None = None
    since_ms: int | None = None
    after: str | None = None
    limit: int = 1000
