"""Between the store's values and what the scripts take and give: packing, no I/O.

What a script must understand is msgpack of text and numbers, with `False` for none, since a nil
would end a Lua table early. Values that are opaque to it travel as bytes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from reliable_tasks import outcome as oc
from reliable_tasks.message import Message, On, State
from reliable_tasks.store import values as v

__all__ = [
    "Packed",
    "by",
    "false_of",
    "none_of",
    "pack",
    "pack_commits",
    "pack_messages",
    "parse_claims",
    "parse_counts",
    "parse_enqueued",
    "parse_info",
    "parse_locks",
    "parse_record",
    "unpack",
]

_encoder = msgspec.msgpack.Encoder()
pack = _encoder.encode


_NONE = msgspec.Raw(b"\xc2")


class _Extras(msgspec.Struct):
    """What a record has that most have not."""

    once: tuple[str, str, str, int] | None = None
    waits: int = 0
    mirrors: str | None = None
    edges: list[tuple[str, str, int]] = []
    broken: dict[str, bool] = {}
    failure: msgspec.Raw = _NONE
    doom: msgspec.Raw = _NONE
    progress: str | None = None
    meta: msgspec.Raw = _NONE


class Control(msgspec.Struct, array_like=True, gc=False):
    """The part c of a record; positions as in lua/include/record.lua."""

    state: str
    version: int
    reason: str
    attempt: int
    delivery: int
    bounces: int
    fence: int
    committed: int
    seq: int
    session: str | bool
    worker: str | bool
    enqueued: int
    due: int | bool
    expires: int | bool
    first: int | bool
    started: int | bool
    ended: int | bool
    queue: str
    result_ttl_ms: int
    extras: _Extras | bool
    result: msgspec.Raw
    size_of_p: int


class Static(msgspec.Struct, array_like=True, gc=False):
    """The part m of a record; positions as in lua/include/record.lua."""

    task: str
    first_queue: str
    priority: int
    result_ttl_ms: int
    failure_ttl_ms: int
    max_deliveries: int
    once: tuple[str, str, str, int] | bool
    token: str
    eta_ms: int | bool
    delay_ms: int
    expires_ms: int | bool
    expires_in_ms: int | bool
    joins_duplicate: bool
    waits: int
    root_id: str
    parent_id: str | bool
    headers: msgspec.Raw


class Packed(msgspec.Struct, array_like=True, gc=False):
    """A record's string: what changes, the payload, what was enqueued."""

    c: Control
    p: msgspec.Raw
    m: Static


_NO_EXTRAS = _Extras()
unpack = msgspec.msgpack.Decoder(Packed).decode
_FIX = tuple(bytes((0xA0 | size,)) for size in range(32))
_EMPTY = msgspec.Raw(_FIX[0])
_HEADS = {0xD9: 2, 0xDA: 3, 0xDB: 5}  # sizes of the heads of msgpack's longer strings


def none_of(value: Any) -> Any:
    """What False stands for."""
    return None if value is False else value


def false_of(value: Any) -> Any:
    """What stands for None."""
    return False if value is None else value


def _text(value: bytes) -> msgspec.Raw:
    """Bytes as msgpack's *string* of any bytes: the servers' Lua does not know its binary type."""
    size = len(value)
    if size < 32:  # noqa: PLR2004 - the sizes of msgpack's four kinds of string
        return msgspec.Raw(_FIX[size] + value) if size else _EMPTY
    if size < 0x100:  # noqa: PLR2004
        return msgspec.Raw(b"\xd9" + size.to_bytes(1) + value)
    if size < 0x10000:  # noqa: PLR2004
        return msgspec.Raw(b"\xda" + size.to_bytes(2) + value)
    return msgspec.Raw(b"\xdb" + size.to_bytes(4) + value)


def _bytes(text: msgspec.Raw) -> bytes | None:
    """What `_text` packed, or the servers' Lua; None where there is nothing."""
    data = bytes(text)
    kind = data[0]
    if kind & 0xE0 == 0xA0:  # noqa: PLR2004 - as in `_text`
        return data[1:]
    head = _HEADS.get(kind)
    return None if head is None else data[head:]


# Messages -----------------------------------------------------------------------------------------


def pack_messages(messages: Sequence[Message]) -> bytes:
    """The rows of a batch."""
    return pack([_row(m) for m in messages])


def _row(m: Message) -> tuple[Any, ...]:
    """As `store` in lua/include/storing.lua takes it."""
    once = m.once
    at_once = once is None and m.eta_ms is None and m.expires_ms is None and not m.waits
    static = (
        m.task,
        m.queue,
        m.priority,
        m.result_ttl_ms,
        m.failure_ttl_ms,
        m.max_deliveries,
        False if once is None else (once.key, once.scope, once.on_conflict, once.timeout_ms),
        m.token,
        False if m.eta_ms is None else m.eta_ms,
        m.delay_ms,
        False if m.expires_ms is None else m.expires_ms,
        False if m.expires_in_ms is None else m.expires_in_ms,
        m.joins_duplicate,
        m.waits,
        m.root_id,
        False if m.parent_id is None else m.parent_id,
        _text(m.headers),
    )
    return (
        m.id,
        _text(pack(static)),
        _text(bytes(_text(m.payload))),
        m.edges or False,
        m.queue,
        m.priority,
        m.result_ttl_ms,
        at_once and not m.delay_ms and m.expires_in_ms is None,
    )


def parse_enqueued(reply: Sequence[Any], messages: Sequence[Message]) -> v.Enqueued:
    """Receipts: those that the script named, and for the rest that they were created."""
    receipts = [v.Receipt(id=m.id) for m in messages]
    for index, kind, holder, countdown_ms in by(reply, 4, 1):
        receipts[index - 1] = v.Receipt(
            id=messages[index - 1].id,
            kind=v.ReceiptKind(kind.decode()),
            holder=holder.decode() if holder else None,
            countdown_ms=countdown_ms,
        )
    return v.Enqueued(receipts=tuple(receipts), held=reply[0])


def by(values: Sequence[Any], size: int, start: int = 0) -> Iterator[Sequence[Any]]:
    for first in range(start, len(values), size):
        yield values[first : first + size]


# Commits and claims -------------------------------------------------------------------------------


def pack_commits(commits: Sequence[v.Commit]) -> bytes:
    """The rows that exchange applies."""
    return pack([_commit_row(c.id, c.fence, c.outcome) for c in commits])


def _commit_row(message_id: str, fence: int, o: oc.Outcome) -> tuple[Any, ...]:
    return message_id, fence, *_commit_rest(message_id, o)


def _commit_rest(message_id: str, o: oc.Outcome) -> tuple[Any, ...]:  # noqa: C901, PLR0911 - a case per outcome
    detail = _text(o.detail)
    match o:
        case oc.Succeeded():
            return "succeeded", detail, _text(o.result), o.keep
        case oc.Failed():
            return "failed", detail, o.reason, _text(o.failure)
        case oc.Retry():
            payload = False if o.payload is None else _text(o.payload)
            at_ms, queue = false_of(o.at_ms), false_of(o.queue)
            return "retry", detail, o.delay_ms, at_ms, _text(o.failure), payload, queue
        case oc.Released():
            return "released", detail, o.delay_ms, o.bounce
        case oc.Doomed():
            return "doomed", detail, _text(o.failure)
        case oc.Rejected():
            return "rejected", detail, o.requeue, _text(o.failure)
        case oc.Ignored():
            return "ignored", detail
        case oc.Revoked():
            return "revoked", detail
        case oc.Keyed():
            return "keyed", detail, o.once
        case oc.Replaced():
            return "replaced", detail, [_row(m) for m in o.messages], _pointing_at(message_id, o)


def _pointing_at(message_id: str, o: oc.Replaced) -> str:
    """The message whose ending is to become that of the replaced one; "" where none is."""
    edges = ((m.id, edge) for m in o.messages for edge in m.edges)
    return next((i for i, e in edges if e.on == On.MIRROR and e.child == message_id), "")


def parse_claims(reply: Sequence[Any], start: int = 0) -> tuple[v.Claim, ...]:
    """Claims as reply_claim in lua/include/claims.lua gives them."""
    return tuple(_claim(*row) for row in by(reply, 4, start))


def _claim(message_id: bytes, packed: bytes, apart: bytes | None, inputs: Any) -> v.Claim:
    record = unpack(packed)
    c, m = record.c, record.m
    x = _NO_EXTRAS if isinstance(c.extras, bool) else c.extras
    return v.Claim(
        id=message_id.decode(),
        task=m.task,
        queue=c.queue,
        priority=m.priority,
        payload=_payload(record, apart) or b"",
        headers=_bytes(m.headers) or b"",
        fence=c.fence,
        attempt=c.attempt,
        delivery=c.delivery,
        bounces=c.bounces,
        max_deliveries=m.max_deliveries,
        enqueued_ms=c.enqueued,
        first_started_ms=c.first,
        started_ms=c.started,
        eta_ms=none_of(m.eta_ms),
        expires_ms=none_of(c.expires),
        once_key=x.once[0] if x.once else None,
        root_id=m.root_id,
        parent_id=none_of(m.parent_id),
        inputs=_inputs(inputs) if inputs else (),
        doom=_bytes(x.doom),
    )


def _payload(record: Packed, apart: bytes | None) -> bytes | None:
    return _bytes(record.p if apart is None else msgspec.Raw(apart))


def _inputs(pairs: Sequence[bytes]) -> tuple[v.Input, ...]:
    found = []
    for name, value in by(pairs, 2):
        slot, _, parent = name.decode().partition(":")
        found.append((int(slot), parent, value))
    return tuple(
        v.Input(slot=slot, parent=parent, ok=value[:1] == b"1", value=value[1:])
        for slot, parent, value in sorted(found)
    )


# Records ------------------------------------------------------------------------------------------


def parse_record(
    message_id: str, packed: bytes | None, apart: bytes | None, *, full: bool
) -> v.Record | None:
    """A record as read.lua gives it; None where there is none."""
    if packed is None:
        return None
    record = unpack(packed)
    c, m = record.c, record.m
    x = _NO_EXTRAS if isinstance(c.extras, bool) else c.extras
    return v.Record(
        id=message_id,
        task=m.task,
        queue=c.queue,
        priority=m.priority,
        state=State(c.state),
        reason=c.reason,
        version=c.version,
        attempt=c.attempt,
        delivery=c.delivery,
        bounces=c.bounces,
        max_deliveries=m.max_deliveries,
        fence=c.fence,
        session=none_of(c.session),
        worker=none_of(c.worker),
        enqueued_ms=c.enqueued,
        due_ms=none_of(c.due),
        expires_ms=none_of(c.expires),
        first_started_ms=none_of(c.first),
        started_ms=none_of(c.started),
        ended_ms=none_of(c.ended),
        result=_bytes(c.result),
        failure=_bytes(x.failure),
        progress_state=x.progress,
        progress_meta=_bytes(x.meta),
        once_key=x.once[0] if x.once else None,
        root_id=m.root_id,
        parent_id=none_of(m.parent_id),
        waits=x.waits,
        broken=tuple(sorted(x.broken)),
        mirrors=x.mirrors,
        joins=m.waits > 1,
        payload=_payload(record, apart) if full else None,
        headers=(_bytes(m.headers) or b"") if full else b"",
        edges=tuple(x.edges) if full else (),
    )


def parse_counts(reply: Sequence[Any]) -> v.Counts:
    """The reply of counts.lua."""
    queues: dict[str, dict[str, int]] = {}
    states = dict(zip(("succeeded", "failed", "revoked"), reply[:3], strict=True))
    for name, number in by(reply, 2, 4):
        state, _, queue = name.decode().partition(":")
        queues.setdefault(queue, {})[state] = int(number)
        states[state] = states.get(state, 0) + int(number)
    states = {state: number for state, number in states.items() if number}
    return v.Counts(queues=queues, states=states, dead=reply[3])


def parse_info(session: bytes, lease: bytes, claims: int, info: bytes | None) -> v.SessionInfo:
    """A session as sessions.lua gives it."""
    started, _, packed = (info or b"0 ").partition(b" ")
    known = msgspec.msgpack.decode(packed, type=v.SessionInfo) if packed else None
    return msgspec.structs.replace(
        known or v.SessionInfo(id=session.decode(), worker=""),
        started_ms=int(started),
        lease_until_ms=int(lease),
        claims=claims,
    )


def parse_locks(reply: Sequence[Any]) -> tuple[v.LockInfo, ...]:
    """The reply of locks.lua, by name."""
    found = [
        v.LockInfo(
            name=name.decode(),
            owner=owner.decode(),
            fence=fence,
            since_ms=since,
            until_ms=until,
            parked=tuple(i.decode() for i in parked),
        )
        for name, owner, fence, since, until, parked in by(reply, 6)
    ]
    return tuple(sorted(found, key=lambda lock: lock.name))
