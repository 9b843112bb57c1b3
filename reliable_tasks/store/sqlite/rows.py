"""A record as the tables have it, and how it becomes the values that callers see."""

from typing import Any, Final

import msgspec

from reliable_tasks.core.message import Edge, Kind, Message, OnceLock, State, kind_of
from reliable_tasks.store import values as v

__all__ = [
    "DEAD",
    "FALLEN",
    "FIRST_FINAL",
    "PART_BROKEN",
    "PART_INPUTS",
    "PART_STEPS",
    "QUEUED",
    "REVOKED",
    "RUNNING",
    "SCHEDULED",
    "STATES",
    "SUCCEEDED",
    "WAITING",
    "RawRow",
    "Row",
    "as_claim",
    "as_inputs",
    "as_record",
    "codes_of",
    "edges_of",
    "new_row",
    "once_of",
    "set_once",
    "with_edge",
]

RawRow = tuple[Any, ...]

# The states as the tables have them. A message that failed by itself (a dead letter) and one that
# failed because another did are told apart, so that dead letters have an index of their own.
WAITING: Final = 0
SCHEDULED: Final = 1
QUEUED: Final = 2
RUNNING: Final = 3
SUCCEEDED: Final = 4
DEAD: Final = 5
REVOKED: Final = 6
FALLEN: Final = 7
FIRST_FINAL: Final = SUCCEEDED
STATES: Final = (
    State.WAITING,
    State.SCHEDULED,
    State.QUEUED,
    State.RUNNING,
    State.SUCCEEDED,
    State.FAILED,
    State.REVOKED,
    State.FAILED,
)

# Which tables have rows for a record: a bit each in `Row.parts`, so that most deletes are skipped.
PART_INPUTS: Final = 1
PART_STEPS: Final = 2
PART_BROKEN: Final = 4

_encode = msgspec.json.Encoder().encode
_decode_once = msgspec.json.Decoder(OnceLock).decode
_decode_edges = msgspec.json.Decoder(tuple[Edge, ...]).decode


class Row(msgspec.Struct, gc=False):
    """A row of `records`: its fields are the columns, in their order.

    A transaction changes the fields; `UnitOfWork.flush` compares them with the row that was read
    and writes what differs.

    Attributes:
        once, edges: as JSON.
        place: its place in the queue.
        parked: the lock that it waits for.
        revoked: the signal to stop it with ("" for none), where it was revoked while running.
        graft: the replaced message in whose place it stands, with others.
        lent: which of those in its own place uses its once-key.
    """

    id: str
    task: str
    priority: int
    eta: int | None
    delay: int
    expires_in: int | None
    max_deliveries: int
    result_ttl: int
    failure_ttl: int
    root_id: str
    parent_id: str | None
    joins_duplicate: int
    parents: int
    token: str
    enqueued: int
    stage: int | None
    n: int
    queue: str
    state: int = WAITING
    reason: str = ""
    version: int = 0
    attempt: int = 1
    delivery: int = 0
    bounces: int = 0
    fence: int = 0
    committed_fence: int = 0
    place: int = 0
    session: str | None = None
    worker: str | None = None
    due: int | None = None
    expires: int | None = None
    first_started: int | None = None
    started: int | None = None
    ended: int | None = None
    delete_at: int | None = None
    waits: int = 0
    parts: int = 0
    admitted: int = 0
    mirrors: str | None = None
    parked: str | None = None
    parked_place: int = 0
    revoked: str | None = None
    progress_state: str | None = None
    once: str | None = None
    edges: str | None = None
    headers: bytes = b""
    progress_meta: bytes | None = None
    doom: bytes | None = None
    failure: bytes | None = None
    result: bytes | None = None
    payload: bytes | None = None
    graft: str | None = None
    lent: str | None = None


COLUMNS: Final = Row.__struct_fields__
N: Final = COLUMNS.index("n")
QUEUE: Final = COLUMNS.index("queue")
STATE: Final = COLUMNS.index("state")


def new_row(m: Message, n: int, now: int, stage: int | None, graft: str | None = None) -> Row:
    """The record of a message that is being enqueued."""
    return Row(
        m.id,
        m.task,
        m.priority,
        m.eta_ms,
        m.delay_ms,
        m.expires_in_ms,
        m.max_deliveries,
        m.result_ttl_ms,
        m.failure_ttl_ms,
        m.root_id,
        m.parent_id,
        int(m.joins_duplicate),
        m.waits,
        m.token,
        now,
        stage,
        n,
        m.queue,
        expires=m.expires_ms,
        waits=m.waits,
        once=_encode(m.once).decode() if m.once is not None else None,
        edges=_encode(m.edges).decode() if m.edges else None,
        headers=m.headers,
        payload=m.payload,
        graft=graft,
    )


def once_of(r: Row) -> OnceLock | None:
    """The once-lock that travels with the record."""
    return None if r.once is None else _decode_once(r.once)


def set_once(r: Row, once: OnceLock) -> None:
    """Give the record a once-lock."""
    r.once = _encode(once).decode()


def edges_of(r: Row) -> tuple[Edge, ...]:
    """The edges that leave the record."""
    return () if r.edges is None else _decode_edges(r.edges)


def with_edge(r: Row, edge: Edge) -> str:
    """The record's edges and one more."""
    return _encode((*edges_of(r), edge)).decode()


def codes_of(state: State) -> tuple[int, ...]:
    """The numbers by which the tables know a state."""
    return tuple(code for code, known in enumerate(STATES) if known == state)


def as_inputs(rows: list[tuple[Any, ...]]) -> tuple[v.Input, ...]:
    """What parents left for a record, from its rows."""
    return tuple(
        [
            v.Input(slot=slot, parent=parent, ok=bool(ok), value=value)
            for slot, parent, ok, value in rows
        ]
    )


def as_claim(r: Row, inputs: tuple[v.Input, ...] = (), oversize: int = 0) -> v.Claim:
    """The claim that a worker gets for a record."""
    once = once_of(r)
    return v.Claim(
        id=r.id,
        task=r.task,
        queue=r.queue,
        priority=r.priority,
        payload=r.payload or b"",
        headers=r.headers,
        fence=r.fence,
        attempt=r.attempt,
        delivery=r.delivery,
        bounces=r.bounces,
        max_deliveries=r.max_deliveries,
        enqueued_ms=r.enqueued,
        first_started_ms=r.first_started or 0,
        started_ms=r.started or 0,
        eta_ms=r.eta,
        expires_ms=r.expires,
        once_key=once.key if once else None,
        root_id=r.root_id,
        parent_id=r.parent_id,
        inputs=inputs,
        oversize=oversize,
        limit_failure=r.doom,
        kind=None if once or inputs or oversize or r.doom is not None else _kind(r),
    )


def _kind(r: Row) -> Kind:
    return kind_of(
        task=r.task,
        queue=r.queue,
        priority=r.priority,
        headers=r.headers,
        max_deliveries=r.max_deliveries,
        root_id=r.root_id,
        parent_id=r.parent_id,
        result_ttl_ms=r.result_ttl,
        failure_ttl_ms=r.failure_ttl,
    )


def as_record(r: Row, broken: tuple[str, ...], *, full: bool) -> v.Record:
    """The record as readers see it."""
    once = once_of(r)
    return v.Record(
        id=r.id,
        task=r.task,
        queue=r.queue,
        priority=r.priority,
        state=STATES[r.state],
        reason=r.reason,
        version=r.version,
        attempt=r.attempt,
        delivery=r.delivery,
        bounces=r.bounces,
        max_deliveries=r.max_deliveries,
        fence=r.fence,
        session=r.session,
        worker=r.worker,
        enqueued_ms=r.enqueued,
        due_ms=r.due,
        expires_ms=r.expires,
        first_started_ms=r.first_started,
        started_ms=r.started,
        ended_ms=r.ended,
        result=r.result,
        failure=r.failure,
        progress_state=r.progress_state,
        progress_meta=r.progress_meta,
        once_key=once.key if once else None,
        root_id=r.root_id,
        parent_id=r.parent_id,
        waits=r.waits,
        broken=broken,
        mirrors=r.mirrors,
        joins=r.parents > 1,
        payload=r.payload if full else None,
        headers=r.headers if full else b"",
        edges=tuple((e.child, e.on, e.slot) for e in edges_of(r)) if full else (),
    )
