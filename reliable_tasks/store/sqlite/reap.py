"""Recovery and housekeeping: what lapsed, what is due, what expired, what is past its time."""

from collections.abc import Sequence
from typing import Final

from reliable_tasks.core.outcome import HOOK_DELIVERIES
from reliable_tasks.core.reasons import Reason
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.enqueue import open_stage
from reliable_tasks.store.sqlite.exchange import next_due, promote
from reliable_tasks.store.sqlite.rows import DEAD, FIRST_FINAL, QUEUED, REVOKED, RUNNING, Row
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.transitions import Transitions

__all__ = ["reap"]

LEAST_ROUND: Final = 500
"""How much a round may do of each kind, where `limit` is smaller."""

SESSIONS_LAPSED: Final = load("sessions/lapsed")
SESSION_DELETE: Final = load("sessions/delete")
HELD: Final = load("records/held")
EXPIRED: Final = load("records/expired")
ENDED: Final = load("records/ended")
DELETE_ENDED: Final = load("records/delete_ended")
LOCKS_LAPSED: Final = load("locks/lapsed")
LOCK_REMOVE: Final = load("locks/remove")
PARKED_ORPHANS: Final = load("parked/orphans")
STAGES_OPEN: Final = load("stages/open")
STAGE_DOOM: Final = load("stages/doom")
STAGE_DELETE: Final = load("stages/delete")
STAGE_MEMBERS: Final = load("stage_members/all")
STAGE_MEMBERS_DELETE: Final = load("stage_members/delete")
GROUPS_SWEEP: Final = load("groups/sweep")

Ev = v.AuditEvent


def reap(work: Transitions, dead: Sequence[str], limit: int, lapsed_by: int | None) -> v.Reaped:
    """One bounded round."""
    bound = max(limit, LEAST_ROUND)
    by = work.now if lapsed_by is None else min(work.now, lapsed_by)
    lapsed = [row[0] for row in work.all(SESSIONS_LAPSED, (by, bound))]
    rest = work.go_on()
    requeued, dead_lettered, more = _take_back_all(work, dead, lapsed, bound)
    promoted = promote(work, limit)
    expired = _expire(work, bound)
    unparked = _free_lapsed(work, bound)
    deleted, stages_more = _sweep_stages(work, limit, bound)
    ended = _forget_ended(work, bound)
    work.execute(GROUPS_SWEEP, (work.now, bound))
    ttl = work.options.audit_ttl_ms
    trail_more = work.trim(bound, work.now - ttl if ttl else -1)
    full = (trail_more, promoted >= limit, expired >= bound, unparked >= bound, ended >= bound)
    return v.Reaped(
        requeued=requeued,
        dead_lettered=tuple(dead_lettered),
        promoted=promoted,
        expired=expired,
        deleted=deleted + ended,
        unparked=unparked,
        more=more or rest or stages_more or any(full),
        next_due_ms=next_due(work),
    )


def _take_back_all(
    work: Transitions, dead: Sequence[str], lapsed: Sequence[str], bound: int
) -> tuple[int, list[v.DeadLettered], bool]:
    """Take back what dead and lapsed sessions held."""
    requeued, dead_lettered = 0, list[v.DeadLettered]()
    left = bound
    for session in dict.fromkeys([*dead, *lapsed]):
        held = work.records(HELD, (session, left))
        for r in held:
            if _take_back(work, r):
                dead_lettered.append(v.DeadLettered(id=r.id, task=r.task))
            requeued += r.state == QUEUED
        left -= len(held)
        if left <= 0:  # the session may hold more: the next round goes on with it
            return requeued, dead_lettered, True
        work.execute(SESSION_DELETE, (session,))
    return requeued, dead_lettered, len(lapsed) >= bound


def _take_back(work: Transitions, r: Row) -> bool:
    """What a dead session held goes back to its place, until it has killed too many."""
    if r.state != RUNNING:  # it could not be read
        return False
    work.attempt_over(r)
    work.audit(Ev.REAPED, r)
    if r.revoked is not None:
        work.end(r, REVOKED, Reason.REVOKED)
    elif r.delivery >= r.max_deliveries + HOOK_DELIVERIES:
        work.end(r, DEAD, Reason.DELIVERY_LIMIT, failure=r.doom)
        return True
    else:
        work.again(r, None, keep_place=True)
    return False


def _expire(work: Transitions, bound: int) -> int:
    late = sorted(work.records(EXPIRED, (work.now, bound)), key=lambda r: (r.expires, r.id))
    for r in late:
        if r.state < FIRST_FINAL:  # the ending of one may have been that of another
            work.end(r, REVOKED, Reason.EXPIRED)
    return len(late)


def _free_lapsed(work: Transitions, bound: int) -> int:
    """Free once-locks whose cap has passed, and let those go on who wait behind them."""
    prefix = work.lock_name("")
    names = [row[0] for row in work.all(LOCKS_LAPSED, (prefix, prefix[:-1] + ";", work.now, bound))]
    for name in names:
        work.execute(LOCK_REMOVE, (name,))
    lapsed = set(names)
    names += [row[0] for row in work.all(PARKED_ORPHANS, (bound,)) if row[0] not in lapsed]
    return sum([work.unpark(name.removeprefix(prefix)) for name in names])


def _sweep_stages(work: Transitions, limit: int, bound: int) -> tuple[int, bool]:
    """Go on with sealed stages, drop abandoned ones."""
    deleted, more = 0, False
    for stage, sealed in work.all(STAGES_OPEN, (work.now, bound)):
        if sealed:
            more = bool(open_stage(work, stage, limit)) or more
        elif deleted < bound:
            dropped, rest = _drop_stage(work, stage, bound - deleted)
            deleted += dropped
            more = more or rest
        else:
            more = True
    return deleted, more


def _drop_stage(work: Transitions, stage: int, bound: int) -> tuple[int, bool]:
    work.execute(STAGE_DOOM, (stage,))
    members = work.all(STAGE_MEMBERS, (stage, bound))
    deleted = 0
    for _, message_id in members:
        r = work.get(message_id)
        if r is not None and r.stage == stage:  # not a later one of the same id
            work.audit(v.AuditEvent.DROPPED, r, b'{"reason":"abandoned"}')
            work.forget(r)
            deleted += 1
    if members:
        work.execute(STAGE_MEMBERS_DELETE, (stage, members[-1][0]))
    rest = len(members) >= bound
    if not rest:
        work.execute(STAGE_DELETE, (stage,))
    return deleted, rest


def _forget_ended(work: Transitions, bound: int) -> int:
    """Forget what is past its time to be kept: most of it has never to be read."""
    deleted = work.delete_unread(DELETE_ENDED, (work.now, bound))
    rest = work.records(ENDED, (work.now, bound - deleted)) if deleted < bound else []
    for r in rest:
        work.forget(r)
    return deleted + len(rest)
