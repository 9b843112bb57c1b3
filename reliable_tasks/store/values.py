"""The values that cross the boundary between the stores and everything above them."""

from enum import StrEnum

import msgspec

from reliable_tasks.core.message import Message, State
from reliable_tasks.core.outcome import Outcome

__all__ = [
    "AUDIT_DEFAULT",
    "AuditEvent",
    "AuditQuery",
    "AuditRow",
    "Batch",
    "Buried",
    "Claim",
    "Command",
    "Commit",
    "Counts",
    "Enqueued",
    "Entry",
    "Exchange",
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
    "Verdict",
    "Want",
]


class _Value(msgspec.Struct, frozen=True, kw_only=True, gc=False): ...


class StoreOptions(_Value, frozen=True, kw_only=True):
    """What a store is opened with; the defaults are those of `config.Settings`."""

    namespace: str = "reliable_tasks"
    audit: str = "default"
    audit_ttl_ms: int = 604_800_000
    max_message_bytes: int = 1_048_576
    max_input_bytes: int = 67_108_864
    max_batch: int = 1000
    max_rows: int = 10_000
    stage_ttl_ms: int = 600_000
    busy_timeout_ms: int = 20_000
    durable: str | None = None


# Enqueue ------------------------------------------------------------------------------------------


class Batch(_Value, frozen=True, kw_only=True):
    """Messages that are stored in one atomic step.

    Attributes:
        messages: at most `max_batch` of them.
        stage: name of a stage that holds the messages of a large workflow until it is sealed; it is
            dropped if that is not within `stage_ttl_ms` of its last batch.
        seal: with `stage`: this batch is the last, let the workflow start.
        after: what an earlier batch put into the stage; refused where that is gone.
        durable: durability asked for this call (Redis only), see the settings reference.
    """

    messages: tuple[Message, ...] = ()
    stage: str | None = None
    seal: bool = False
    after: str | None = None
    durable: str | None = None


class ReceiptKind(StrEnum):
    """What became of an enqueued message."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    """Not stored: the once-key (or the id) is held by `Receipt.holder`."""
    REPLACED = "replaced"
    """Not stored: its arguments replaced those of the waiting `Receipt.holder`."""
    RERUN = "rerun"
    """It runs once more after the present one: as itself, or as the waiting `Receipt.holder`."""
    JOINED = "joined"
    """Stored as a mirror of `Receipt.holder`."""


class Receipt(_Value, frozen=True, kw_only=True):
    """The store's answer for one message of a batch.

    `holder` is the id of the message that holds the key (or the id); `countdown_ms` is how long
    that is expected to last: the rest of the lock's timeout, else of the holder's delay, else 0.
    """

    id: str
    kind: ReceiptKind = ReceiptKind.CREATED
    holder: str | None = None
    countdown_ms: int = 0


class Enqueued(_Value, frozen=True, kw_only=True):
    """Receipts in the batch's order, and how many messages of a sealed stage are still held.

    While `held` is not 0 call again with the same stage, sealed and empty (or leave it to `reap`).
    """

    receipts: tuple[Receipt, ...] = ()
    held: int = 0


# Exchange -----------------------------------------------------------------------------------------


class Commit(_Value, frozen=True, kw_only=True):
    """An outcome for a claim; `fence` proves that the claim is still the latest one."""

    id: str
    fence: int
    outcome: Outcome


class Want(_Value, frozen=True, kw_only=True):
    """How many claims a session asks for, from which queues, first named first served."""

    queues: tuple[str, ...]
    limit: int


class Verdict(StrEnum):
    """Whether a commit was applied."""

    COMMITTED = "committed"
    """Applied, now or (reply lost) before."""
    STALE = "stale"
    """The claim was taken away; nothing was changed."""


class Input(_Value, frozen=True, kw_only=True, array_like=True):
    """What a parent left for its child: its result, or for an errback its failure."""

    slot: int
    parent: str
    ok: bool
    value: bytes


class Claim(_Value, frozen=True, kw_only=True):
    """A message handed to a session.

    Attributes:
        fence: grows with every claim in the namespace; the claim's token.
        attempt: 1 for the first run, one more for each retry.
        delivery: how many claims since the last retry, this one included.
        bounces: how often this attempt was given back: task unknown, or stopped in its body.
        inputs: what its parents left, by slot.
        oversize: how many bytes the inputs have that were left out, being over `max_input_bytes`.
        first_started_ms, started_ms: when the first attempt was claimed, and when this one.
        doom: the failure to bury it with, if its process was killed at a limit.
    """

    id: str
    task: str
    queue: str
    priority: int
    payload: bytes
    headers: bytes
    fence: int
    attempt: int
    delivery: int
    bounces: int
    max_deliveries: int
    enqueued_ms: int
    first_started_ms: int
    started_ms: int
    eta_ms: int | None = None
    expires_ms: int | None = None
    once_key: str | None = None
    root_id: str = ""
    parent_id: str | None = None
    inputs: tuple[Input, ...] = ()
    oversize: int = 0
    doom: bytes | None = None


class Exchange(_Value, frozen=True, kw_only=True):
    """The reply of an exchange.

    `next_due_ms` is when the next scheduled message is due (None: nothing is scheduled), told to
    those that wanted work; `lost` says that the session has lapsed and gets no claims any more.
    """

    verdicts: tuple[Verdict, ...] = ()
    claims: tuple[Claim, ...] = ()
    next_due_ms: int | None = None
    lost: bool = False


# Sessions -----------------------------------------------------------------------------------------


class SessionInfo(_Value, frozen=True, kw_only=True):
    """One worker process as the store knows it.

    Attributes:
        id: made by the opener.
        worker: the worker's name, `name@host`.
        host: identity of the machine, so that another worker there can tell that `pid` is gone.
        pid: of the process that runs the bodies.
        pid_started: start time of that process as the system tells it, since pids are reused.
        queues: what it consumes.
        started_ms, lease_until_ms, claims: when it was opened, until when it is alive, and how
            many messages it holds (set by the store).
    """

    id: str
    worker: str
    host: str = ""
    pid: int = 0
    pid_started: str = ""
    queues: tuple[str, ...] = ()
    started_ms: int = 0
    lease_until_ms: int = 0
    claims: int = 0


class Command(_Value, frozen=True, kw_only=True):
    """Tells a supervisor to stop a running message that was revoked with `terminate`."""

    session: str
    id: str
    fence: int
    signal: str = "SIGTERM"


class Heartbeat(_Value, frozen=True, kw_only=True):
    """Sessions that were taken back (never to be revived), what to stop, and the store's time."""

    lost: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    now_ms: int = 0


class Buried(_Value, frozen=True, kw_only=True):
    """A message that the store itself dead-lettered, since nobody could run its hooks."""

    id: str
    task: str


class Reaped(_Value, frozen=True, kw_only=True):
    """What one bounded round of `reap` did; `more` asks for another round at once."""

    requeued: int = 0
    buried: tuple[Buried, ...] = ()
    promoted: int = 0
    expired: int = 0
    deleted: int = 0
    unparked: int = 0
    more: bool = False
    next_due_ms: int | None = None


# Reading ------------------------------------------------------------------------------------------


class Record(_Value, frozen=True, kw_only=True):
    """Everything the store knows of a message.

    Attributes:
        reason: why it is in this state: "" in the ordinary course, else one of "expired",
            "revoked", "terminated", "purged", "ignored", "rejected", "failed", "delivery limit",
            "time limit", "unreadable", "parent" (did not succeed), "mirror" (its original did not),
            "not needed" (an errback whose parents all succeeded), "duplicate".
        version: grows with every change, for waiting.
        progress_state, progress_meta: what the running body last reported.
        broken: ids of the parents that did not succeed.
        mirrors: id of the message whose ending becomes this one's.
        joins: it waits for more than one parent.
    """

    id: str
    task: str
    queue: str
    priority: int
    state: State
    reason: str = ""
    version: int = 0
    attempt: int = 1
    delivery: int = 0
    bounces: int = 0
    max_deliveries: int = 5
    fence: int = 0
    session: str | None = None
    worker: str | None = None
    enqueued_ms: int = 0
    due_ms: int | None = None
    expires_ms: int | None = None
    first_started_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    result: bytes | None = None
    failure: bytes | None = None
    progress_state: str | None = None
    progress_meta: bytes | None = None
    once_key: str | None = None
    root_id: str = ""
    parent_id: str | None = None
    waits: int = 0
    broken: tuple[str, ...] = ()
    mirrors: str | None = None
    joins: bool = False
    payload: bytes | None = None
    headers: bytes = b""
    edges: tuple[tuple[str, str, int], ...] = ()


class MessageQuery(_Value, frozen=True, kw_only=True):
    """Which records to list: bounded, in the store's order; `after` ends the page before."""

    state: State | None = None
    queue: str | None = None
    task: str | None = None
    dead: bool = False
    root_id: str | None = None
    session: str | None = None
    after: str | None = None
    limit: int = 100


class Counts(_Value, frozen=True, kw_only=True):
    """How many messages stand where: `queues[name][state]` for live ones, and totals of all."""

    queues: dict[str, dict[str, int]] = {}
    states: dict[str, int] = {}
    dead: int = 0


class RevokeReply(_Value, frozen=True, kw_only=True):
    """What a revocation found: "revoked", "running" (flagged), "ended" or "unknown"."""

    id: str
    found: str


class Replayed(_Value, frozen=True, kw_only=True):
    """What a replay did: "replayed", "not dead", "unknown", or "held" by `holder`'s once-lock."""

    id: str
    done: str
    holder: str | None = None


class StepReply(_Value, frozen=True, kw_only=True):
    """A recorded step: "stale", "new" (now begun), "begun" (by an attempt that died) or "done"."""

    known: str
    value: bytes | None = None


class LockInfo(_Value, frozen=True, kw_only=True):
    """A lock that is held: a once-lock (owner is a message's id) or a user's."""

    name: str
    owner: str
    fence: int
    since_ms: int
    until_ms: int = 0
    parked: tuple[str, ...] = ()


# Audit --------------------------------------------------------------------------------------------


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


class AuditRow(_Value, frozen=True, kw_only=True):
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


class AuditQuery(_Value, frozen=True, kw_only=True):
    """Which rows to read: oldest first, bounded; `after` is the last `seq` of the page before."""

    id: str | None = None
    event: str | None = None
    since_ms: int | None = None
    after: str | None = None
    limit: int = 1000


# Schedules ----------------------------------------------------------------------------------------


class Entry(_Value, frozen=True, kw_only=True):
    """A schedule's entry. `spec` and `template` are encoded by beat; the store compares slots.

    Attributes:
        name: unique in the namespace.
        spec: the schedule and its options, encoded.
        template: the task, arguments and options of its messages, encoded.
        origin: "code" or "runtime": who made it.
        next_ms: the next planned slot; None when it has none left.
        last_ms, last_id: the slot fired last, and its message.
        runs, missed: how many slots were fired, and passed over.
        paused: it does not fire.
        version: grows with every change of spec, template or paused.
    """

    name: str
    spec: bytes = b""
    template: bytes = b""
    origin: str = "code"
    next_ms: int | None = None
    last_ms: int | None = None
    last_id: str | None = None
    runs: int = 0
    missed: int = 0
    paused: bool = False
    version: int = 0
