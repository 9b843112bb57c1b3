"""What the store knows of messages and locks, and how to ask for it."""

import msgspec

from reliable_tasks.core.message import State
from reliable_tasks.store.values.base import Value

__all__ = ["Counts", "LockInfo", "MessageQuery", "Record", "Replayed", "RevokeReply", "StepReply"]


class Record(Value, frozen=True, kw_only=True):
    """Everything the store knows of a message.

    Attributes:
        reason: why it is in this state: a `core.reasons.Reason`, "" in the ordinary course.
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


class MessageQuery(Value, frozen=True, kw_only=True):
    """Which records to list, in the store's order: a page of `limit`, after that of the one before.

    Attributes:
        after: the `after` of the page before.
        full: with payload, headers and edges.
    """

    state: State | None = None
    queue: str | None = None
    task: str | None = None
    dead: bool = False
    root_id: str | None = None
    session: str | None = None
    after: str | None = None
    limit: int = 100
    full: bool = False


class Counts(Value, frozen=True, kw_only=True):
    """How many messages stand where: `queues[name][state]` for live ones, and totals of all."""

    queues: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    states: dict[str, int] = msgspec.field(default_factory=dict)
    dead: int = 0


class RevokeReply(Value, frozen=True, kw_only=True):
    """What a revocation found: "revoked", "running" (flagged), "ended" or "unknown"."""

    id: str
    found: str


class Replayed(Value, frozen=True, kw_only=True):
    """What a replay did: "replayed", "not dead", "unknown", or "held" by `holder`'s once-lock."""

    id: str
    done: str
    holder: str | None = None


class StepReply(Value, frozen=True, kw_only=True):
    """A recorded step: "stale", "new" (now begun), "begun" (by an attempt that died) or "done"."""

    known: str
    value: bytes | None = None


class LockInfo(Value, frozen=True, kw_only=True):
    """A lock that is held: a once-lock (owner is a message's id) or a user's."""

    name: str
    owner: str
    fence: int
    since_ms: int
    until_ms: int
    parked: tuple[str, ...] = ()
