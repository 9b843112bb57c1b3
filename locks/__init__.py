"""Distributed locks and semaphores on Redis or SQLite, with fencing numbers and renewal.

    from locks import Lock

    with Lock("report", redis.Redis(), ttl=timedelta(seconds=30)) as lease:
        write(report, fence=lease.fence)

The package stands alone. `Lock` and `Semaphore` take a redis-py client or the path of an SQLite
file; `AsyncLock` and `AsyncSemaphore` a client of redis.asyncio or a path.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from locks._async import AsyncLock, AsyncSemaphore
    from locks._ops import LockInfo
    from locks._sync import Lock, Semaphore
    from locks.errors import AlreadyHeld, LeaseLost, LockError, LockStoreError, LockTimeout, NotHeld
    from locks.inspection import free, inspect
    from locks.lease import AsyncLease, Lease

__all__ = [
    "AlreadyHeld",
    "AsyncLease",
    "AsyncLock",
    "AsyncSemaphore",
    "Lease",
    "LeaseLost",
    "Lock",
    "LockError",
    "LockInfo",
    "LockStoreError",
    "LockTimeout",
    "NotHeld",
    "Semaphore",
    "free",
    "inspect",
]

_HOMES = {
    "AlreadyHeld": "errors",
    "AsyncLease": "lease",
    "AsyncLock": "_async",
    "AsyncSemaphore": "_async",
    "Lease": "lease",
    "LeaseLost": "errors",
    "Lock": "_sync",
    "LockError": "errors",
    "LockInfo": "_ops",
    "LockStoreError": "errors",
    "LockTimeout": "errors",
    "NotHeld": "errors",
    "Semaphore": "_sync",
    "free": "inspection",
    "inspect": "inspection",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for, when it is: who takes a part of the package need not load it all."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
