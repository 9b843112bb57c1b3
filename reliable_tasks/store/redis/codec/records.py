"""Convert the store's values to what scripts take, and their replies to values; no I/O.

Scripts take msgpack of text and numbers, with `False` for none, since a nil would end a Lua table
early. What they need not understand travels as bytes.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import Message, On, State
from reliable_tasks.store import values as v
from reliable_tasks.store.redis.codec.fast_path import CLAIMED, open_record, plain_claim
from reliable_tasks.store.redis.codec.layout import (
    NO_EXTRAS,
    Packed,
    Row,
    bytes_of,
    false_of,
    none_of,
    pack,
    pack_static,
    starts_at_once,
    text,
)

__all__ = [
    "by",
    "pack_commits",
    "pack_messages",
    "parse_claims",
    "parse_counts",
    "parse_enqueued",
    "parse_exchange",
    "parse_info",
    "parse_locks",
    "parse_record",
    "parse_turn",
]

NOT_DECODED: Final = (msgspec.MsgspecError, struct.error, ValueError, IndexError, TypeError)
"""The errors of decoding a string that is damaged or of a later layout."""
_APPLIED: Final = ord("1")


# Messages -----------------------------------------------------------------------------------------


def pack_messages(messages: Sequence[Message]) -> bytes:
    """Pack a batch as rows, as `store_batch` in lua/include/storing.lua takes them."""
    return pack([_row(m) for m in messages])


def _row(m: Message) -> Row:
    """The row of one message."""
    return Row(
        id=m.id,
        m=text(pack_static(m)),
        p=text(bytes(text(m.payload))),
        edges=m.edges or False,
        queue=m.queue,
        priority=m.priority,
        result_ttl_ms=m.result_ttl_ms,
        at_once=starts_at_once(m),
    )


def parse_enqueued(reply: Sequence[Any], messages: Sequence[Message]) -> v.Enqueued:
    """Receipts: as the script says for some messages, and "created" for all others."""
    receipts = [v.Receipt(id=m.id) for m in messages]
    for index, kind, holder, countdown_ms in by(reply, 4, 1):
        message_id, kind_of = messages[index - 1].id, v.ReceiptKind(kind.decode())
        there, told = holder.decode() if holder else None, kind_of == v.ReceiptKind.CONFLICT
        receipts[index - 1] = v.Receipt(
            id=message_id,
            kind=kind_of,
            holder=message_id if told else there,
            countdown_ms=countdown_ms,
            holder_task=there or "" if told else "",
        )
    return v.Enqueued(receipts=tuple(receipts), held=reply[0])


def by(values: Sequence[Any], size: int, start: int = 0) -> Iterator[Sequence[Any]]:
    """Slices of `size` values, from `start` on."""
    for first in range(start, len(values), size):
        yield values[first : first + size]


# Commits and claims -------------------------------------------------------------------------------


def pack_commits(commits: Sequence[v.Commit]) -> bytes:
    """Pack commits as exchange.lua takes them."""
    ids = [c.id for c in commits]
    fences: list[Any] = []
    results: list[Any] = []
    others: dict[int, tuple[Any, ...]] = {}
    discard_result: dict[int, bool] = {}
    at_once = len(set(ids)) == len(ids)
    for number, commit in enumerate(commits, 1):
        o = commit.outcome
        if at_once and type(o) is oc.Succeeded and not o.detail:
            fences.append(text(commit.fence.to_bytes(8)))
            results.append(text(o.result))
            if not o.keep:
                discard_result[number] = True
        else:
            fences.append(False)
            results.append(False)
            others[number] = (commit.id, commit.fence, *_commit_rest(commit.id, o))
    fences_or_none = len(others) < len(ids) and fences
    return pack((ids, fences_or_none, results, discard_result or False, others or False))


def _commit_rest(message_id: str, o: oc.Outcome) -> tuple[Any, ...]:  # noqa: C901, PLR0911 - a case per outcome
    detail = text(o.detail)
    match o:
        case oc.Succeeded():
            return "succeeded", detail, text(o.result), o.keep
        case oc.Failed():
            return "failed", detail, o.reason, text(o.failure)
        case oc.Retry():
            payload = False if o.payload is None else text(o.payload)
            headers = False if o.headers is None else text(o.headers)
            when = o.delay_ms, false_of(o.at_ms)
            others = map(false_of, (o.queue, o.priority, o.expires_ms))
            return "retry", detail, *when, text(o.failure), payload, headers, *others
        case oc.Released():
            return "released", detail, o.delay_ms, o.bounce, o.begun
        case oc.KilledAtLimit():
            return "doomed", detail, text(o.failure)
        case oc.Rejected():
            return "rejected", detail, o.requeue, text(o.failure)
        case oc.Ignored():
            return "ignored", detail
        case oc.Revoked():
            return "revoked", detail
        case oc.KeyAssigned():
            return "keyed", detail, o.once
        case oc.Replaced():
            return "replaced", detail, [_row(m) for m in o.messages], _pointing_at(message_id, o)


def _pointing_at(message_id: str, o: oc.Replaced) -> str:
    """The message whose outcome becomes that of the replaced one; "" if there is none."""
    edges = ((m.id, edge) for m in o.messages for edge in m.edges)
    return next((i for i, e in edges if e.on == On.MIRROR and e.child == message_id), "")


Unread = list[tuple[bytes, bytes]]
"""Ids and strings of records that could not be decoded."""


def parse_exchange(reply: Sequence[Any], unread: Unread) -> v.Exchange:
    """The reply of exchange.lua; claims that cannot be decoded are added to `unread`."""
    verdicts, lost, due_ms = reply[:3]
    return v.Exchange(
        verdicts=tuple(
            v.Verdict.COMMITTED if byte == _APPLIED else v.Verdict.STALE for byte in verdicts
        ),
        claims=parse_claims(reply, unread, 4),
        next_due_ms=due_ms or None,
        lost=bool(lost & 1),
    )


def parse_claims(reply: Sequence[Any], unread: Unread, start: int = 0) -> tuple[v.Claim, ...]:
    """Claims as `fill_in` in lua/include/claims.lua returns them; see `parse_exchange`."""
    claims = []
    for row in by(reply, 4, start):
        try:
            is_plain = row[1][0] == CLAIMED
            claims.append(plain_claim(row[0], row[1]) if is_plain else _claim(*row))
        except NOT_DECODED:
            unread.append((row[0], row[1]))
    return tuple(claims)


def _claim(message_id: bytes, packed: bytes, apart: bytes | None, inputs: Any) -> v.Claim:
    record = open_record(packed)
    c, m = record.c, record.m
    x = NO_EXTRAS if isinstance(c.extras, bool) else c.extras
    return v.Claim(
        id=message_id.decode(),
        task=m.task,
        queue=c.queue,
        priority=m.priority,
        payload=_payload(record, apart) or b"",
        headers=bytes_of(m.headers) or b"",
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
        inputs=_inputs(inputs) if isinstance(inputs, list) else (),
        oversize=inputs if isinstance(inputs, int) else 0,
        limit_failure=bytes_of(x.doom),
    )


def _payload(record: Packed, apart: bytes | None) -> bytes | None:
    return bytes_of(record.p if apart is None else msgspec.Raw(apart))


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
    """A record as read.lua returns it; None if there is none.

    One that cannot be decoded becomes a dead letter with its string as payload, as on workers.
    """
    if packed is None:
        return None
    try:
        return _record(message_id, packed, apart, full=full)
    except NOT_DECODED:
        return v.Record(
            id=message_id,
            task="",
            queue="",
            priority=0,
            state=State.FAILED,
            reason="unreadable",
            payload=packed if full else None,
        )


def _record(message_id: str, packed: bytes, apart: bytes | None, *, full: bool) -> v.Record:
    record = open_record(packed)
    c, m = record.c, record.m
    x = NO_EXTRAS if isinstance(c.extras, bool) else c.extras
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
        result=bytes_of(c.result),
        failure=bytes_of(x.failure),
        progress_state=x.progress,
        progress_meta=bytes_of(x.meta),
        once_key=x.once[0] if x.once else None,
        root_id=m.root_id,
        parent_id=none_of(m.parent_id),
        waits=x.waits,
        broken=tuple(sorted(x.broken)),
        mirrors=x.mirrors,
        joins=m.waits > 1,
        payload=_payload(record, apart) if full else None,
        headers=(bytes_of(m.headers) or b"") if full else b"",
        edges=tuple(x.edges) if full else (),
    )


def parse_counts(reply: Sequence[Any]) -> v.Counts:
    """The reply of counts.lua."""
    queues: dict[str, dict[str, int]] = {}
    states = dict(zip(("succeeded", "failed", "revoked"), reply[:3], strict=True))
    for name, number in by(reply, 2, 4):
        state, _, queue = name.decode(errors="replace").partition(":")
        queues.setdefault(queue, {})[state] = int(number)
        states[state] = states.get(state, 0) + int(number)
    states = {state: number for state, number in states.items() if number}
    return v.Counts(queues=queues, states=states, dead=reply[3])


def parse_info(session: bytes, lease: bytes, claims: int, info: bytes | None) -> v.SessionInfo:
    """A session as sessions.lua returns it."""
    started, _, packed = (info or b"0 ").partition(b" ")
    known = msgspec.msgpack.decode(packed, type=v.SessionInfo) if packed else None
    return msgspec.structs.replace(
        known or v.SessionInfo(id=session.decode(), worker=""),
        started_ms=int(started),
        lease_until_ms=int(lease),
        claims=claims,
    )


def parse_turn(reply: Sequence[Any], host: str) -> v.Turn:
    """The reply of take_turn.lua."""
    neighbours = [
        v.SessionInfo(id=session.decode(), worker="", host=host, pid=int(pid), pid_started=start)
        for session, process in by(reply, 2, 2)
        for pid, _, start in [process.decode().partition(" ")]
    ]
    neighbours.sort(key=lambda session: session.id)
    return v.Turn(reaps=bool(reply[0]), lapsed=bool(reply[1]), neighbours=tuple(neighbours))


def parse_locks(
    reply: Sequence[Any], all_parked: Callable[[str, Sequence[bytes]], Sequence[bytes]]
) -> list[v.LockInfo]:
    """Locks as listing.lua adds them to a reply; `all_parked` gives the ids behind one."""
    return [
        v.LockInfo(
            name=name.decode(),
            owner=owner.decode(),
            fence=fence,
            since_ms=since,
            until_ms=until,
            parked=tuple([i.decode() for i in all_parked(name.decode(), parked)]) if parked else (),
        )
        for name, owner, fence, since, until, parked in by(reply, 6)
    ]
