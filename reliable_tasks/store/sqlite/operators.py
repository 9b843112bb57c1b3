"""What operators ask for: revoke, replay, drop, purge, and freeing a lock by hand."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from reliable_tasks.core.message import Edge, On
from reliable_tasks.core.reasons import Reason
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.rows import (
    DEAD,
    FALLEN,
    FIRST_FINAL,
    REVOKED,
    RUNNING,
    WAITING,
    Row,
    edges_of,
    once_of,
)
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.transitions import HELD_UNTIL, Transitions

__all__ = ["BEGINNING", "drop", "purge", "release_lock", "replay", "revoke"]

BROKEN_TAKE: Final = load("broken/take")
BROKEN_ANY: Final = load("broken/any")
QUEUED_PAGE: Final = load("records/queued_page")
SCHEDULED_IN_QUEUE: Final = load("records/scheduled_in_queue")
SCHEDULED_NTH: Final = load("records/scheduled_nth")

Due = tuple[Any, ...]
"""Due and id of a scheduled message: a place among those."""
BEGINNING: Final[Due | None] = (-(2**63), "")
END: Final[Due] = (b"\xff", "")  # behind any number, and any text
LOOKED_AT: Final = 5000
"""How many scheduled messages one transaction looks at."""

Ev = v.AuditEvent


def revoke(work: Transitions, message_id: str, signal: str | None) -> v.RevokeReply:
    """End a message that has not started, or flag it; `signal` None: let it finish."""
    r = work.get(message_id)
    if r is None:
        return v.RevokeReply(id=message_id, found="unknown")
    if r.state >= FIRST_FINAL:
        return v.RevokeReply(id=message_id, found="ended")
    if r.state == RUNNING:
        r.revoked = signal if signal is not None else r.revoked or ""
        return v.RevokeReply(id=message_id, found="running")
    work.end(r, REVOKED, Reason.REVOKED)
    return v.RevokeReply(id=message_id, found="revoked")


def replay(work: Transitions, message_id: str) -> v.Replayed:
    """Queue a dead letter again as if new."""
    r = work.get(message_id)
    if r is None:
        return v.Replayed(id=message_id, done="unknown")
    if r.state != DEAD or r.reason == Reason.UNREADABLE:
        return v.Replayed(id=message_id, done="not dead")
    once = once_of(r)
    if once is not None and once.scope in HELD_UNTIL:
        holder = work.take(once.key, r, once.timeout_ms)
        if holder != r.id:
            return v.Replayed(id=message_id, done="held", holder=holder)
        r.admitted = 1
    r.attempt, r.delivery, r.bounces = 1, 0, 0
    r.first_started = r.started = r.ended = r.delete_at = r.expires = None
    r.failure, r.revoked, r.reason = None, None, ""
    work.take_back_ending(r)
    work.audit(Ev.REPLAYED, r)
    work.queue_at(r, None)
    _revive(work, r)
    return v.Replayed(id=message_id, done="replayed")


def _revive(work: Transitions, parent: Row) -> None:
    """Its dependants wait again, unless another parent of theirs did not succeed either."""
    todo: deque[tuple[str, Edge]] = deque((parent.id, edge) for edge in edges_of(parent))
    while todo:
        parent_id, edge = todo.popleft()
        child = work.get(edge.child) if edge.on != On.FAILURE else None
        if child is None or work.first(BROKEN_TAKE, (child.n, parent_id)) is None:
            continue
        (still_broken,) = work.one(BROKEN_ANY, (child.n,))
        if child.state in {DEAD, FALLEN} and not still_broken:
            child.reason, child.failure, child.ended, child.delete_at = "", None, None, None
            child.admitted = 0
            work.take_back_ending(child)
            work.set_state(child, WAITING)
            todo.extend((child.id, e) for e in edges_of(child))


def drop(work: Transitions, ids: Sequence[str]) -> int:
    """Delete final records; how many there were."""
    work.prefetch(ids)
    found = [work.get(message_id) for message_id in dict.fromkeys(ids)]
    final = [r for r in found if r is not None and r.state >= FIRST_FINAL]
    for r in final:
        if r.state == DEAD:
            work.audit(Ev.DROPPED, r)
        work.forget(r)
    return len(final)


def purge(work: Transitions, queue: str, limit: int, start: Due) -> tuple[int, Due | None]:
    """Revoke what is queued or scheduled on a queue, as far as one transaction may.

    Args:
        work: the transaction.
        queue: its name.
        limit: how many at most.
        start: due and id of the scheduled message after which to look.

    Returns:
        how many were revoked, and where to go on: None where there is no more.
    """
    found = work.records(QUEUED_PAGE, (queue, -(2**31), 0, work.seq, limit))
    more: Due | None = start
    if (left := limit - len(found)) > 0:
        more = work.first(SCHEDULED_NTH, (*start, LOOKED_AT - 1))
        scheduled = work.records(SCHEDULED_IN_QUEUE, (queue, *start, *(more or END), left))
        if len(scheduled) == left:
            last = scheduled[-1]
            more = start if last.due is None else (last.due, last.id)
        found += scheduled
    for r in found:
        if r.state < FIRST_FINAL:  # else it could not be read
            work.end(r, REVOKED, Reason.PURGED)
    return len(found), more


def release_lock(work: Transitions, name: str, owner: str) -> bool:
    """Free a once-lock by hand."""
    freed = work.free(name, owner)
    if freed:
        work.audit_id(Ev.UNLOCKED, owner, "")
    return freed
