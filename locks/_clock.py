"""The only place of this package that reads clocks or makes owner tokens.

Wall time is in milliseconds since the epoch; what passes within this process is measured with
`monotonic`, in seconds. On Redis the server's clock decides, on SQLite this machine's.
"""

import datetime as dt
import secrets
import time

__all__ = ["from_ms", "monotonic", "new_owner", "now_ms", "sleep"]

monotonic = time.monotonic
sleep = time.sleep


def now_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return time.time_ns() // 1_000_000


def from_ms(instant_ms: int) -> dt.datetime:
    """The instant as an aware datetime in UTC."""
    return dt.datetime.fromtimestamp(instant_ms / 1000, dt.UTC)


def new_owner() -> str:
    """A token that no other acquisition has."""
    return secrets.token_hex(16)
