"""Messages, their states and their edges: the values that every store keeps.

A `Message` is what a producer hands to the store and never changes; what happens to it afterwards
is told by its `Record` (see `reliable_tasks.store.values`). All times are milliseconds since the
epoch by the store's clock; all spans are milliseconds.
"""

import functools
from enum import StrEnum
from typing import Any, Final

import msgspec

__all__ = [
    "COLLECT",
    "COMPLETE",
    "FINAL_STATES",
    "LIVE_STATES",
    "PLAIN",
    "TELL",
    "Edge",
    "Headers",
    "Kind",
    "Message",
    "On",
    "OnceLock",
    "State",
    "decode_headers",
    "encode_headers",
    "kind_of",
]


COMPLETE = "__rt_complete__"
"""Says, among the keyword arguments of a stored call, that nothing goes before its arguments."""
COLLECT = "reliable_tasks.collect"
"""The task of messages that users do not see: it returns its argument, and joins two groups."""
TELL = "reliable_tasks.bridge.tell"
"""The task of messages by which bridges tell result backends how others ended; nor of these."""


class State(StrEnum):
    """Where a message stands."""

    WAITING = "waiting"
    """For its parents in a workflow, for a once-lock, or for a message it mirrors."""
    SCHEDULED = "scheduled"
    """For its time: an eta, a countdown or a retry's delay."""
    QUEUED = "queued"
    """Ready, for a worker to claim it."""
    RUNNING = "running"
    """Claimed by a session."""
    SUCCEEDED = "succeeded"
    """Final: the body returned."""
    FAILED = "failed"
    """Final: a dead letter, which keeps its payload and can be replayed."""
    REVOKED = "revoked"
    """Final: it was revoked, expired, ignored or purged."""


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED, State.REVOKED})
LIVE_STATES = frozenset(State) - FINAL_STATES


class On(StrEnum):
    """How a parent must end for an edge to start its child."""

    SUCCESS = "success"
    """Deliver the result into the child's slot; any other ending ends the child as well."""
    FAILURE = "failure"
    """Start the child (an errback) once, when the first of its parents fails."""
    MIRROR = "mirror"
    """The child never runs: it ends as the parent ends, with the same result."""


class Edge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An arrow of a workflow, kept with the parent.

    Attributes:
        child: id of the message at its head.
        on: which ending of the parent it waits for.
        slot: where among the child's inputs the result goes; -1 when the child takes no input.
    """

    child: str
    on: On = On.SUCCESS
    slot: int = -1


class OnceLock(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The once-lock that travels with a message.

    Attributes:
        key: the canonical key, see `reliable_tasks.core.once.once_key`.
        scope: a `once.Scope`: from when until when the key is held.
        on_conflict: a `once.OnConflict`: what happens to a message whose key is held.
        timeout_ms: a cap after which the key is free even if its holder still lives; 0 for none.
    """

    key: str
    scope: str = "until_executed"
    on_conflict: str = "raise"
    timeout_ms: int = 0


class Message(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One enqueued call of a task.

    Attributes:
        id: unique in the namespace.
        task: name of the task.
        queue: name of the queue.
        priority: 0 (first) to 9; first in, first out within one.
        payload: the encoded arguments; the store never looks inside.
        headers: everything else a worker needs to know, encoded; the store never looks inside.
        eta_ms: not before this instant.
        delay_ms: or not before this long after it became ready (its parents ended).
        expires_ms: not started after this instant: it is revoked instead.
        expires_in_ms: or this long after it became ready.
        once: its once-lock, if it has one.
        joins_duplicate: if the once-lock is held, become a mirror of the holder (workflow nodes).
        max_deliveries: how many claims may be lost to dying workers.
        result_ttl_ms: how long the record stays after success or revocation; 0 for ever.
        failure_ttl_ms: how long it stays after failure (a dead letter); 0 for ever.
        root_id: the first message of its workflow; its own id when it stands alone.
        parent_id: the message that led to it: the one before it in its workflow, or the one whose
            body enqueued it.
        edges: where its ending goes.
        waits: how many edges point at it.
        any_parent: start at the first edge that fires (errbacks), not when all have.
        token: tells two enqueues apart that a user gave the same id; the same token twice is the
            same enqueue, repeated after a lost reply.
    """

    id: str
    task: str
    queue: str = "celery"
    priority: int = 0
    payload: bytes = b""
    headers: bytes = b""
    eta_ms: int | None = None
    delay_ms: int = 0
    expires_ms: int | None = None
    expires_in_ms: int | None = None
    once: OnceLock | None = None
    joins_duplicate: bool = False
    max_deliveries: int = 5
    result_ttl_ms: int = 86_400_000
    failure_ttl_ms: int = 2_592_000_000
    root_id: str = ""
    parent_id: str | None = None
    edges: tuple[Edge, ...] = ()
    waits: int = 0
    any_parent: bool = False
    token: str = ""


class Kind(msgspec.Struct, frozen=True, eq=False, kw_only=True, gc=False):
    """What plain calls of one task with the same options have in common.

    Plain calls have no once-key, no edges and no times: id and payload are all that differs. A kind
    is equal to itself only, so that to look something up by it costs next to nothing. A producer
    makes one and keeps it, and the store what it has packed of it. Claims whose kinds have the same
    fields have the same one for as long as a bounded cache remembers it: work out once what depends
    on these fields alone, and keep it by the kind, in a mapping that is bounded as well.

    The fields are those of `Message`.
    """

    task: str
    queue: str
    priority: int
    max_deliveries: int
    result_ttl_ms: int
    failure_ttl_ms: int
    root_id: str
    parent_id: str | None
    headers: bytes

    def message(self, message_id: str, payload: bytes) -> "Message":
        """The message of one of its calls."""
        return Message(id=message_id, payload=payload, **msgspec.structs.asdict(self))


_remembered = functools.lru_cache(maxsize=512)(Kind)
_LONGEST_HEADERS: Final = 4096  # longer ones are not remembered


def kind_of(**fields: Any) -> Kind:
    """The kind with these fields: the one that was made before, while that is remembered."""
    return (_remembered if len(fields["headers"]) <= _LONGEST_HEADERS else Kind)(**fields)


class Headers(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a worker must know of a call besides its arguments. Opaque to stores.

    Attributes:
        serializer: codec of the payload and of the result.
        takes: how the inputs become arguments: "" not at all, "one" as first argument, "list" all
            of them as one list, "errback" as (request, exc, traceback) or the failed parent's id.
        shape: for "list", the nesting of the list: each number stands for that many inputs in a
            row, each list for a nested one. None is one flat list.
        time_limit, soft_time_limit: seconds, overriding the task's.
        ignore_result: overriding the task's.
        shadow: a name to show in logs instead of the task's.
        user: the `headers=` of the call.
        stamps: what `stamp()` has put on the call.
        properties: what Celery puts beside the headers, such as `reply_to`.
        nesting: how many times `self.replace` was called on the way to this message.
        retries: how often another system had retried it before it came here, which counts as well.
        countdown_ms: the `countdown` of a call that waits for no other.
        group, chord, chain: the workflow's parts it belongs to, as `self.request` shows them.
        origin: process that enqueued it.
        once_label: the once-key as a person reads it.
    """

    serializer: str = "json"
    takes: str = ""
    shape: list[Any] | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    ignore_result: bool | None = None
    shadow: str | None = None
    user: dict[str, Any] | None = None
    stamps: dict[str, Any] | None = None
    properties: dict[str, str] | None = None
    nesting: int = 0
    retries: int = 0
    countdown_ms: int = 0
    group: str | None = None
    chord: str | None = None
    chain: str | None = None
    origin: str = ""
    once_label: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Headers)
PLAIN = Headers()
"""Those of a call that has nothing to say."""


def encode_headers(headers: Headers) -> bytes:
    """Pack headers for `Message.headers`; default headers become b""."""
    return b"" if headers == PLAIN else _encoder.encode(headers)


def decode_headers(data: bytes) -> Headers:
    """Unpack `Message.headers`."""
    return _decoder.decode(data) if data else PLAIN
