"""Distributed locks and semaphores on Redis or SQLite, with fencing numbers and renewal.

    from locks import Lock

    with Lock("report", redis.Redis(), ttl=timedelta(seconds=30)) as lease:
        write(report, fence=lease.fence)

The package stands alone. `Lock` and `Semaphore` take a redis-py client or the path of an SQLite
file; `AsyncLock` and `AsyncSemaphore` a client of redis.asyncio or a path.
"""

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
