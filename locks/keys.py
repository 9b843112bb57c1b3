"""Every Redis key of a lock, one function each, and how names are spelt in SQLite.

All keys of a namespace carry it as their hash tag, so that in a cluster they live together and a
script may touch them all while it declares one key, `prefix(namespace)`, from which it builds them
exactly as these functions do.

    {ns}:lock:<name>       hash    owner, fence, since, until: a lock's record; gone at `until`
    {ns}:sem:<name>        zset    owner -> until: a semaphore's leases
    {ns}:semdata:<name>    hash    owner -> "<fence> <since>"
    {ns}:fence             string  the counter of fencing numbers; never expires
    {ns}:lockwake:<name>   list    at most one marker: "try again"; lapses in seconds
    {ns}:lockwait:<name>   zset    who waits -> until when he is believed to; lapses
    {ns}:semwake:<name>    list    as lockwake, at most one marker for each free place
    {ns}:semwait:<name>    zset    as lockwait
    {ns}:lockfreed:<owner> string  a release that was applied, for who lost its reply; lapses
"""

from typing import Final

from locks._ops import is_text
from locks.errors import LockError

__all__ = [
    "fence",
    "freed",
    "lock",
    "pattern",
    "prefix",
    "semaphore",
    "semaphore_data",
    "sqlite_name",
    "waiters",
    "wake",
]

_SHORT: Final = {"lock": "lock", "semaphore": "sem"}


def prefix(namespace: str) -> str:
    """What every key of the namespace begins with; declared as the one key of each script."""
    if not isinstance(namespace, str) or not namespace or "{" in namespace or "}" in namespace:
        raise LockError(f"namespace {namespace!r} must be a non-empty string without braces")
    if not is_text(namespace):
        raise LockError(f"namespace {namespace!r} has half of a character in it; no store keeps it")
    return f"{{{namespace}}}:"


def pattern(beginning: str) -> str:
    """A glob pattern for every key that begins so."""
    escaped = "".join(f"\\{letter}" if letter in "*?[]^\\" else letter for letter in beginning)
    return f"{escaped}*"


def fence(namespace: str) -> str:
    """The counter of fencing numbers."""
    return f"{prefix(namespace)}fence"


def lock(namespace: str, name: str) -> str:
    """The record of a lock."""
    return f"{prefix(namespace)}lock:{name}"


def semaphore(namespace: str, name: str) -> str:
    """The leases of a semaphore by the time they end."""
    return f"{prefix(namespace)}sem:{name}"


def semaphore_data(namespace: str, name: str) -> str:
    """The fencing number and beginning of each lease of a semaphore."""
    return f"{prefix(namespace)}semdata:{name}"


def wake(namespace: str, kind: str, name: str) -> str:
    """The list on which those block who wait for the lock or semaphore."""
    return f"{prefix(namespace)}{_SHORT[kind]}wake:{name}"


def waiters(namespace: str, kind: str, name: str) -> str:
    """Who waits for the lock or semaphore."""
    return f"{prefix(namespace)}{_SHORT[kind]}wait:{name}"


def freed(namespace: str, owner: str) -> str:
    """The trace of a release."""
    return f"{prefix(namespace)}lockfreed:{owner}"


def sqlite_name(namespace: str, name: str) -> str:
    """The name as SQLite's tables have it: several namespaces share one file."""
    return f"{namespace}:{name}"
