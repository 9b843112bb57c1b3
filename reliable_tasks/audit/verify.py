"""Does a store's own account hold together? The invariants, checked on its trail and its records.

`verify` is pure: it is given what was read, and says what is not as promised. With the setting
`audit="all"` the trail has every transition, and all of `INVARIANTS` are checked. The default trail
leaves out what goes well; then those of `NEED_FULL_TRAIL` cannot be checked, and the rest is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from reliable_tasks.audit.trace import MessageStory, Violation, told
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.store.values import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reliable_tasks.store.values import AuditRow, Counts, LockInfo, Record, SessionInfo

__all__ = ["INVARIANTS", "NEED_FULL_TRAIL", "Violation", "verify"]

Ev = AuditEvent

INVARIANTS: Mapping[str, str] = {
    "conservation": "a message that was enqueued is there, or has ended; none comes from nowhere",
    "one ending": "a message ends once, and nothing changes that but a replay",
    "claims": "a message is held by one claim at a time, and only what is held is committed",
    "fences": "fences strictly grow, and what is committed is the latest claim's",
    "limits": "attempts and deliveries are counted without gaps and stay within their limits",
    "times": "nothing starts before it is due or after it has expired",
    "joins": "a message with parents starts when all of them have succeeded, each counted once",
    "records": "each record says what the trail says",
    "steps": "a step is recorded once in the life of a message",
    "locks": "a once-lock without an end of its own is held by a message that lives",
    "counters": "the counters are the numbers of records",
    "order": "the rows of the trail are numbered in order, each once",
}
"""What is checked, each in a sentence."""

NEED_FULL_TRAIL = frozenset(
    {"claims", "conservation", "fences", "joins", "limits", "steps", "times"}
)
"""What the default trail does not tell, or only in part."""

_Edges = dict[str, set[str]]


def verify(
    rows: Iterable[AuditRow],
    records: Iterable[Record],
    locks: Iterable[LockInfo],
    counts: Counts | None,
    *,
    sessions: Iterable[SessionInfo] | None = None,
    full: bool = True,
    horizon_ms: int = 0,
) -> list[Violation]:
    """Check the invariants; returns what breaks them, in the order in which it was found.

    Everything is read once, in order; what is kept of it is a few numbers for each message.

    Args:
        rows: the trail, oldest first.
        records: all of them, read in full where `joins` is to be checked.
        locks: those that are held.
        counts: the counters; None leaves them out.
        sessions: those that are open; None leaves out whether claims are held by one of them.
        full: whether the trail was kept with `audit="all"`.
        horizon_ms: the trail may have lost what it had up to this instant; messages that are older
            are checked from their first row on.
    """
    check = _Check(full=full, horizon_ms=horizon_ms)
    check.read_records(records)
    check.read_trail(rows)
    check.compare()
    check.read_locks(locks)
    if sessions is not None:
        check.read_sessions(sessions)
    if counts is not None:
        check.read_counts(counts)
    return check.found


class _Check:
    """One pass over it all."""

    def __init__(self, *, full: bool, horizon_ms: int) -> None:
        self.found: list[Violation] = []
        self._full = full
        self._horizon_ms = horizon_ms
        self._records: dict[str, Record] = {}
        self._stories: dict[str, MessageStory] = {}
        self._parents: _Edges = {}
        self._with_errbacks: set[str] = set()
        self._succeeded: set[str] = set()
        self._states: dict[str, int] = {}
        self._queues: dict[str, dict[str, int]] = {}
        self._last_fence = 0
        self._last_seq: tuple[int, ...] = ()
        self._replays = 0

    def _break(self, invariant: str, message_id: str, text: str, seq: str = "") -> None:
        self.found.append(Violation(invariant, message_id, text, seq))

    # The records ---------------------------------------------------------------------------------

    def read_records(self, records: Iterable[Record]) -> None:
        """Count them, and keep what the trail is compared with."""
        for record in records:
            if record.id in self._records:
                self._break("conservation", record.id, "there are two records of it")
            self._records[record.id] = _slim(record)
            self._states[record.state] = self._states.get(record.state, 0) + 1
            if record.state not in FINAL_STATES:
                queue = self._queues.setdefault(record.queue, {})
                queue[record.state] = queue.get(record.state, 0) + 1
            for child, on, _ in record.edges:
                if on == "success":
                    self._parents.setdefault(child, set()).add(record.id)
                elif on == "failure":
                    self._with_errbacks.add(child)
        for record in self._records.values():
            for invariant, text in (*self._by_itself(record), *self._by_its_parents(record)):
                self._break(invariant, record.id, text)

    def _by_itself(self, r: Record) -> Iterator[tuple[str, str]]:
        """What a record must say, whatever the trail does."""
        if (r.session is not None) != (r.state == State.RUNNING):
            yield "claims", f"it is {r.state} and belongs to session {r.session}"
        if r.waits < 0:
            yield "joins", f"a parent was counted twice: it waits for {r.waits}"
        started = r.state in {State.QUEUED, State.SCHEDULED, State.RUNNING, State.SUCCEEDED}
        if started and r.waits > 0 and r.id not in self._with_errbacks and not r.mirrors:
            yield "joins", f"it is {r.state} and waits for {r.waits} parents"
        if r.state in FINAL_STATES and r.ended_ms is None:
            yield "records", f"it is {r.state} and nobody knows since when"
        if r.state == State.RUNNING and r.started_ms is not None:
            if r.due_ms is not None and r.started_ms < r.due_ms:
                yield "times", f"it started {r.due_ms - r.started_ms} ms before it was due"
            if r.expires_ms is not None and r.started_ms >= r.expires_ms:
                yield "times", "it started after it had expired"

    def _by_its_parents(self, r: Record) -> Iterator[tuple[str, str]]:
        """A child is told of each ending in the very step of that ending."""
        parents = [self._records[parent] for parent in self._parents.get(r.id, ())]
        if r.state != State.WAITING or not parents or r.id in self._with_errbacks:
            return
        for parent in parents:
            if parent.state in FINAL_STATES - {State.SUCCEEDED}:
                yield "joins", f"it waits, and its parent {parent.id} is {parent.state}"
        if r.waits > 0 and all(parent.state == State.SUCCEEDED for parent in parents):
            yield "joins", f"it waits for {r.waits} parents, and all of them have succeeded"

    # The trail -----------------------------------------------------------------------------------

    def read_trail(self, rows: Iterable[AuditRow]) -> None:
        """Follow each message from row to row."""
        for row in rows:
            seq = _seq_of(row.seq)
            if seq <= self._last_seq:
                self._break("order", row.id, f"row {row.seq} is not after the one before", row.seq)
            self._last_seq = max(seq, self._last_seq)
            if row.event in _NOT_OF_THE_MESSAGE:
                continue
            story = self._stories.get(row.id)
            if story is None:
                story = self._stories[row.id] = self._begin(row)
            for invariant, text in story.take(row, self._replays):
                self._break(invariant, row.id, text, row.seq)
            self._across(row)

    def _begin(self, row: AuditRow) -> MessageStory:
        record = self._records.get(row.id)
        # One that is gone may have been enqueued at any time, before the trail begins as well.
        began_ms = record.enqueued_ms if record else 0
        known = self._full and (began_ms > self._horizon_ms or not self._horizon_ms)
        if known and row.event != Ev.ENQUEUED:
            self._break("conservation", row.id, f"it was {told(row)} and never enqueued", row.seq)
        return MessageStory(row, record, partial=not known, full=self._full)

    def _across(self, row: AuditRow) -> None:
        """What is between messages: fences, parents, replays."""
        match row.event:
            case Ev.STARTED:
                if row.fence <= self._last_fence:
                    text = f"fence {row.fence} was given out after {self._last_fence}"
                    self._break("fences", row.id, text, row.seq)
                self._last_fence = max(self._last_fence, row.fence)
                self._check_parents(row)
            case Ev.SUCCEEDED:
                self._succeeded.add(row.id)
            case Ev.REPLAYED:
                self._replays += 1

    def _check_parents(self, row: AuditRow) -> None:
        if not self._full or row.id in self._with_errbacks:
            return
        for parent in self._parents.get(row.id, ()):
            old = self._records[parent].enqueued_ms <= self._horizon_ms
            if parent not in self._succeeded and not old:
                text = f"it started before its parent {parent} had succeeded"
                self._break("joins", row.id, text, row.seq)

    # The one against the other -------------------------------------------------------------------

    def compare(self) -> None:
        """Hold the records against the ends of their stories."""
        for message_id, record in self._records.items():
            story = self._stories.get(message_id)
            if story is None:
                if self._full and record.enqueued_ms > self._horizon_ms:
                    text = "there is a record of it, and no row in the trail"
                    self._break("conservation", message_id, text)
                continue
            for invariant, text in story.compare(record, self._replays):
                self._break(invariant, message_id, text)
        if self._full:
            self._find_lost()

    def _find_lost(self) -> None:
        for message_id, story in self._stories.items():
            if message_id not in self._records and not (story.ended or story.gone):
                where = "is held by a claim" if story.held else "waits"
                text = f"it {where} by the trail, and there is no record of it"
                self._break("conservation", message_id, text)

    # Locks and counters --------------------------------------------------------------------------

    def read_locks(self, locks: Iterable[LockInfo]) -> None:
        """Who holds what; locks of users, whose owners are no messages, are theirs to judge."""
        for lock in locks:
            record = self._records.get(lock.owner)
            for parked in lock.parked:
                waiting = self._records.get(parked)
                if waiting is None or waiting.state != State.WAITING:
                    state = waiting.state if waiting else "gone"
                    self._break("locks", parked, f"it is {state} and parked behind {lock.name}")
            if lock.until_ms:
                continue  # it ends by itself, and may be meant to outlive its message
            if record is None:
                if lock.owner in self._stories:
                    self._break("locks", lock.owner, f"it is gone and holds {lock.name}")
            elif record.state in FINAL_STATES:
                self._break("locks", lock.owner, f"it is {record.state} and holds {lock.name}")
            elif lock.name.endswith(":run") and record.state != State.RUNNING:
                self._break("locks", lock.owner, f"it does not run and holds {lock.name}")

    def read_sessions(self, sessions: Iterable[SessionInfo]) -> None:
        """A claim of a session that is gone would be given back by nobody."""
        known = {session.id for session in sessions}
        for r in self._records.values():
            if r.session is not None and r.session not in known:
                self._break("claims", r.id, f"it is held by session {r.session}, which is gone")

    def read_counts(self, counts: Counts) -> None:
        """The counters against the records."""
        for state in State:
            said, there = counts.states.get(state, 0), self._states.get(state, 0)
            if said != there:
                self._break("counters", "", f"{said} are counted as {state}; there are {there}")
        for queue in sorted({*counts.queues, *self._queues}):
            said_here, here = counts.queues.get(queue, {}), self._queues.get(queue, {})
            for name in sorted({*said_here, *here}):
                said, there = said_here.get(name, 0), here.get(name, 0)
                if said != there:
                    text = f"{said} are counted as {name} on queue {queue!r}; there are {there}"
                    self._break("counters", "", text)


# Rows that tell of somebody else: of a call that was not stored, of a claim that came too late.
_NOT_OF_THE_MESSAGE = frozenset(
    {
        *{Ev.DUPLICATE, Ev.CONFLICT, Ev.STALE, Ev.UNLOCKED},
        *{Ev.FIRED, Ev.SUPPRESSED, Ev.REPLACED, Ev.RERUN},
    }
)


def _slim(record: Record) -> Record:
    """The record without what is large."""
    if record.payload is None and record.result is None and not record.edges:
        return record
    return msgspec.structs.replace(
        record, payload=None, result=None, failure=None, progress_meta=None, headers=b"", edges=()
    )


def _seq_of(seq: str) -> tuple[int, ...]:
    """A row's number, comparable: "17", or "1700000000000-3"."""
    if seq.isdecimal():
        return (int(seq),)
    return tuple(int(part) for part in seq.split("-") if part.isdecimal())
