"""Enqueue: take the once-lock and store, or say why not; and the stages of large workflows."""

from typing import Final

from reliable_tasks.core.message import Message
from reliable_tasks.errors import StoreError
from reliable_tasks.store import steps
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import STAGE_DROPPED
from reliable_tasks.store.sqlite.rows import (
    DEAD,
    FIRST_FINAL,
    PART_STEPS,
    RUNNING,
    Row,
    new_row,
    once_of,
)
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.transitions import HELD_UNTIL, Transitions

__all__ = ["enqueue", "lacking", "open_stage", "store_message"]

STAGE_PUT: Final = load("stages/put")
STAGE_SEAL: Final = load("stages/seal")
STAGE_DELETE: Final = load("stages/delete")
STAGE_MEMBER_PUT: Final = load("stage_members/put")
STAGE_MEMBERS: Final = load("stage_members/all")
STAGE_MEMBERS_DELETE: Final = load("stage_members/delete")
STAGE_MEMBERS_COUNT: Final = load("stage_members/count")
PARKED_FIRST: Final = load("parked/first")

STAGE_PAGE: Final = 20
AGAIN: Final = b'{"reason":"enqueued again"}'

Ev = v.AuditEvent
Kind = v.ReceiptKind


def lacking(durable: str | None, synchronous: str, *, in_memory: bool) -> str | None:
    """Why a file cannot give what `durable` asks for; None where it can."""
    if durable in {None, "memory"}:
        return None
    if durable != "fsync":
        reason = "SQLite has no replicas; ask for 'fsync'"
    elif in_memory:
        reason = "the store is in memory; ask for less"
    elif synchronous != "FULL":
        reason = f"its URL says synchronous={synchronous}; ask for less"
    else:
        return None
    return f"durable={durable!r} cannot be had: {reason}"


def enqueue(work: Transitions, batch: v.Batch) -> v.Enqueued:
    """Store a batch."""
    stage = None
    if batch.stage is not None:
        deadline = work.now + work.options.stage_ttl_ms
        stage, _ = work.one(STAGE_PUT, (batch.stage, deadline))
    if batch.after is not None and work.get(batch.after) is None:
        raise StoreError(STAGE_DROPPED)
    work.prefetch(m.id for m in batch.messages)
    kept = batch.keep_ended
    receipts = tuple([store_message(work, m, stage, None, kept) for m in batch.messages])
    held = 0
    if stage is not None and batch.seal:
        work.execute(STAGE_SEAL, (stage,))
        held = open_stage(work, stage, min(work.options.max_batch, steps.STORED_AT_ONCE))
    return v.Enqueued(receipts=receipts, held=held)


def store_message(
    work: Transitions, m: Message, stage: int | None, graft: str | None = None, kept: bool = False
) -> v.Receipt:
    """Store one message, or answer why it is not stored."""
    old = work.get(m.id)
    if old is not None:
        if old.token == m.token:
            return _receipt_again(old)
        if kept or old.state < FIRST_FINAL:
            return _refuse_id(work, m, old)
    if m.once is not None:
        refused = _refuse(work, m)
        if refused is not None:
            return refused
    if old is not None:
        _give_way(work, old)
    r = new_row(m, work.next_seq(), work.now, stage, graft)
    work.add(r)
    work.audit(Ev.ENQUEUED, r)
    if stage is not None:
        work.execute(STAGE_MEMBER_PUT, (stage, work.next_seq(), r.id))
    if m.once is not None and m.once.scope in HELD_UNTIL and not work.admit(r):
        return _receipt_again(r)
    if work.startable(r):
        work.ready(r)
    return v.Receipt(id=m.id)


def _refuse_id(work: Transitions, m: Message, old: Row) -> v.Receipt:
    """The answer to a message that is not stored because another call has its id.

    What has succeeded keeps no payload; as another call it then counts as one with other arguments.
    """
    same = old.task == m.task and old.payload == m.payload
    work.audit(Ev.DUPLICATE if same else Ev.CONFLICT, old)
    kind, other = (Kind.DUPLICATE, "") if same else (Kind.CONFLICT, old.task)
    left = work.left(old)
    return v.Receipt(id=m.id, kind=kind, holder=m.id, countdown_ms=left, holder_task=other)


def _refuse(work: Transitions, m: Message) -> v.Receipt | None:
    """The answer to a message that is not stored because its once-key is held."""
    once = m.once
    lock = work.lock_of(once.key) if once is not None and once.scope in HELD_UNTIL else None
    if once is None or lock is None or lock[0] == m.id or m.joins_duplicate:
        return None
    owner, until = lock
    holder, policy = work.get(owner), once.on_conflict
    if policy == "reschedule":
        return None
    begun = holder is None or holder.state >= RUNNING or holder.mirrors
    waiting = None if begun else holder
    if policy == "rerun" and waiting is None:
        behind = work.first(PARKED_FIRST, (work.lock_name(once.key),))
        parked = work.get(behind[0]) if behind is not None else None
        return None if parked is None else _overwrite(work, parked, m, Kind.RERUN)
    if policy in {"replace", "rerun"} and waiting is not None:
        return _overwrite(work, waiting, m, Kind.REPLACED)
    work.audit_id(Ev.DUPLICATE, owner, holder.task if holder is not None else m.task)
    left = until - work.now if until else work.left(holder)
    return v.Receipt(id=m.id, kind=Kind.DUPLICATE, holder=owner, countdown_ms=left)


def _overwrite(work: Transitions, r: Row, m: Message, kind: v.ReceiptKind) -> v.Receipt:
    r.payload, r.headers = m.payload, m.headers
    work.drop_parts(r, PART_STEPS)  # they were those of another call
    r.version += 1
    work.audit(Ev.REPLACED if kind == Kind.REPLACED else Ev.RERUN, r)
    return v.Receipt(id=m.id, kind=kind, holder=r.id)


def _give_way(work: Transitions, old: Row) -> None:
    """Delete an ended record whose id a new message has."""
    if old.state == DEAD:
        work.audit(Ev.DROPPED, old, AGAIN)
    work.delete(old)


def _receipt_again(r: Row) -> v.Receipt:
    if r.mirrors:
        return v.Receipt(id=r.id, kind=Kind.JOINED, holder=r.mirrors)
    once = once_of(r) if r.parked else None
    if once is not None and once.on_conflict == "rerun":
        return v.Receipt(id=r.id, kind=Kind.RERUN)
    return v.Receipt(id=r.id)


def open_stage(work: Transitions, stage: int, limit: int) -> int:
    """Release up to `limit` messages of a sealed stage, fewer large ones; how many are held."""
    moved, room, latest = 0, steps.STEP_BYTES, 0
    while moved < limit and room > 0:
        members = work.all(STAGE_MEMBERS, (stage, min(limit - moved, STAGE_PAGE)))
        if not members:
            break
        work.prefetch(message_id for _, message_id in members)
        for place, message_id in members:
            latest = place
            r = work.get(message_id)
            if r is not None:
                if work.startable(r):
                    work.ready(r)
                moved += 1
                room -= len(r.payload or b"")
            if room <= 0:
                break
        work.execute(STAGE_MEMBERS_DELETE, (stage, latest))
    (held,) = work.one(STAGE_MEMBERS_COUNT, (stage,))
    if not held:
        work.execute(STAGE_DELETE, (stage,))
    return int(held)
