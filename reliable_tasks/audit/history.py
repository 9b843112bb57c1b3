"""The history of a message: its record and its audit rows merged, in the order of events.

By default the trail keeps only what one asks about afterwards. The record has the rest: when the
message was enqueued, when it first and last started, how it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.clock import iso
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.core.reasons import Reason
from reliable_tasks.store.values import AuditEvent, AuditRow, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HistoryEntry", "message_history"]

Ev = AuditEvent


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of a message's history.

    Attributes:
        at_ms: when.
        event: what, in a word or two.
        text: more about it.
    """

    at_ms: int
    event: str
    text: str = ""


_ENDINGS = frozenset(
    {
        Ev.SUCCEEDED,
        Ev.FAILED,
        Ev.REVOKED,
        Ev.EXPIRED,
        Ev.IGNORED,
        Ev.REJECTED,
        Ev.PURGED,
    }
)
_SENTENCES: dict[str, str] = {
    Ev.PROMOTED: "its time has come",
    Ev.DUPLICATE: "another call with the same once-key was not stored",
    Ev.CONFLICT: "another call with its id was not stored",
    Ev.REPLACED: "a later call with the same once-key gave it new arguments",
    Ev.RERUN: "a later call with the same once-key asked for one more run",
    Ev.JOINED: "ends as the message that holds its once-key ends",
    Ev.REAPED: "its worker died, or was silent for too long; taken back",
    Ev.STALE: "an outcome came too late: the claim had been taken away; nothing was changed",
    Ev.REPLAYED: "queued again as if new",
    Ev.DROPPED: "its dead letter was deleted by hand",
    Ev.UNLOCKED: "its once-lock was freed by hand",
    Ev.EXPIRED: "it had not started in time",
    Ev.PURGED: "its queue was purged",
    Ev.SUPPRESSED: "the schedule found the message before still there",
    Ev.FIRED: "by the schedule",
}


def message_history(record: Record | None, rows: Sequence[AuditRow]) -> list[HistoryEntry]:
    """Tell what happened to a message, oldest first, up to now.

    Args:
        record: what the store knows of it; None when it is gone.
        rows: its audit rows, oldest first.
    """
    told = [(row.fence, _of_row(row)) for row in rows if row.event != Ev.ENQUEUED or not record]
    if record is not None:  # which knows more of how it was enqueued than the row does
        told += _of_record(record, rows)
    # What shares a millisecond stays in the order of cause and effect: claim by claim.
    told.sort(key=lambda item: (item[1].at_ms, item[0], _RANK.get(item[1].event, 2)))
    lines = [line for _, line in told]
    if record is not None and record.state not in FINAL_STATES:
        newest = max([record.enqueued_ms, *(line.at_ms for line in lines)])
        lines.append(HistoryEntry(newest, "now", _now(record)))
    return lines


_RANK = {"enqueued": 0, "promoted": 1, "started": 1, "succeeded": 3, "failed": 3, "revoked": 3}


# From the trail -----------------------------------------------------------------------------------


def _of_row(row: AuditRow) -> HistoryEntry:
    detail = row.fields
    match row.event:
        case Ev.STARTED:
            text = _attempt(row.attempt, row.delivery, row.worker, row.fence)
        case Ev.RETRY:
            text = f"attempt {row.attempt} {_retry(detail)}"
        case Ev.FAILED | Ev.DOOMED | Ev.REJECTED | Ev.REVOKED | Ev.IGNORED | Ev.SUCCEEDED:
            text = _ending(row, detail)
        case Ev.REAPED | Ev.STALE:
            text = f"{_SENTENCES[row.event]} ({_whose(row)})"
        case Ev.DROPPED if detail:
            text = "part of a workflow that was never stored whole: its producer fell silent"
        case Ev.RELEASED | Ev.UNKNOWN:
            text = f"given back unrun by {row.worker or 'its worker'}{_because(detail)}"
        case Ev.STEP:
            text = f"recorded the step {detail.get('step', '')!r}"
        case _:
            text = _SENTENCES.get(row.event, "") or _pairs(detail)
    if row.count > 1 and row.last_ms is not None:
        text = f"{text}; {row.count} times, last at {iso(row.last_ms)}"
    return HistoryEntry(row.at_ms, row.event, text)


def _attempt(attempt: int, delivery: int, worker: str | None, fence: int) -> str:
    again = f", delivery {delivery}" if delivery > 1 else ""
    return f"attempt {attempt}{again} on {worker or 'a worker'} (fence {fence})"


def _raised(detail: dict[str, Any]) -> str:
    exception, message = detail.get("exception"), detail.get("message")
    return f"{exception}: {message}" if exception and message else str(exception or message or "")


def _because(detail: dict[str, Any]) -> str:
    reason = detail.get("reason")
    return f": {reason}" if reason else ""


def _retry(detail: dict[str, Any]) -> str:
    """Why it is tried again, when, and by which policy."""
    said = f"raised {_raised(detail)}" if _raised(detail) else "is to run again"
    parts = [said]
    if detail.get("delay") is not None:
        at = f" (at {iso(detail['next_at'])})" if isinstance(detail.get("next_at"), int) else ""
        parts.append(f"next in {detail['delay']:g} s{at}")
    if detail.get("max_retries") is not None:
        parts.append(f"at most {detail['max_retries']} retries")
    if detail.get("policy"):
        parts.append(f"by {detail['policy']}")
    if detail.get("reason"):
        parts.append(str(detail["reason"]))
    return "; ".join(parts)


def _ending(row: AuditRow, detail: dict[str, Any]) -> str:
    who = f"attempt {row.attempt}" if row.fence else ""
    parts = (who, _raised(detail), str(detail.get("reason") or ""))
    return "; ".join(part for part in parts if part)


def _whose(row: AuditRow) -> str:
    parts = []
    if row.attempt:
        parts.append(f"attempt {row.attempt}, delivery {row.delivery}")
    if row.worker:
        parts.append(row.worker)
    return ", ".join((*parts, f"fence {row.fence}"))


def _pairs(detail: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in detail.items())


# From the record ----------------------------------------------------------------------------------


def _of_record(record: Record, rows: Sequence[AuditRow]) -> list[tuple[int, HistoryEntry]]:
    """What the trail does not tell because it is not kept there by default, with its fence."""
    told = {row.event for row in rows}
    lines: list[tuple[int, HistoryEntry]] = []
    lines.append((0, HistoryEntry(record.enqueued_ms, "enqueued", _enqueued(record))))
    if record.started_ms is not None and Ev.STARTED not in told:
        first = record.first_started_ms
        attempt, delivery = _last_start(record, rows)
        if first is not None and first < record.started_ms:
            lines.append((0, HistoryEntry(first, "started", "attempt 1")))
        text = _attempt(attempt, delivery, record.worker, record.fence)
        lines.append((record.fence, HistoryEntry(record.started_ms, "started", text)))
    ended = any(row.event in _ENDINGS and row.at_ms == record.ended_ms for row in rows)
    if record.state in FINAL_STATES and record.ended_ms is not None and not ended:
        line = HistoryEntry(record.ended_ms, record.state, _how_it_ended(record))
        lines.append((record.fence, line))
    return lines


def _last_start(record: Record, rows: Sequence[AuditRow]) -> tuple[int, int]:
    """Attempt and delivery of the last claim; the record's own may be those of the next one."""
    for row in rows:
        if row.fence == record.fence and row.attempt:
            return row.attempt, row.delivery
    return record.attempt, max(1, record.delivery)


def _enqueued(record: Record) -> str:
    parts = [f"{record.task} on queue {record.queue!r}"]
    if record.priority:
        parts.append(f"priority {record.priority}")
    if record.parent_id:
        parts.append(f"parent {record.parent_id}")
    if record.once_key:
        parts.append(f"once-key {record.once_key}")
    return ", ".join(parts)


def _how_it_ended(record: Record) -> str:
    if record.failure:
        failure = decode_failure(record.failure)
        because = f"; {record.reason}" if record.reason not in {"", Reason.FAILED} else ""
        return f"{failure.type}: {failure.message}{because}"
    if record.broken:
        return f"{record.reason}: {', '.join(record.broken)} did not succeed"
    if record.reason:
        return record.reason
    took = (record.ended_ms or 0) - (record.started_ms or record.ended_ms or 0)
    return f"attempt {record.attempt}, {took / 1000:g} s after its start"


def _now(record: Record) -> str:
    """Where it stands and what it waits for."""
    match record.state:
        case State.RUNNING:
            said = f", reports {record.progress_state}" if record.progress_state else ""
            return f"running on {record.worker}{said}"
        case State.SCHEDULED:
            due = iso(record.due_ms) if record.due_ms is not None else "its time"
            return f"attempt {record.attempt} is scheduled for {due}"
        case State.QUEUED:
            return f"attempt {record.attempt} is queued on {record.queue!r}"
    if record.mirrors:
        return f"waits for message {record.mirrors}, and ends as it ends"
    if record.waits:
        return f"waits for {record.waits} parent{'s' if record.waits > 1 else ''}"
    return "waits for its once-lock"
