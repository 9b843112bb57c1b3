"""Exchange: commit outcomes, then claim more work."""

from collections.abc import Iterator, Sequence
from typing import Final

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.reasons import Reason
from reliable_tasks.errors import StoreError
from reliable_tasks.store import steps
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.enqueue import store_message
from reliable_tasks.store.sqlite.rows import (
    DEAD,
    QUEUED,
    REVOKED,
    RUNNING,
    SCHEDULED,
    SUCCEEDED,
    WAITING,
    Row,
    as_claim,
    once_of,
    set_once,
)
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.transitions import (
    FREED_BY_CLAIM,
    HELD_WHILE,
    RUN_SUFFIX,
    Transitions,
)
from reliable_tasks.store.sqlite.unreadable import LARGEST

__all__ = ["exchange", "next_due", "promote"]

PROMOTED_PER_EXCHANGE: Final = 100
LARGEST_PAGE: Final = 1000
LOOKED_AT: Final = 1000  # bounds what one exchange spends on the expired and the parked
SESSION_READ: Final = load("sessions/read")
QUEUED_PAGE: Final = load("records/queued_page")
DUE: Final = load("records/due")
NEXT_DUE: Final = load("records/next_due")
NEVER_DUE: Final = load("records/never_due")
RECORD_PRIORITY: Final = load("records/priority")

Ev = v.AuditEvent


def exchange(
    work: Transitions, session: str, commits: Sequence[v.Commit], want: v.ClaimRequest | None
) -> v.Exchange:
    """Commit outcomes and claim more work for a session."""
    found = work.first(SESSION_READ, (session,))
    worker, lease_until = ("", 0) if found is None else found
    work.prefetch(c.id for c in commits)
    verdicts = tuple([_commit(work, c, worker) for c in commits])
    if lease_until <= work.now:
        return v.Exchange(verdicts=verdicts, lost=True)
    if want is None:
        return v.Exchange(verdicts=verdicts)
    due = next_due(work)
    if due is not None and due <= work.now:
        promote(work, PROMOTED_PER_EXCHANGE)
    claims: list[v.Claim] = []
    room = steps.STEP_BYTES
    for queue in want.queues:
        room = _claim_from(work, queue, want.limit, claims, (session, worker), room)
    if work.queues_some:  # or scheduled
        due = next_due(work)
    return v.Exchange(verdicts=verdicts, claims=tuple(claims), next_due_ms=due)


def promote(work: Transitions, limit: int) -> int:
    """Queue what is due; return how many there were."""
    due = work.records(DUE, (work.now, limit))
    for r in due:
        if r.state != SCHEDULED:  # it could not be read
            continue
        work.queue_at(r, r.due)
        work.audit(Ev.PROMOTED, r)
    return len(due)


def next_due(work: Transitions) -> int | None:
    """When the next scheduled message is due."""
    work.flush()
    due: int | None = work.one(NEXT_DUE)[0]
    if due is None or (type(due) is int and due <= LARGEST):
        return due
    work.records(NEVER_DUE, (LARGEST, PROMOTED_PER_EXCHANGE))  # whoever reads them puts them aside
    work.flush()
    return work.now


# Claiming -----------------------------------------------------------------------------------------


def _claim_from(
    work: Transitions,
    queue: str,
    limit: int,
    claims: list[v.Claim],
    by: tuple[str, str],
    room: int,
) -> int:
    """Claim from one queue until there are `limit` claims, or `room` bytes are handed over.

    What comes to the queue meanwhile is left for the next exchange. Returns what is left of `room`.
    """
    if len(claims) >= limit or room <= 0:
        return room
    for r in _queued(work, queue, limit - len(claims)):
        if r.state == QUEUED and _claim(work, r, by):
            inputs, oversize = work.inputs(r)
            claims.append(as_claim(r, inputs, oversize))
            room -= len(r.payload or b"") + sum([len(i.value) for i in inputs])
            if len(claims) >= limit or room <= 0:
                break
    return room


def _queued(work: Transitions, queue: str, page: int) -> Iterator[Row]:
    """What is queued now, in order, read in pages; bounded."""
    latest = work.seq
    priority, place = -(2**31), 0
    seen = 0
    while seen < LOOKED_AT:
        asked = (queue, priority, place, latest, page)
        found = work.records(QUEUED_PAGE, asked, bounded=True)
        if found:
            priority, place = found[-1].priority, found[-1].place
        yield from found
        if len(found) < page:
            return
        seen += page
        page = min(4 * page, LARGEST_PAGE)  # the first ones were expired, or had to wait


def _claim(work: Transitions, r: Row, by: tuple[str, str]) -> bool:
    if r.expires is not None and r.expires <= work.now:
        work.end(r, REVOKED, Reason.EXPIRED)
        return False
    once = once_of(r)
    if once is not None and once.scope in HELD_WHILE:
        running = once.key + RUN_SUFFIX
        if work.take(running, r, 0) != r.id:
            work.set_state(r, WAITING)
            work.park(r, running)
            return False
    r.fence = work.next_fence()
    r.session, r.worker = by
    r.delivery += 1
    r.started = work.now
    r.first_started = r.first_started or work.now
    r.progress_state = r.progress_meta = None
    work.set_state(r, RUNNING)
    work.audit(Ev.STARTED, r)
    if once is not None and once.scope in FREED_BY_CLAIM:
        work.free(once.key, r.id)
    return True


# Committing ---------------------------------------------------------------------------------------


def _commit(work: Transitions, c: v.Commit, worker: str) -> v.Verdict:
    r = work.get(c.id)
    if r is None or r.state != RUNNING or r.fence != c.fence:
        if r is not None and r.committed_fence == c.fence:
            return v.Verdict.COMMITTED
        work.audit_id(Ev.STALE, c.id, r.task if r else "", fence=c.fence, worker=worker)
        return v.Verdict.STALE
    r.committed_fence = c.fence
    work.attempt_over(r)
    o = c.outcome
    again = isinstance(o, oc.Retry | oc.Released | oc.KeyAssigned | oc.Replaced | oc.KilledAtLimit)
    if r.revoked is not None and (again or (isinstance(o, oc.Rejected) and o.requeue)):
        work.end(r, REVOKED, Reason.REVOKED)
    else:
        _apply(work, r, o)
    return v.Verdict.COMMITTED


def _apply(work: Transitions, r: Row, o: oc.Outcome) -> None:
    if isinstance(o, oc.Succeeded):
        work.end(r, SUCCEEDED, "", o.result, keep=o.keep, detail=o.detail)
    elif isinstance(o, oc.Failed):
        work.end(r, DEAD, o.reason, failure=o.failure, detail=o.detail)
    elif isinstance(o, oc.Ignored):
        work.end(r, REVOKED, Reason.IGNORED, detail=o.detail)
    elif isinstance(o, oc.Revoked):
        work.end(r, REVOKED, Reason.TERMINATED, detail=o.detail)
    elif isinstance(o, oc.Rejected):
        _reject(work, r, o)
    else:
        _continue(work, r, o)


def _continue(
    work: Transitions,
    r: Row,
    o: oc.Retry | oc.Released | oc.KilledAtLimit | oc.KeyAssigned | oc.Replaced,
) -> None:
    """The outcomes that do not end a message."""
    if isinstance(o, oc.Retry):
        _retry(work, r, o)
    elif isinstance(o, oc.Released):
        _release(work, r, o)
    elif isinstance(o, oc.KilledAtLimit):
        _doom(work, r, o)
    elif isinstance(o, oc.KeyAssigned):
        work.uncount(r)
        old = once_of(r)
        if old is not None and old.key != o.once.key:
            work.free(old.key, r.id)
        set_once(r, o.once)
        r.admitted = 0
        if work.admit(r):
            work.again(r, None, keep_place=True)
    else:
        work.set_state(r, WAITING)
        r.mirrors = _end_of_graft(r, o)
        r.expires = None  # it has been started
        for m in o.messages:
            store_message(work, m, None, r.id)


def _end_of_graft(r: Row, o: oc.Replaced) -> str:
    for m in o.messages:
        if any(edge.child == r.id for edge in m.edges):
            return m.id
    raise StoreError(f"none of the messages that replace {r.id} has an edge to it")


def _reject(work: Transitions, r: Row, o: oc.Rejected) -> None:
    if not o.requeue:
        work.end(r, DEAD, Reason.REJECTED, failure=o.failure, detail=o.detail)
    elif r.delivery >= r.max_deliveries:
        work.end(r, DEAD, Reason.DELIVERY_LIMIT, failure=o.failure, detail=o.detail)
    else:
        work.audit(Ev.REJECTED, r, o.detail)
        work.again(r, None)


def _retry(work: Transitions, r: Row, o: oc.Retry) -> None:
    work.audit(Ev.RETRY, r, o.detail)
    r.attempt += 1
    r.delivery = r.bounces = 0
    r.failure = o.failure
    if o.payload is not None:
        r.payload = o.payload
    if o.queue is not None:
        r.queue = o.queue
    if o.headers is not None:
        r.headers = o.headers
    if o.expires_ms is not None:
        r.expires = o.expires_ms
    if o.priority is not None:
        r.priority = o.priority
        work.execute(RECORD_PRIORITY, (r.n, o.priority))
    work.again(r, o.at_ms if o.at_ms is not None else work.now + o.delay_ms)


def _doom(work: Transitions, r: Row, o: oc.KilledAtLimit) -> None:
    if r.doom is not None or r.delivery > r.max_deliveries:  # its hooks had their chance
        failure = o.failure if r.doom is None else r.doom
        work.end(r, DEAD, Reason.TIME_LIMIT, failure=failure, detail=o.detail)
        return
    r.doom = o.failure
    work.audit(Ev.DOOMED, r, o.detail)
    work.again(r, None, keep_place=True)


def _release(work: Transitions, r: Row, o: oc.Released) -> None:
    work.uncount(r)
    r.bounces += o.bounce or o.begun
    work.audit(Ev.UNKNOWN if o.bounce else Ev.RELEASED, r, o.detail)
    due = work.now + o.delay_ms if o.delay_ms else None
    work.again(r, due, keep_place=True)
