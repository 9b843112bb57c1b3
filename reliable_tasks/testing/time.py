"""Virtual time: it stands still until a test advances it."""

from __future__ import annotations

import datetime as dt

from reliable_tasks.core import clock

__all__ = ["VirtualTime"]


class VirtualTime:
    """The clock of a store in a test: it stands still until the test advances it.

    Args:
        start: where it stands at first; the present by default, so that an `eta` that a test works
            out from the real time means what it says.
    """

    def __init__(self, start: dt.datetime | None = None) -> None:
        self._now_ms = clock.now_ms() if start is None else round(start.timestamp() * 1000)

    def __call__(self) -> int:
        """Milliseconds since the epoch, as stores ask for them."""
        return self._now_ms

    @property
    def now(self) -> dt.datetime:
        """The instant, aware, in UTC."""
        return dt.datetime.fromtimestamp(self._now_ms / 1000, dt.UTC)

    def monotonic(self) -> float:
        """The same as seconds, for what measures durations."""
        return self._now_ms / 1000

    def advance(self, by: float | dt.timedelta) -> dt.datetime:
        """Let time pass: seconds, or a timedelta. Returns the new instant.

        Raises:
            ValueError: it would pass backwards.
        """
        seconds = by.total_seconds() if isinstance(by, dt.timedelta) else by
        if seconds < 0:
            raise ValueError(f"time does not pass backwards: advance({by!r})")
        self._now_ms += round(seconds * 1000)
        return self.now

    def advance_to_ms(self, instant_ms: int) -> None:
        """Let time pass until an instant, if that is still to come."""
        self._now_ms = max(self._now_ms, instant_ms)
