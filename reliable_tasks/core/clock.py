"""The only module that reads this machine's clocks.

Code that decides never calls it: its caller reads the clock once and passes the time in. Wall time
is in milliseconds since the epoch (`now_ms`); durations within a process are measured with
`monotonic`. Stores have a clock of their own (the server's for Redis), which leases go by.
"""

import datetime as dt
import functools
import time as _time

__all__ = ["iso", "moment", "monotonic", "now_ms", "sleep", "utcnow"]

monotonic = _time.monotonic
sleep = _time.sleep


def now_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return _time.time_ns() // 1_000_000


def utcnow() -> dt.datetime:
    """The present instant, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


def moment(ms: int | None) -> dt.datetime | None:
    """An instant that a store has noted, aware, in UTC; None if there was none."""
    return None if ms is None else dt.datetime.fromtimestamp(ms / 1000, dt.UTC)


def iso(ms: int) -> str:
    """An instant as people and programs read it: ISO 8601, UTC, milliseconds."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@functools.lru_cache(maxsize=4)  # the lines of a log come many to a second
def _second(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
