"""The only place that reads the clocks of this machine.

Decisions never call these: a shell reads the clock once and passes the time in. Wall time is in
milliseconds since the epoch (`now_ms`); durations within one process are measured with `monotonic`.
The stores have a clock of their own (the server's for Redis), and leases are measured with that.
"""

import datetime as dt
import time as _time

__all__ = ["monotonic", "now_ms", "sleep", "utcnow"]

monotonic = _time.monotonic
sleep = _time.sleep


def now_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return _time.time_ns() // 1_000_000


def utcnow() -> dt.datetime:
    """The present instant, aware, in UTC."""
    return dt.datetime.now(dt.UTC)
