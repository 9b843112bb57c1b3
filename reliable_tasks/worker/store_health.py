"""Track whether the store answers a process of the worker, and pause while it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliable_tasks import events
from reliable_tasks.errors import StoreError

if TYPE_CHECKING:
    from reliable_tasks.core.backoff import Backoff

__all__ = ["StoreHealth"]


class StoreHealth:
    """Counts failures in a row, and emits `store.unavailable` and `store.recovered`.

    Args:
        location: of the store, for the log.
        backoff: how long to leave it alone after a failure.

    Attributes:
        pause_s: how long to leave it alone now.
        retry_at: until when that is; 0.0 while it answers.
    """

    def __init__(self, location: str, backoff: Backoff) -> None:
        self._location = location
        self._backoff = backoff
        self._failures = 0
        self._away_since: float | None = None
        self.pause_s = self.retry_at = 0.0

    def failed(self, error: Exception, now: float) -> None:
        """A call has failed; what is not the store's own failure only lengthens the pause."""
        self._failures += 1
        self.pause_s = self._backoff.pause_s(self._failures)
        self.retry_at = now + self.pause_s
        if isinstance(error, StoreError) and self._away_since is None:
            self._away_since = now
            events.emit("store.unavailable", store=self._location, error=str(error))

    def answered(self, now: float) -> None:
        """A call has succeeded."""
        if not self._failures:
            return
        if self._away_since is not None:
            after_s = round(now - self._away_since, 1)
            self._away_since = None
            events.emit("store.recovered", store=self._location, after=after_s)
        self._failures = 0
        self.pause_s = self.retry_at = 0.0
