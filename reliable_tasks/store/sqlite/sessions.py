"""Sessions, and what a running body tells the store."""

from collections.abc import Sequence
from typing import Final

import msgspec

from reliable_tasks.core.reasons import Reason
from reliable_tasks.store import steps
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.rows import PART_STEPS, REVOKED, RUNNING
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.transitions import Transitions

__all__ = ["close_session", "heartbeat", "open_session", "report", "step"]

SESSION_PUT: Final = load("sessions/put")
SESSION_RENEW: Final = load("sessions/renew")
SESSION_DELETE: Final = load("sessions/delete")
TURN_FREE: Final = load("turns/free")
COMMANDS: Final = load("records/commands")
HELD: Final = load("records/held")
STEP_READ: Final = load("steps/read")
STEP_PUT: Final = load("steps/put")

Ev = v.AuditEvent


def open_session(work: Transitions, info: v.SessionInfo, lease_ms: int) -> None:
    """Open a session; its lease starts now."""
    queues = msgspec.json.encode(info.queues).decode()
    known = (info.id, info.worker, info.host, info.pid, info.pid_started, queues)
    work.execute(SESSION_PUT, (*known, work.now, work.now + lease_ms))
    work.execute(TURN_FREE, (f"host:{info.host}",))  # there is somebody else to look after


def close_session(work: Transitions, session: str) -> int:
    """Give back a step's worth of what a session holds, and forget it after the last; how much."""
    found = work.records(HELD, (session, steps.STEP_MESSAGES))
    for r in found:
        work.attempt_over(r)
        work.uncount(r)
        work.audit(Ev.RELEASED, r)
        if r.revoked is not None:
            work.end(r, REVOKED, Reason.REVOKED)
        else:
            work.again(r, None, keep_place=True)
    if len(found) < steps.STEP_MESSAGES:
        work.execute(SESSION_DELETE, (session,))
    return len(found)


def heartbeat(work: Transitions, sessions: Sequence[str], lease_ms: int) -> v.Heartbeat:
    """Renew the leases of sessions that were not taken back."""
    lost, commands = list[str](), list[v.Command]()
    for session in sessions:
        if work.first(SESSION_RENEW, (session, work.now + lease_ms)) is None:
            lost.append(session)
            continue
        commands += [
            v.Command(session=session, id=message_id, fence=fence, signal=signal)
            for message_id, fence, signal in work.all(COMMANDS, (session,))
        ]
    return v.Heartbeat(lost=tuple(lost), commands=tuple(commands), now_ms=work.now)


def report(work: Transitions, message_id: str, fence: int, state: str, meta: bytes) -> v.Verdict:
    """Record the progress of a running body."""
    r = work.get(message_id)
    if r is None or r.state != RUNNING or r.fence != fence:
        return v.Verdict.STALE
    r.progress_state, r.progress_meta = state, meta
    r.version += 1
    return v.Verdict.COMMITTED


def step(
    work: Transitions, message_id: str, fence: int, name: str, value: bytes | None
) -> v.StepReply:
    """Begin a step, or record its outcome."""
    r = work.get(message_id)
    if r is None or r.state != RUNNING or r.fence != fence:
        return v.StepReply(known="stale")
    begun_by, known = work.first(STEP_READ, (r.n, name)) or (0, None)
    if known is not None:
        return v.StepReply(known="done", value=known)
    if value is None and begun_by not in {0, fence}:
        return v.StepReply(known="begun")
    work.execute(STEP_PUT, (r.n, name, fence, value))
    r.parts |= PART_STEPS
    if value is None:
        return v.StepReply(known="new")
    work.audit(Ev.STEP, r, msgspec.json.encode({"step": name}))
    return v.StepReply(known="done", value=value)
