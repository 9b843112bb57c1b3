"""The verbs that change nothing."""

from collections.abc import Sequence

from reliable_tasks.store import values as v
from reliable_tasks.store.redis import keys
from reliable_tasks.store.redis.codec import records, schedules
from reliable_tasks.store.redis.errors import translated
from reliable_tasks.store.redis.lists import Lists

__all__ = ["Readers"]


class Readers(Lists):
    """The verbs that read, but for those that list."""

    def read(self, ids: Sequence[str], *, full: bool = False) -> tuple[v.Record | None, ...]:
        """The records of messages; payload, headers and edges only with `full`."""
        found: list[v.Record | None] = []
        while len(found) < len(ids):
            some = ids[len(found) : len(found) + self.options.max_batch]
            reply = self._look("read", "1" if full else "", *some)
            found += [
                records.parse_record(i, packed, apart, full=full)
                for i, (packed, apart) in zip(some, records.by(reply, 2), strict=False)
            ]
        return tuple(found)

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

    def audit_cut(self, message_id: str) -> v.AuditCut:
        """What the trail has lost of a message, and of all."""
        rows, until = self._command("HMGET", f"{self._key}auditcut", message_id, "")
        return v.AuditCut(rows=int(rows or 0), until_ms=int(until or 0))
