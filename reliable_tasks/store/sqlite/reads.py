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
    N,
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
AUDIT_FIELDS: Final = v.AuditRow.__struct_fields__
SESSION_FIELDS: Final = tuple(f for f in v.SessionInfo.__struct_fields__ if f != "queues")


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
        rows = self._rows(HELD, session, -1)
        held = [Row(*row) for row in rows if fits(row)]
        return tuple([as_claim(r, *self._inputs(r.n)) for r in held])

    def _inputs(self, n: int) -> tuple[tuple[v.Input, ...], int]:
        ((size,),) = self._all(INPUTS_SIZE, n)
        fits = size <= self._options.max_input_bytes
        return (as_inputs(self._all(INPUTS_READ, n)), 0) if fits else ((), size)

    def find(self, query: v.MessageQuery) -> v.Page[v.Record]:
        """A page of records."""
        after = _number(query.after)
        statement = FIND_DEAD if query.dead else FIND_IN_WORKFLOW if query.root_id else FIND
        states = None
        if query.state is not None:
            states = msgspec.json.encode(codes_of(query.state)).decode()
        limit = min(query.limit, self._options.max_rows)
        chosen = (states, query.queue, query.task, query.session, query.root_id, after, limit)
        rows = self._rows(statement, *chosen)
        more = str(rows[-1][N]) if len(rows) == limit else None
        return v.Page([self._record(row, full=query.full) for row in rows], more)

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
        sessions = []
        for queues, *row in self._all(SESSIONS_ALL):
            known = dict(zip(SESSION_FIELDS, row, strict=True))
            names = msgspec.json.decode(queues, type=tuple[str, ...])
            sessions.append(v.SessionInfo(queues=names, **known))
        return tuple(sessions)

    def audit(self, query: v.AuditQuery) -> v.Page[v.AuditRow]:
        """A page of the trail."""
        statement = AUDIT_READ if query.id is None else AUDIT_OF_MESSAGE
        after = _number(query.after)
        limit = min(query.limit, self._options.max_rows)
        rows = self._all(statement, query.id, query.event, query.since_ms, after, limit)
        found = [v.AuditRow(**dict(zip(AUDIT_FIELDS, row, strict=True))) for row in rows]
        return v.Page(found, found[-1].seq if len(found) == limit else None)

    def audit_cut(self, message_id: str) -> v.AuditCut:
        """What the trail has lost."""
        ((rows, until),) = self._all(AUDIT_CUT, message_id)
        return v.AuditCut(rows=rows, until_ms=until)

    def locks(self, name: str | None, after: str | None, limit: int | None) -> v.Page[v.LockInfo]:
        """The locks of this namespace that are held, by name."""
        prefix = sqlite_name(self._options.namespace, "")
        low, high = prefix, prefix[:-1] + ";"
        if name is not None:
            low, high = prefix + name, f"{prefix}{name}\0"
        elif after is not None:
            low = f"{prefix}{after}\0"
        most = -1 if limit is None else min(limit, self._options.max_rows)
        rows = self._all(LOCKS_LIVE, low, high, self._now, most)
        held = [
            v.LockInfo(
                name=found.removeprefix(prefix),
                owner=owner,
                fence=fence,
                since_ms=since,
                until_ms=until,
                parked=tuple([row[0] for row in self._all(PARKED_ALL, found)]),
            )
            for found, owner, fence, since, until in rows
        ]
        return v.Page(held, held[-1].name if len(held) == most else None)

    def entries(self) -> tuple[v.Entry, ...]:
        """All schedule entries by name."""
        return tuple([as_entry(row) for row in self._all(ENTRIES_ALL)])

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


def _number(place: str | None) -> int:
    place = "0" if place is None else place
    if not (place.isascii() and place.isdecimal() and int(place) <= LARGEST):
        raise StoreError(f"after={place!r} is not the `after` of a page")
    return int(place)
