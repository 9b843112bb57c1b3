"""One transaction's view of the tables: the records it touches, read once and written once.

The rules in `transitions` work on plain objects. `UnitOfWork` finds those objects, remembers the
rows that they were read from, and writes what differs when it is flushed: before a query whose
answer may depend on it, and at the end. What belongs to a record (inputs, steps, broken parents,
parked messages, locks) is written at once.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import apsw
import msgspec

from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.rows import (
    FIRST_FINAL,
    PART_BROKEN,
    PART_INPUTS,
    PART_STEPS,
    QUEUE,
    STATE,
    STATES,
    N,
    RawRow,
    Row,
    as_inputs,
)
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.trail import Trail
from reliable_tasks.store.sqlite.unreadable import fits, mend, rows_of

__all__ = ["UnitOfWork"]

RECORD_BY_ID: Final = load("records/by_id")
RECORDS_BY_ID: Final = load("records/by_ids")
RECORD_INSERT: Final = load("records/insert")
RECORD_UPDATE: Final = load("records/update")
RECORD_DELETE: Final = load("records/delete")
COUNT_ADD: Final = load("counts/add")
INPUTS_READ: Final = load("inputs/read")
INPUTS_SIZE: Final = load("inputs/size")
INPUT_PUT: Final = load("inputs/put")
INPUTS_DELETE: Final = load("inputs/delete")
STEPS_DELETE: Final = load("steps/delete")
BROKEN_DELETE: Final = load("broken/delete")

_DELETES: Final = (
    (PART_INPUTS, INPUTS_DELETE),
    (PART_STEPS, STEPS_DELETE),
    (PART_BROKEN, BROKEN_DELETE),
)
_astuple = msgspec.structs.astuple
_CODES: Final = range(len(STATES))


class UnitOfWork(Trail):
    """The records that one transaction touches.

    Attributes:
        queues_some: whether messages were queued, or scheduled.
        changes_some: whether anything was written, when it is finished.
    """

    def __init__(self, connection: apsw.Connection, now: int, options: v.StoreOptions) -> None:
        super().__init__(connection, now, options)
        self.queues_some = self.changes_some = False
        self._total_changes = connection.total_changes
        self._changes_before = self._total_changes()
        self._rows: dict[str, Row | None] = {}
        self._stored: dict[int, RawRow] = {}
        self._unfit: list[tuple[Row, RawRow]] = []
        self._moved: dict[tuple[str, int], int] = {}

    # Queries --------------------------------------------------------------------------------------

    def one(self, statement: str, bindings: Sequence[object] = ()) -> RawRow:
        """The only row of a query that has one."""
        row = self.first(statement, bindings)
        assert row is not None, statement  # noqa: S101 - the query has no condition
        return row

    def first(self, statement: str, bindings: Sequence[object] = ()) -> RawRow | None:
        """The first row of a query, None when it has none."""
        row: RawRow | None = self.execute(statement, tuple(bindings)).fetchone()
        return row

    def all(self, statement: str, bindings: Sequence[object] = ()) -> list[RawRow]:
        """All rows of a (bounded) query."""
        return self.execute(statement, tuple(bindings)).fetchall()

    def records(
        self, statement: str, bindings: Sequence[object] = (), *, bounded: bool = False
    ) -> list[Row]:
        """The records that a query of whole rows finds, with what was changed so far."""
        self.flush()
        rows = rows_of(self.execute, statement, bindings, bounded=bounded)
        found = [self._adopt(row) for row in rows]
        if self._unfit:
            self._put_aside()
        return found

    # Records --------------------------------------------------------------------------------------

    def get(self, message_id: str) -> Row | None:
        """The record of a message, None when there is none."""
        try:
            return self._rows[message_id]
        except KeyError:
            rows = rows_of(self.execute, RECORD_BY_ID, (message_id,))
            if not rows:
                self._rows[message_id] = None
                return None
            r = self._adopt(rows[0])
            if self._unfit:
                self._put_aside()
            return r

    def prefetch(self, ids: Iterable[str]) -> None:
        """Read several records at once, for `get` to find."""
        unread = [i for i in ids if i not in self._rows]
        if len(unread) > 1:
            self._rows.update(dict.fromkeys(unread))
            wanted = (msgspec.json.encode(unread).decode(),)
            for row in rows_of(self.execute, RECORDS_BY_ID, wanted):
                self._adopt(row)
            if self._unfit:
                self._put_aside()

    def add(self, r: Row) -> None:
        """Keep a new record."""
        self._rows[r.id] = r

    def delete(self, r: Row) -> None:
        """Delete a record and the rows that belong to it."""
        row = self._stored.pop(r.n, None)
        if row is not None:
            self._tally(row, -1)
            self.execute(RECORD_DELETE, (r.n,))
        self.drop_parts(r, PART_INPUTS | PART_STEPS | PART_BROKEN)
        self._rows[r.id] = None

    def delete_unread(self, statement: str, bindings: Sequence[object]) -> int:
        """Delete ended records by a statement that returns their numbers and states."""
        self.flush()
        deleted = self.all(statement, bindings)
        for n, state in deleted:
            row = self._stored.pop(n, None)
            if row is not None:
                self._rows[row[0]] = None
            self._moved["", state] = self._moved.get(("", state), 0) - 1
        return len(deleted)

    def drop_parts(self, r: Row, parts: int) -> None:
        """Delete the rows of these kinds that belong to a record."""
        found = r.parts & parts
        if found:
            for part, statement in _DELETES:
                if found & part:
                    self.execute(statement, (r.n,))
            r.parts &= ~parts

    def inputs(self, r: Row) -> tuple[tuple[v.Input, ...], int]:
        """What the record's parents left for it, by slot; only the size of it where too large."""
        if not r.parts & PART_INPUTS:
            return (), 0
        (size,) = self.one(INPUTS_SIZE, (r.n,))
        if size > self.options.max_input_bytes:
            return (), size
        return as_inputs(self.all(INPUTS_READ, (r.n,))), 0

    def put_input(self, r: Row, slot: int, parent: str, value: bytes, *, ok: bool) -> None:
        """Store the result or failure of a parent for a record."""
        self.execute(INPUT_PUT, (r.n, slot, parent, int(ok), value))
        r.parts |= PART_INPUTS

    def _adopt(self, row: RawRow) -> Row:
        known = self._rows.get(row[0])
        if known is not None:
            return known
        if fits(row):
            r = Row(*row)
            self._stored[r.n] = row
        else:
            r = mend(row)
            self._unfit.append((r, row))
        self._rows[r.id] = r
        return r

    # What cannot be read --------------------------------------------------------------------------

    def _set_aside(self, r: Row) -> None:
        """Make a dead letter of a record that could not be read and had not ended."""
        raise NotImplementedError

    def _put_aside(self) -> None:
        """Rewrite the records that could not be read, in all of their columns."""
        unfit, self._unfit = self._unfit, []
        for r, row in unfit:
            self._tally(row, -1)
            self.execute(RECORD_DELETE, (r.n,))
            if r.id != row[0] and self.first(RECORD_BY_ID, (r.id,)) is not None:
                r.id = f"{r.id}~{r.n}"  # there is another one of that name
                self._rows[r.id] = r
        for r, _ in unfit:
            if r.state < FIRST_FINAL:
                self._set_aside(r)

    # Writing --------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what was changed since the last time."""
        inserts, updates = list[RawRow](), list[RawRow]()
        stored = self._stored
        for r in self._rows.values():
            if r is None:
                continue
            row = _astuple(r)
            old = stored.get(r.n)
            if old is None:
                inserts.append(row)
            elif row != old:
                updates.append(row[N:])
                self._tally(old, -1)
            else:
                continue
            self._tally(row, 1)
            stored[r.n] = row
        if inserts:
            self.executemany(RECORD_INSERT, inserts)
        if updates:
            self.executemany(RECORD_UPDATE, updates)

    def finish(self) -> None:
        """Write everything that is left, before the transaction is committed."""
        self.flush()
        moved = [(queue, state, by) for (queue, state), by in self._moved.items() if by]
        if moved:
            self.executemany(COUNT_ADD, moved)
        super().finish()
        self.changes_some = self._total_changes() != self._changes_before

    def _tally(self, row: RawRow, by: int) -> None:
        queue, state = row[QUEUE], row[STATE]
        if type(queue) is not str or state not in _CODES:
            return  # damaged: nobody knows for what it was counted
        key = (queue if state < FIRST_FINAL else "", state)
        self._moved[key] = self._moved.get(key, 0) + by
