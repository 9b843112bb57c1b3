"""The readers: nothing here writes."""

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from locks.keys import sqlite_name
from reliable_tasks.errors import StoreError
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.rows import (
    DEAD,
    FIRST_FINAL,
    PART_BROKEN,
    STATES,
    Row,
    as_claim,
    as_inputs,
    as_record,
    codes_of,
)
from reliable_tasks.store.sqlite.schedules import as_entry
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.turns import look
from reliable_tasks.store.sqlite.unreadable import LARGEST, fits, mend, rows_of

__all__ = ["Reader"]

RECORDS_BY_ID: Final = load("records/by_ids")
HELD: Final = load("records/held")
INPUTS_READ: Final = load("inputs/read")
INPUTS_SIZE: Final = load("inputs/size")
BROKEN_READ: Final = load("broken/read")
FIND: Final = load("records/find")
FIND_DEAD: Final = load("records/find_dead")
FIND_IN_WORKFLOW: Final = load("records/find_in_workflow")
NUMBER_OF: Final = load("records/number_of")
COUNTS_READ: Final = load("counts/read")
SESSIONS_ALL: Final = load("sessions/all")
AUDIT_READ: Final = load("audit/read")
AUDIT_OF_MESSAGE: Final = load("audit/of_message")
AUDIT_CUT: Final = load("audit/cut")
LOCKS_LIVE: Final = load("locks/live")
PARKED_ALL: Final = load("parked/all")
ENTRIES_ALL: Final = load("entries/all")
GROUP_READ: Final = load("groups/read")
VERSIONS: Final = load("records/versions")
WORK_WAITS: Final = load("records/work_waits")
ENTRIES_VERSION: Final = load("store/entries_version")


class Reader:
    """One consistent look at the tables."""

    def __init__(self, connection: apsw.Connection, now: int, options: v.StoreOptions) -> None:
        self._connection = connection
        self._now = now
        self._options = options

    def _all(self, statement: str, *bindings: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, bindings).fetchall()

    def _rows(self, statement: str, *bindings: object) -> list[tuple[Any, ...]]:
        return rows_of(self._connection.execute, statement, bindings)

    def read(self, ids: Sequence[str], *, full: bool) -> tuple[v.Record | None, ...]:
        """The records of messages."""
        rows = self._rows(RECORDS_BY_ID, msgspec.json.encode(list(ids)).decode())
        found = {row[0]: self._record(row, full=full) for row in rows}
        return tuple([found.get(message_id) for message_id in ids])

    def _record(self, row: tuple[Any, ...], *, full: bool) -> v.Record:
        r = Row(*row) if fits(row) else mend(row)
        broken = self._all(BROKEN_READ, r.n) if r.parts & PART_BROKEN else ()
        return as_record(r, tuple([row[0] for row in broken]), full=full)

    def turn(self, asks: v.SessionInfo, *, patient: bool) -> v.Turn | None:
        """Whose turn it is, as far as that is clear without taking one."""
        return look(lambda s, b: self._all(s, *b)[0], self._now, asks, patient=patient)

    def held(self, session: str) -> tuple[v.Claim, ...]:
        """The claims that a session holds."""
        rows = self._rows(HELD, session, self._options.max_rows)
        held = [Row(*row) for row in rows if fits(row)]
        return tuple([as_claim(r, *self._inputs(r.n)) for r in held])

    def _inputs(self, n: int) -> tuple[tuple[v.Input, ...], int]:
        ((size,),) = self._all(INPUTS_SIZE, n)
        fits = size <= self._options.max_input_bytes
        return (as_inputs(self._all(INPUTS_READ, n)), 0) if fits else ((), size)

    def find(self, query: v.MessageQuery) -> tuple[v.Record, ...]:
        """List records; none when the one that `after` names is gone."""
        after = 0
        if query.after is not None:
            numbers = self._all(NUMBER_OF, query.after)
            if not numbers:
                return ()
            after = numbers[0][0]
        statement = FIND
        if query.dead:
            statement = FIND_DEAD
        elif query.root_id:
            statement = FIND_IN_WORKFLOW
        states = None
        if query.state is not None:
            states = msgspec.json.encode(codes_of(query.state)).decode()
        limit = min(query.limit, self._options.max_rows)
        chosen = (states, query.queue, query.task, query.session, query.root_id, after, limit)
        return tuple([self._record(row, full=False) for row in self._rows(statement, *chosen)])

    def counts(self) -> v.Counts:
        """How many messages stand where."""
        queues: dict[str, dict[str, int]] = {}
        states: dict[str, int] = {}
        dead = 0
        for queue, code, count in self._all(COUNTS_READ):
            state = STATES[code].value
            states[state] = states.get(state, 0) + count
            if code < FIRST_FINAL:
                queues.setdefault(queue, {})[state] = count
            elif code == DEAD:
                dead = count
        return v.Counts(queues=queues, states=states, dead=dead)

    def sessions(self) -> tuple[v.SessionInfo, ...]:
        """All sessions."""
        return tuple(
            [
                v.SessionInfo(
                    id=session_id,
                    worker=worker,
                    host=host,
                    pid=pid,
                    pid_started=pid_started,
                    queues=msgspec.json.decode(queues, type=tuple[str, ...]),
                    started_ms=started,
                    lease_until_ms=lease_until,
                    claims=claims,
                )
                for (
                    session_id,
                    worker,
                    host,
                    pid,
                    pid_started,
                    queues,
                    started,
                    lease_until,
                    claims,
                ) in self._all(SESSIONS_ALL, self._options.max_rows)
            ]
        )

    def audit(self, query: v.AuditQuery) -> tuple[v.AuditRow, ...]:
        """Read the trail."""
        statement = AUDIT_READ if query.id is None else AUDIT_OF_MESSAGE
        after = _line(query.after)
        limit = min(query.limit, self._options.max_rows)
        rows = self._all(statement, query.id, query.event, query.since_ms, after, limit)
        return tuple([v.AuditRow(seq=str(row[0]), **_told(row)) for row in rows])

    def audit_cut(self, message_id: str) -> v.AuditCut:
        """What the trail has lost."""
        ((rows, until),) = self._all(AUDIT_CUT, message_id)
        return v.AuditCut(rows=rows, until_ms=until)

    def locks(self, name: str | None) -> tuple[v.LockInfo, ...]:
        """The locks of this namespace that are held."""
        prefix = sqlite_name(self._options.namespace, "")
        low, high = prefix, prefix[:-1] + ";"
        if name is not None:
            low = prefix + name
            high = low + "\0"
        limit = self._options.max_rows
        return tuple(
            [
                v.LockInfo(
                    name=found.removeprefix(prefix),
                    owner=owner,
                    fence=fence,
                    since_ms=since,
                    until_ms=until,
                    parked=tuple([row[0] for row in self._all(PARKED_ALL, found, limit)]),
                )
                for found, owner, fence, since, until in self._all(
                    LOCKS_LIVE, low, high, self._now, limit
                )
            ]
        )

    def entries(self) -> tuple[v.Entry, ...]:
        """All schedule entries by name."""
        return tuple([as_entry(row) for row in self._all(ENTRIES_ALL, self._options.max_rows)])

    def load_group(self, group_id: str) -> bytes | None:
        """A group's description."""
        rows = self._all(GROUP_READ, group_id, self._now)
        value: bytes | None = rows[0][0] if rows else None
        return value

    def versions(self, ids: Sequence[str]) -> dict[str, int]:
        """The versions of those messages that exist."""
        return dict(self._all(VERSIONS, msgspec.json.encode(list(ids)).decode()))

    # For those who wait

    def waiting(self, queues: Sequence[str]) -> tuple[bool, int | None]:
        """Whether one of the queues has something, and when the next message anywhere is due."""
        queued, due = self._all(WORK_WAITS, msgspec.json.encode(queues).decode())[0]
        if due is not None and (type(due) is not int or due > LARGEST):
            due = self._now  # a damaged one: an exchange puts it aside
        return bool(queued), due

    def entries_version(self) -> int:
        """Grows with every change of an entry."""
        version: int = self._all(ENTRIES_VERSION)[0][0]
        return version


def _line(seq: str | None) -> int:
    if seq is None:
        return 0
    if not seq.isdecimal():
        raise StoreError(f"after={seq!r} is not the `seq` of an audit row")
    return int(seq)


def _told(row: tuple[Any, ...]) -> dict[str, Any]:
    """The fields of an audit row but its `seq`, which are the columns in their order."""
    return dict(zip(v.AuditRow.__struct_fields__[1:], row[1:], strict=True))
