"""The audit trail: rows are added with what they tell of; the oldest beyond its bounds go."""

from typing import Final

import apsw

from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.rows import RawRow, Row
from reliable_tasks.store.sqlite.statements import load

__all__ = ["Trail"]

NUMBERS_READ: Final = load("store/numbers_read")
NUMBERS_SET: Final = load("store/numbers_set")
FENCE_SET: Final = load("store/fence_set")
INSERT: Final = load("audit/insert")
COUNT: Final = load("audit/count")
OLDEST: Final = load("audit/oldest")
CUT_COUNT: Final = load("audit/cut_count")
CUT_FORGET: Final = load("audit/cut_forget")
DELETE: Final = load("audit/delete")

TRIMMED_AT_ONCE: Final = 100
SPARE: Final = 64
"""The part of a bound by which the trail may exceed it, so that not each row drops another one."""


class Trail:
    """The trail as one transaction adds to it, and the numbers that grow with each.

    Attributes:
        now: the instant at which all of the transaction happens.
        fence: the latest fencing number.
        seq: number of the latest record, place in a queue or audit row.
        trail_rows: how many rows the trail has.
        trail_bytes: what they count for.
        trail_cut: up to when rows were dropped.
    """

    fence: int
    seq: int
    trail_rows: int
    trail_bytes: int
    trail_cut: int

    def __init__(self, connection: apsw.Connection, now: int, options: v.StoreOptions) -> None:
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.now = now
        self.options = options
        self._added: list[RawRow] = []
        self._numbers: RawRow = self.execute(NUMBERS_READ).fetchall()[0]
        self.fence, self.seq, self.trail_rows, self.trail_bytes, self.trail_cut = self._numbers

    def next_seq(self) -> int:
        """The next number of a record, a place in a queue or an audit row."""
        self.seq += 1
        return self.seq

    def next_fence(self) -> int:
        """The next fencing number, of a claim or a lock."""
        self.fence += 1
        return self.fence

    def audit(self, event: v.AuditEvent, r: Row, detail: bytes = b"") -> None:
        """Add an audit row about a record."""
        if event in v.AUDIT_DEFAULT or self.options.audit == "all":
            who = (r.id, r.task, r.worker or "")
            self._tell(event, *who, detail, (r.attempt, r.delivery, r.fence))

    def audit_id(
        self, event: v.AuditEvent, message_id: str, task: str, fence: int = 0, worker: str = ""
    ) -> None:
        """Add an audit row about a message that may have no record."""
        if event in v.AUDIT_DEFAULT or self.options.audit == "all":
            self._tell(event, message_id, task, worker, b"", (0, 0, fence))

    def _tell(
        self,
        event: v.AuditEvent,
        message_id: str,
        task: str,
        worker: str,
        detail: bytes,
        numbers: tuple[int, int, int],
    ) -> None:
        if event in v.AUDIT_COUNTED:
            self._write_added()
            began = self.now - v.AUDIT_COUNTED_MS
            if self.execute(COUNT, (self.now, message_id, event.value, began)).fetchall():
                return
        row = (self.next_seq(), self.now, event.value, message_id, task, *numbers, worker, detail)
        self._added.append(row)
        self.trail_rows += 1
        self.trail_bytes += v.size_of(message_id, task, worker, detail)

    def _write_added(self) -> None:
        if self._added:
            self.executemany(INSERT, self._added)
            self._added = []

    def _exceeds(self, spare: int = 0) -> bool:
        """Whether the trail is beyond a bound, by more than its `spare`th part."""
        rows, size = self.options.max_audit_rows, self.options.max_audit_bytes
        if spare:
            rows, size = rows + rows // spare, size + size // spare
        return 0 < rows < self.trail_rows or 0 < size < self.trail_bytes

    def trim(self, most: int, too_old: int = -1) -> bool:
        """Drop the oldest rows beyond the bounds, and those up to `too_old`, but not over `most`.

        Returns:
            whether there may be more of them.
        """
        self._write_added()
        last = dropped = 0
        oldest = self.execute(OLDEST, (most, v.AUDIT_ROW_BYTES))
        for seq, at, size in oldest:
            if at > too_old and not self._exceeds():
                break
            last, self.trail_cut, dropped = seq, at, dropped + 1
            self.trail_rows -= 1
            self.trail_bytes -= size
        oldest.close()
        if dropped:
            for statement in (CUT_COUNT, CUT_FORGET, DELETE):
                self.execute(statement, (last,))
        return dropped == most

    def finish(self) -> None:
        """Write what is left, before the transaction is committed."""
        if self._added:
            if self._exceeds(SPARE):
                self.trim(max(TRIMMED_AT_ONCE, 2 * len(self._added)))
            self._write_added()
        numbers = (self.fence, self.seq, self.trail_rows, self.trail_bytes, self.trail_cut)
        if numbers[0] != self._numbers[0]:
            self.execute(FENCE_SET, numbers[:1])
        if numbers[1:] != self._numbers[1:]:
            self.execute(NUMBERS_SET, numbers[1:])
