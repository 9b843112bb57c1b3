"""Values and decisions that sync and asyncio, Redis and SQLite share. Nothing here does I/O."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from locks.errors import LockError

__all__ = [
    "Busy",
    "Holder",
    "Kind",
    "LockInfo",
    "Options",
    "Subject",
    "Taken",
    "check_subject",
    "held_ttl_ms",
    "is_text",
    "make_options",
    "parse_holders",
    "parse_renewed",
    "parse_taken",
    "positive_ms",
    "renew_pause_s",
    "retry_pause_s",
    "seconds",
    "text",
    "wait_slice_s",
]

Kind = Literal["lock", "semaphore"]

# A waiter is woken by a marker. Should the one who took the marker die of it, the others look again
# after this long by themselves. Shorter than redis-py's default socket timeout of 5 s.
WAIT_SLICE_MS: Final = 2000
LONGEST_NAME: Final = 1024
MILLISECOND: Final = 0.001
LONGEST_DAYS: Final = 36_500
LONGEST_S: Final = LONGEST_DAYS * 24 * 3600


@dataclass(frozen=True, slots=True)
class Subject:
    """What is locked: a lock has room for one holder, a semaphore for `limit`."""

    kind: Kind
    name: str
    limit: int = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """The store gave what was asked; `until_ms` is 0 where it lasts until released."""

    fence: int
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Others have it; the first of them for `free_in_ms` more at most, or until released (None).

    `owner` is the token of a lock's holder; None for a semaphore, which has several.
    """

    free_in_ms: int | None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """One live lease as the store has it; times in ms since the epoch, `until_ms` 0 = no end."""

    owner: str
    fence: int
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class LockInfo:
    """One lease that is held now.

    Attributes:
        name: of the lock or semaphore.
        kind: "lock" or "semaphore".
        owner: the holder's token.
        fence: its fencing number.
        since: when it was taken.
        until: when it ends unless renewed; None = when it is released.
        waiters: how many wait for the lock; None where the store does not know (SQLite).
    """

    name: str
    kind: Kind
    owner: str
    fence: int
    since: dt.datetime
    until: dt.datetime | None
    waiters: int | None


@dataclass(frozen=True, slots=True)
class Options:
    """How leases are held: `ttl_ms` at a time, `max_hold_ms` in all (None = without bound)."""

    ttl_ms: int
    max_hold_ms: int | None
    auto_renew: bool
    on_lost: Callable[[Any], None] | None


def seconds(what: str, duration: dt.timedelta | float) -> float:
    """A duration, given as timedelta or number of seconds, in seconds.

    Raises:
        LockError: it is neither; the message names `what`.
    """
    if isinstance(duration, dt.timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, int | float) or duration != duration:  # noqa: PLR0124 - not a number
        raise LockError(f"{what} is {duration!r}; it must be a timedelta or a number of seconds")
    try:
        return float(duration)
    except OverflowError:  # a whole number has no bounds, and may be too long to be shown
        raise LockError(
            f"{what} is too large a number; it must be at most {LONGEST_DAYS} days"
        ) from None


def positive_ms(what: str, duration: dt.timedelta | float) -> int:
    """A duration in ms; raise LockError naming `what` unless it is a sensible length of time."""
    length = seconds(what, duration)
    if not MILLISECOND <= length <= LONGEST_S:
        raise LockError(
            f"{what} is {duration!r}; it must be finite, at least a millisecond and at most "
            f"{LONGEST_DAYS} days"
        )
    return int(length * 1000)


def make_options(
    ttl: dt.timedelta | float,
    max_hold: dt.timedelta | float | None,
    *,
    auto_renew: bool,
    on_lost: Callable[[Any], None] | None,
) -> Options:
    """Check the options of a lock; raise LockError naming the one that is not valid."""
    if on_lost is not None and not callable(on_lost):
        raise LockError(f"on_lost is {on_lost!r}; it must be a function that takes the lease")
    max_hold_ms = None if max_hold is None else positive_ms("max_hold", max_hold)
    return Options(positive_ms("ttl", ttl), max_hold_ms, auto_renew, on_lost)


def check_subject(kind: Kind, name: str, limit: int) -> Subject:
    """Check name and limit; raise LockError naming what is not valid."""
    if kind not in get_args(Kind):
        raise LockError(f"kind is {kind!r}; it must be one of {', '.join(get_args(Kind))}")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise LockError(f"the name {name!r} must be a string of 1 to {LONGEST_NAME} characters")
    if not is_text(name):
        raise LockError(f"the name {name!r} has half of a character in it, which no store can keep")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise LockError(f"limit is {limit!r}; it must be an integer, and at least one place")
    return Subject(kind, name, limit)


def held_ttl_ms(options: Options, held_ms: int, ttl_ms: int | None = None) -> int:
    """For how long to hold from now, having held for `held_ms`; 0 where max_hold is used up."""
    wanted = options.ttl_ms if ttl_ms is None else ttl_ms
    if options.max_hold_ms is None:
        return wanted
    return max(0, min(wanted, options.max_hold_ms - held_ms))


def renew_pause_s(options: Options) -> float:
    """How long after a renewal the next one is due: two may fail before the lease ends."""
    return options.ttl_ms / 3000


def retry_pause_s(options: Options) -> float:
    """How long after a failed renewal to try again."""
    return min(1.0, options.ttl_ms / 10_000)


def wait_slice_s(busy: Busy, remaining_s: float | None) -> float:
    """How long to block before looking again: to the first of holder's end, own deadline, slice."""
    slice_s = WAIT_SLICE_MS / 1000
    if busy.free_in_ms is not None:
        slice_s = min(slice_s, max(busy.free_in_ms, 1) / 1000)
    if remaining_s is not None:
        slice_s = min(slice_s, remaining_s)
    return max(slice_s, 0.001)


def parse_taken(reply: Sequence[Any]) -> Taken | Busy:
    """Read the reply of lock_acquire.lua and semaphore_acquire.lua."""
    if int(reply[0]) == 1:
        return Taken(int(reply[1]), int(reply[2]), int(reply[3]))
    free_in = int(reply[1])
    owner = text(reply[2]) if len(reply) > 2 else None  # noqa: PLR2004 - the last part
    return Busy(None if free_in < 0 else free_in, owner)


def parse_renewed(reply: Sequence[Any]) -> int | None:
    """Read the reply of lock_renew.lua and semaphore_renew.lua."""
    return int(reply[0]) if reply else None


def parse_holders(reply: Sequence[Any]) -> tuple[int, list[Holder]]:
    """Read the reply of lock_read.lua and semaphore_read.lua: who waits, who holds."""
    rows = [reply[start : start + 4] for start in range(1, len(reply), 4)]
    holders = [Holder(text(row[0]), int(row[1]), int(row[2]), int(row[3])) for row in rows]
    return int(reply[0]), holders


def is_text(value: str) -> bool:
    """Whether it can be written down: a lone surrogate cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def text(value: bytes | str) -> str:
    """A reply's string, whether or not the client decodes."""
    return value.decode() if isinstance(value, bytes) else value
