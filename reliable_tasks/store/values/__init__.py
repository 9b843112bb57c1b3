"""The values that cross the boundary between the stores and everything above them."""

from reliable_tasks.store.values.audit import AUDIT_DEFAULT, AuditEvent, AuditQuery, AuditRow
from reliable_tasks.store.values.base import Health, StoreOptions
from reliable_tasks.store.values.enqueue import (
    Batch,
    Enqueued,
    Receipt,
    ReceiptKind,
    batch_of,
    check_batch,
)
from reliable_tasks.store.values.exchange import (
    TURN_MS,
    Claim,
    ClaimRequest,
    Command,
    Commit,
    DeadLettered,
    Exchange,
    Heartbeat,
    Input,
    Reaped,
    SessionInfo,
    Turn,
    Verdict,
)
from reliable_tasks.store.values.records import (
    Counts,
    LockInfo,
    MessageQuery,
    Record,
    Replayed,
    RevokeReply,
    StepReply,
)
from reliable_tasks.store.values.schedule import Entry

__all__ = [
    "AUDIT_DEFAULT",
    "TURN_MS",
    "AuditEvent",
    "AuditQuery",
    "AuditRow",
    "Batch",
    "Claim",
    "ClaimRequest",
    "Command",
    "Commit",
    "Counts",
    "DeadLettered",
    "Enqueued",
    "Entry",
    "Exchange",
    "Health",
    "Heartbeat",
    "Input",
    "LockInfo",
    "MessageQuery",
    "Reaped",
    "Receipt",
    "ReceiptKind",
    "Record",
    "Replayed",
    "RevokeReply",
    "SessionInfo",
    "StepReply",
    "StoreOptions",
    "Turn",
    "Verdict",
    "batch_of",
    "check_batch",
]
