"""The verbs that list: each page by scripts that look at so many rows, and go on from a place."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from locks.keys import pattern
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.core.reasons import Reason
from reliable_tasks.errors import StoreError
from reliable_tasks.store import values as v
from reliable_tasks.store.redis.calls import Calls
from reliable_tasks.store.redis.codec import records, schedules

__all__ = ["Lists"]

PAGE: Final = 500
"""How many rows one script lists: some milliseconds of the server's time."""

# Messages that move on while they are listed go to where the list has yet to come.
STAGES: Final = ("waiting", "scheduled", "q", "claims", "ended", "dead")
ONCE, USERS = "once", "users"
BEGINNING: Final = ("", "")


class Lists(Calls):
    """The verbs that list messages, locks, sessions and rows of the trail."""

    @property
    def _page(self) -> int:
        return min(PAGE, self.options.max_rows)

    # Records

    def find(self, query: v.MessageQuery) -> v.Page[v.Record]:
        """A page of the records that match."""
        limit = min(query.limit, self.options.max_rows)
        found: list[v.Record] = []
        begin, *start = _place_of(query.after, 3)
        for place in self._places(query):
            if begin and _order_of(place) < _order_of(begin):
                continue
            after = start if place == begin else BEGINNING
            for score, message_id, record in self._at(place, query, *after):
                if record is not None and _wanted(record, query):
                    found.append(record)
                    if len(found) >= limit:
                        return v.Page(found, _place(place, score, message_id))
        return v.Page(found)

    def _at(
        self, place: str, query: v.MessageQuery, *start: Any
    ) -> Iterator[tuple[bytes, bytes, v.Record | None]]:
        """The records at a place, with what it takes to go on from each."""
        more, size, full = 1, query.limit, "1" if query.full else ""
        while more:
            size = min(size, self._page)
            more, *rows = self._read("find", place, full, size, *start)
            for score, message_id, packed, apart in records.by(rows, 4):
                start = (score, message_id)
                name = message_id.decode()
                yield *start, records.parse_record(name, packed, apart, full=query.full)
            size *= 4  # few of the first ones were asked for

    def _places(self, query: v.MessageQuery) -> list[str]:
        """The sorted sets to look at, in order."""
        if query.dead:
            return ["dead"] if query.state in {None, State.FAILED} else []
        names = [name.decode() for name in self._look("places")]
        middle = names.index("")
        queues = {n.partition(":")[2] for n in names[middle + 1 :] if n.startswith("queued:")}
        by_state = {
            State.WAITING: ["waiting"],
            State.SCHEDULED: ["scheduled"],
            State.QUEUED: [f"q:{q}" for q in queues if query.queue in {None, q}],
            State.RUNNING: [f"claims:{s}" for s in names[:middle] if query.session in {None, s}],
        } | {state: [f"ended:{state}"] for state in FINAL_STATES}
        found = [
            place for s, places in by_state.items() if query.state in {None, s} for place in places
        ]
        return sorted(found, key=_order_of)

    # Locks

    def locks(
        self,
        name: str | None = None,
        *,
        users: bool = False,
        after: str | None = None,
        limit: int | None = None,
    ) -> v.Page[v.LockInfo]:
        """The once-locks that are held, and who is parked behind them; any lock by its name."""
        if name is not None:
            return v.Page(self._lock_page(0, *BEGINNING, name))
        if limit is None:
            found = v.every(lambda at: self.locks(users=users, after=at or after, limit=PAGE))
            by_name = {lock.name: lock for lock in found}
            return v.Page(by_name[each] for each in sorted(by_name))
        kind, *start = _place_of(after, 3)
        if kind == USERS:
            return self._user_locks(start[0])
        page = self._lock_page(min(limit, self._page), *start)
        if page.after is None and users:
            return v.Page(page, _place(USERS, b"0", b""))
        return page

    def _lock_page(self, *asked: Any) -> v.Page[v.LockInfo]:
        score, last, *reply = self._read("locks", self._now(), self._page, *asked)
        held = records.parse_locks(reply, self._all_parked)
        return v.Page(held, _place(ONCE, score, last) if score else None)

    def _all_parked(self, name: str, parked: Sequence[bytes]) -> Sequence[bytes]:
        """All that wait behind a lock, of whom a page is known."""
        if len(parked) < self._page:
            return parked
        found: list[bytes] = self._command("LRANGE", f"{self._key}parked:{name}", 0, -1)
        return found

    def _user_locks(self, cursor: str) -> v.Page[v.LockInfo]:
        """A page of the locks of the package `locks` in this namespace."""
        at, of_locks = cursor.encode(), pattern(f"{self._key}lock:")
        while True:
            at, *reply = self._read("user_locks", self._now(), self._page, PAGE, at, of_locks)
            found = records.parse_locks(reply, self._all_parked)
            if at == b"0":
                return v.Page(found)
            if found:
                return v.Page(found, _place(USERS, at, b""))

    # Sessions

    def sessions(self) -> tuple[v.SessionInfo, ...]:
        """The sessions that are known, lapsed ones not yet reaped included."""
        found: dict[bytes, v.SessionInfo] = {}
        start: tuple[Any, ...] = BEGINNING
        while start:
            reply = self._read("sessions", *start, self._page)
            start = ()
            for row in records.by(reply, 4):
                found[row[0]] = records.parse_info(*row)
                start = (row[1], row[0])
            if len(reply) < 4 * self._page:
                break
        return tuple(sorted(found.values(), key=lambda s: s.id))

    # The trail

    def audit(self, query: v.AuditQuery) -> v.Page[v.AuditRow]:
        """A page of the audit trail, of which scripts read a part each."""
        limit = min(query.limit, self.options.max_rows)
        rows: list[v.AuditRow] = []
        after = "" if query.after is None else schedules.stream_id(query.after)
        for found in self._trail(query.id, after):
            row = schedules.parse_audit_row(*found)
            if _row_wanted(row, query):
                rows.append(row)
                if len(rows) >= limit:
                    return v.Page(rows, row.seq)
        return v.Page(rows)

    def _trail(self, message_id: str | None, after: str) -> Iterator[Sequence[Any]]:
        """Rows as the server has them: all after one, or those of a message, and some others."""
        if message_id is None:
            yield from self._rows("", after, self._page)
            return
        for row in self._rows("", after, 1):  # the oldest may be in no list
            if schedules.is_indexed(row[1]):
                break
            yield row
        yield from self._rows(message_id, after, self._page)

    def _rows(self, message_id: str, after: str, size: int) -> Iterator[Sequence[Any]]:
        while True:
            page = self._read("audit", message_id, after, size)
            yield from (row for row in records.by(page, 3) if row[1])
            if len(page) < 3 * size:
                return
            after, size = page[-3].decode(), self._page


def _row_wanted(row: v.AuditRow, query: v.AuditQuery) -> bool:
    return (
        query.id in {None, row.id}
        and query.event in {None, row.event}
        and (query.since_ms is None or row.at_ms >= query.since_ms)
    )


def _wanted(record: v.Record, query: v.MessageQuery) -> bool:
    if record.reason == Reason.UNREADABLE:
        return query.queue is None and query.task is None and query.root_id is None
    return (
        query.state in {None, record.state}
        and query.queue in {None, record.queue}
        and query.task in {None, record.task}
        and query.root_id in {None, record.root_id}
        and query.session in {None, record.session}
    )


# Places in a list, as `after` has them


def _order_of(place: str) -> tuple[int, str]:
    """What sorts the places of records."""
    return STAGES.index(place.partition(":")[0]), place


def _place(first: str, *rest: bytes) -> str:
    return msgspec.json.encode([first, *(part.decode() for part in rest)]).decode()


def _place_of(after: str | None, size: int) -> list[str]:
    if after is None:
        return [""] * size
    try:
        found = msgspec.json.decode(after, type=list[str])
    except msgspec.MsgspecError:
        found = []
    known = {*STAGES, ONCE, USERS}
    if len(found) != size or found[0].partition(":")[0] not in known:
        raise StoreError(f"after={after!r} is not the `after` of a page")
    return found
