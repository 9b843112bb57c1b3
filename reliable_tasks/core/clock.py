"""The only place that reads the clocks of this machine.

Decisions never call these: a shell reads the clock once and passes the time in. Wall time is in
milliseconds since the epoch (`now_ms`); durations within one process are measured with `monotonic`.
The stores have a clock of their own (the server's for Redis), and leases are measured with that.
"""

import datetime as dt
import functools
import time as _time

__all__ = ["iso", "monotonic", "now_ms", "sleep", "utcnow"]

monotonic = _time.monotonic
sleep = _time.sleep


def now_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return _time.time_ns() // 1_000_000


def utcnow() -> dt.datetime:
    """The present instant, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


def iso(ms: int) -> str:
    """An instant as people and programs read it: ISO 8601, UTC, milliseconds."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@functools.lru_cache(maxsize=4)  # the lines of a log come many to a second
def _second(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
