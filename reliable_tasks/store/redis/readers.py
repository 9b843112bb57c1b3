"""The verbs that change nothing."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

from locks import inspect
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import keys
from reliable_tasks.store.redis.calls import Calls
from reliable_tasks.store.redis.codec import fast_path, records, schedules
from reliable_tasks.store.redis.errors import translated

__all__ = ["Readers"]

PAGE: Final = 1000


class Readers(Calls):
    """The verbs that read."""

    def read(self, ids: Sequence[str], *, full: bool = False) -> tuple[v.Record | None, ...]:
        """The records of messages; payload, headers and edges only with `full`."""
        if not ids:
            return ()
        reply = self._look("read", "1" if full else "", *ids)
        return tuple(
            records.parse_record(i, packed, apart, full=full)
            for i, (packed, apart) in zip(ids, records.by(reply, 2), strict=True)
        )

    def wait(
        self, seen: dict[str, int], timeout: float, *, ended: bool = False, wake_fd: int = -1
    ) -> bool:
        """Block until one of these messages may have another version than seen, or has ended."""
        with translated(self.location):
            return self._waiting.for_change(seen, timeout, ended=ended, wake_fd=wake_fd)

    def read_ended(self, message_id: str, timeout: float) -> v.Record | None:
        """Block until a message has ended, and give its record, as it was when it ended.

        Reading and subscribing take one round trip, and the notification has the record with it.
        """
        packed = self._repeat(True, self._waiting.for_end, message_id, timeout, self._command_of)
        if packed is True:
            return self.read([message_id])[0]
        return records.parse_record(message_id, packed, None, full=False)

    def counts(self) -> v.Counts:
        """How many messages stand where."""
        return records.parse_counts(self._look("counts"))

    def sessions(self) -> tuple[v.SessionInfo, ...]:
        """The sessions that are known, lapsed ones not yet reaped included."""
        reply = self._read("sessions", self.options.max_rows)
        found = (records.parse_info(*row) for row in records.by(reply, 4))
        return tuple(sorted(found, key=lambda s: s.id))

    def locks(self, name: str | None = None, *, users: bool = False) -> tuple[v.LockInfo, ...]:
        """The once-locks that are held, and who is parked behind them; any lock by its name."""
        names = () if name is None else (name,)
        held = records.parse_locks(self._read("locks", self._now(), self.options.max_rows, *names))
        return (*held, *self._user_locks({lock.name for lock in held})) if users else held

    def _user_locks(self, listed: set[str]) -> Iterator[v.LockInfo]:
        """The locks of the package `locks` in this namespace, but for those listed already."""
        with translated(self.location):
            held = inspect(self._server.client, namespace=self.options.namespace)
        for lock in held:
            if lock.kind == "lock" and lock.name not in listed:
                yield v.LockInfo(
                    name=lock.name,
                    owner=lock.owner,
                    fence=lock.fence,
                    since_ms=round(lock.since.timestamp() * 1000),
                    until_ms=round(lock.until.timestamp() * 1000) if lock.until else 0,
                )

    def entries(self) -> tuple[v.Entry, ...]:
        """All schedule entries by name."""
        version, *rows = self._read("entries")
        self._entries_version = int(version or 0)
        found = (schedules.parse_entry(*row) for row in records.by(rows, 3))
        return tuple(sorted(found, key=lambda e: e.name))

    _entries_version: int | None = None

    def wait_for_entries(self, timeout: float, wake_fd: int = -1) -> bool:
        """Block until an entry may have been changed by someone, for at most `timeout` seconds."""
        name = f"{self._key}entriesversion"

        def changed() -> bool:
            seen, self._entries_version = (
                self._entries_version,
                int(self._command("GET", name) or 0),
            )
            return seen is not None and seen != self._entries_version

        channel = keys.entries_channel(self.options.namespace)
        with translated(self.location):
            return self._waiting.on_channels([channel], changed, timeout, wake_fd)

    def audit(self, query: v.AuditQuery) -> tuple[v.AuditRow, ...]:
        """Read the audit trail, page by page, keeping what is asked for."""
        limit = min(query.limit, self.options.max_rows)
        after = "" if query.after is None else schedules.stream_id(query.after)
        rows = (schedules.parse_audit_row(*row) for row in self._trail(query.id, after))
        return tuple(itertools.islice((r for r in rows if _row_wanted(r, query)), limit))

    def audit_cut(self, message_id: str) -> v.AuditCut:
        """What the trail has lost of a message, and of all."""
        rows, until = self._command("HMGET", f"{self._key}auditcut", message_id, "")
        return v.AuditCut(rows=int(rows or 0), until_ms=int(until or 0))

    def _trail(self, message_id: str | None, after: str) -> Iterator[Sequence[Any]]:
        """Rows as the server has them: all after one, or those of a message, and some others."""
        if message_id is None:
            yield from self._pages("", after, PAGE)
            return
        for row in self._pages("", after, 1):  # the oldest may be in no list
            if schedules.is_indexed(row[1]):
                break
            yield row
        yield from self._pages(message_id, after, PAGE)

    def _pages(self, message_id: str, after: str, size: int) -> Iterator[Sequence[Any]]:
        while True:
            page = self._read("audit", message_id, after, size)
            yield from (row for row in records.by(page, 3) if row[1])
            if len(page) < 3 * size:
                return
            after, size = page[-3].decode(), PAGE

    # Lists of records

    def find(self, query: v.MessageQuery) -> tuple[v.Record, ...]:
        """List records."""
        limit = min(query.limit, self.options.max_rows)
        found: list[str] = []
        for message_id, packed in self._candidates(query):
            if len(found) >= limit:
                break
            if packed and _wanted(packed, query):
                found.append(message_id.decode())
        return tuple(r for r in self.read(found) if r is not None)

    def _candidates(self, query: v.MessageQuery) -> Iterator[Sequence[Any]]:
        """Records of the places where those that are asked for may stand, after `query.after`."""
        places, start, rank = self._places(query)
        for place in places[start:]:
            offset = rank + 1 if place == places[start] else 0
            while True:
                page = self._read("find", place, offset, PAGE)
                yield from records.by(page, 2)
                offset += PAGE
                if len(page) < 2 * PAGE:
                    break

    def _places(self, query: v.MessageQuery) -> tuple[list[str], int, int]:
        """The sorted sets to look at, from which one on, and after which rank there."""
        place, rank, *rest = self._look("locate", query.after or "")
        names = [name.decode() for name in rest]
        middle = names.index("")
        queues = sorted(n.partition(":")[2] for n in names[middle + 1 :] if n.startswith("queued:"))
        by_state = {
            State.RUNNING: [f"claims:{s}" for s in names[:middle] if query.session in {None, s}],
            State.QUEUED: [f"q:{q}" for q in queues if query.queue in {None, q}],
            State.SCHEDULED: ["scheduled"],
            State.WAITING: ["waiting"],
        } | {state: [f"ended:{state}"] for state in sorted(FINAL_STATES)}
        if query.dead:
            by_state = {State.FAILED: ["dead"]}
        states = [s for s in by_state if query.state in {None, s}]
        places = [name for s in states for name in by_state[s]]
        after = place.decode()
        if query.dead and after == "ended:failed":
            after = "dead"
            rank = self._command("ZRANK", f"{self._key}dead", query.after) or 0
        if after in places:
            return places, places.index(after), rank
        return places, 0 if query.after is None else len(places), -1


def _row_wanted(row: v.AuditRow, query: v.AuditQuery) -> bool:
    return (
        query.id in {None, row.id}
        and query.event in {None, row.event}
        and (query.since_ms is None or row.at_ms >= query.since_ms)
    )


def _wanted(packed: bytes, query: v.MessageQuery) -> bool:
    try:
        record = fast_path.open_record(packed)
    except records.NOT_DECODED:
        return query.queue is None and query.task is None and query.root_id is None
    c, m = record.c, record.m
    return (
        query.state in {None, c.state}
        and query.queue in {None, c.queue}
        and query.task in {None, m.task}
        and query.root_id in {None, m.root_id}
        and (query.session is None or query.session == c.session)
        and (not query.dead or c.state == State.FAILED)
    )
