"""The verbs that wait."""

import contextlib
import math
from typing import Final

from reliable_tasks.core.clock import monotonic
from reliable_tasks.core.message import FINAL_STATES
from reliable_tasks.core.waiting import UNHURRIED_PAUSE_S, wait_until
from reliable_tasks.errors import StoreBusy
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.exchange import exchange
from reliable_tasks.store.sqlite.transacting import Transacting

__all__ = ["LONGEST_WAIT_S", "Waits"]

LONGEST_WAIT_S = 1.0
BUSY_PAUSE_S: Final = 0.002
BUSY_TRIES: Final = 10


class Waits(Transacting):
    """What blocks until there is something."""

    def wait_then_claim(
        self, session: str, want: v.ClaimRequest, timeout: float, wake_fd: int = -1
    ) -> v.Exchange:
        """Block until one of the queues has something or something is due, and claim it.

        Many may be woken by one message. Whoever finds another one writing lets that one claim it,
        and looks again a little later instead of standing in the way of its commit.
        """
        claimed: v.Exchange | None = None
        look_at = math.inf
        tries = 0

        def look() -> bool:
            nonlocal claimed, look_at, tries
            queued, due = self._glance(lambda reader: reader.waiting(list(want.queues)))
            now = monotonic()
            look_at = math.inf if due is None else now + (due - self._clock()) / 1000
            if queued or look_at <= now:
                tries += 1
                claimed = self._claim(session, want, patiently=tries > BUSY_TRIES)
                look_at = now + BUSY_PAUSE_S
            return claimed is not None

        changed, watches = self._database.changed(), self._news.of_work
        wait_until(look, changed, timeout, watches, wake_fd, lambda: look_at - monotonic())
        return claimed or self._write(exchange, session, (), want)

    def _claim(self, session: str, want: v.ClaimRequest, *, patiently: bool) -> v.Exchange | None:
        """Claim; None if another process writes just now."""
        if patiently:
            return self._write(exchange, session, (), want)
        with contextlib.suppress(StoreBusy):
            return self._write_by(self._database.write_if_free, exchange, session, (), want)
        return None

    def wait(
        self, seen: dict[str, int], timeout: float, *, ended: bool = False, wake_fd: int = -1
    ) -> bool:
        """Block until one of these messages has another version than the one seen, or has ended."""

        def look() -> bool:
            if ended:
                found = self._read(lambda reader: reader.read([*seen], full=False))
                return any(r is not None and r.state in FINAL_STATES for r in found)
            versions = self._glance(lambda reader: reader.versions(list(seen)))
            return any(versions.get(i, -1) != version for i, version in seen.items())

        watches = self._news.of_all if -1 in seen.values() else self._news.of_changes
        span_s = min(timeout, LONGEST_WAIT_S)
        return wait_until(look, self._database.changed(), span_s, watches, wake_fd)

    def read_ended(self, message_id: str, timeout: float) -> v.Record | None:
        """Block until a message has ended, and read it."""
        found: v.Record | None = None

        def look() -> bool:
            nonlocal found
            (record,) = self._read(lambda reader: reader.read([message_id], full=False))
            found = record if record is not None and record.state in FINAL_STATES else None
            return found is not None

        span_s = min(timeout, LONGEST_WAIT_S)
        wait_until(look, self._database.changed(), span_s, self._news.of_changes)
        return found

    def wait_for_entries(self, timeout: float, wake_fd: int = -1) -> bool:
        """Block until an entry may have been changed by someone."""
        began = self._entries_version()
        return wait_until(
            lambda: self._entries_version() != began,
            self._database.changed(),
            timeout,
            self._news.of_changes,
            wake_fd,
            longest_pause_s=UNHURRIED_PAUSE_S,
        )

    def _entries_version(self) -> int:
        return self._glance(lambda reader: reader.entries_version())
