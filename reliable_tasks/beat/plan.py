"""Which slots of an entry are due, and what its `catch_up` does about missed ones."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Literal, get_args

from reliable_tasks.beat.schedules import BaseSchedule
from reliable_tasks.beat.zones import EPOCH, from_ms, to_ms
from reliable_tasks.errors import ConfigError, suggest

__all__ = [
    "DEFAULT_GRACE_MS",
    "MISSED_LIMIT",
    "CatchUp",
    "DuePlan",
    "due_slots",
    "first_slot",
    "jittered",
]

CatchUp = Literal["skip", "one", "all"]

DEFAULT_GRACE_MS = 60_000
"""How late a slot may be fired under `catch_up="skip"`."""

MISSED_LIMIT = 1000
"""Missed slots are counted up to this: an entry that fires each second may miss millions."""

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class DuePlan:
    """What to do about an entry now.

    Attributes:
        fire: the planned times to send a message for, in milliseconds since the epoch, oldest
            first.
        next_slot_ms: the entry's next slot; None: none is left. It is due already if `all` had more
            slots than the limit allowed.
        missed: how many due slots are passed over, counted up to `MISSED_LIMIT`.
    """

    fire: tuple[int, ...]
    next_slot_ms: int | None
    missed: int


@dataclass(frozen=True, slots=True)
class _Slots:
    """The slots of an entry, in milliseconds, between the first and the last it may fire."""

    schedule: BaseSchedule
    zone: tzinfo
    anchor: datetime | None
    start_ms: int | None
    end_ms: int | None

    def after(self, moment_ms: int) -> int | None:
        """Return the first slot after `moment_ms`."""
        low = moment_ms if self.start_ms is None else max(moment_ms, self.start_ms - 1)
        slot = self.schedule.next_slot(from_ms(low), self.zone, self.anchor)
        if slot is None:
            return None
        slot_ms = to_ms(slot)
        return None if self.end_ms is not None and slot_ms > self.end_ms else slot_ms

    def at_or_after(self, slot_ms: int) -> int | None:
        """Return `slot_ms`, which is a slot, if the bounds allow it, else the first they allow."""
        if self.start_ms is not None and slot_ms < self.start_ms:
            return self.after(slot_ms)
        return None if self.end_ms is not None and slot_ms > self.end_ms else slot_ms

    def iterate(self, slot_ms: int, until_ms: int) -> Iterator[int]:
        """Yield the slots from `slot_ms`, which is one, to `until_ms`, both included."""
        slot: int | None = slot_ms
        while slot is not None and slot <= until_ms:
            yield slot
            slot = self.after(slot)

    def latest(self, slot_ms: int, until_ms: int) -> int:
        """Return the last slot from `slot_ms`, which is one, to `until_ms`.

        By bisection: there may be millions of slots in between, but at most some forty steps.
        """
        low, high = slot_ms, until_ms
        while low < high:
            middle = (low + high) // 2
            slot = self.after(middle)
            if slot is not None and slot <= until_ms:
                low = slot
            else:
                high = middle
        return low


def first_slot(
    schedule: BaseSchedule,
    *,
    now_ms: int,
    tz: tzinfo,
    anchor: datetime | None = None,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
) -> int | None:
    """Return the slot that a new entry starts with, after `now_ms`; None: it has none.

    The arguments are those of `due_slots`.
    """
    return _slots(schedule, tz, anchor, start_at, end_at).after(now_ms)


def due_slots(
    schedule: BaseSchedule,
    *,
    next_slot_ms: int | None,
    now_ms: int,
    policy: CatchUp,
    limit: int,
    tz: tzinfo,
    anchor: datetime | None = None,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    grace_ms: int = DEFAULT_GRACE_MS,
) -> DuePlan:
    """Return which slots to fire now, and the slot after them.

    The due slots are those from `next_slot_ms` to `now_ms`. Of them

    - `skip` fires the latest if it is no older than `grace_ms`, and passes over the others;
    - `one` fires the latest, however old, and passes over the others;
    - `all` fires the oldest `limit` and passes over none: what is left stays due for the next call.

    Args:
        schedule: of the entry.
        next_slot_ms: the entry's next slot as it is stored.
        now_ms: the present instant.
        policy: the entry's `catch_up`.
        limit: how many slots `all` fires in one call.
        tz: the entry's zone, or the app's.
        anchor: where the grid of an interval starts.
        start_at: earlier slots do not count.
        end_at: later slots do not count.
        grace_ms: how late a slot may be fired under `skip`.

    Raises:
        ConfigError: `policy` is not known, or `limit` is not positive.
    """
    if policy not in get_args(CatchUp):
        known = get_args(CatchUp)
        raise ConfigError(
            f"catch_up={policy!r} is not one of {', '.join(known)}{suggest(str(policy), known)}"
        )
    if limit < 1:
        raise ConfigError(f"catch_up limit={limit} would never fire anything; give 1 or more")
    slots = _slots(schedule, tz, anchor, start_at, end_at)
    first = None if next_slot_ms is None else slots.at_or_after(next_slot_ms)
    if first is None or first > now_ms:
        return DuePlan((), first, 0)
    if policy == "all":
        fire = tuple(itertools.islice(slots.iterate(first, now_ms), limit))
        return DuePlan(fire, slots.after(fire[-1]), 0)
    following = slots.after(first)
    if following is None or following > now_ms:
        latest = first
    else:
        latest = slots.latest(following, now_ms)
        following = slots.after(latest)
    late = policy == "skip" and now_ms - latest > grace_ms
    dropped = slots.iterate(first, latest if late else latest - 1)
    missed = sum(1 for _ in itertools.islice(dropped, MISSED_LIMIT))
    return DuePlan(() if late else (latest,), following, missed)


def jittered(slot_ms: int, entry_name: str, jitter_ms: int) -> int:
    """Return `slot_ms` put off by 0 to `jitter_ms`, the same for this entry and slot everywhere.

    Raises:
        ConfigError: `jitter_ms` is negative.
    """
    if jitter_ms < 0:
        raise ConfigError(f"jitter of {jitter_ms} ms: a slot can only be put off, give 0 or more")
    digest = hashlib.blake2b(f"{slot_ms} {entry_name}".encode(), digest_size=8).digest()
    return slot_ms + int.from_bytes(digest) % (jitter_ms + 1)


def _slots(
    schedule: BaseSchedule,
    zone: tzinfo,
    anchor: datetime | None,
    start_at: datetime | None,
    end_at: datetime | None,
) -> _Slots:
    # Slots are whole milliseconds: the first at or after start_at, the last at or before end_at.
    start_ms = None if start_at is None else -((EPOCH - start_at) // _MILLISECOND)
    return _Slots(schedule, zone, anchor, start_ms, None if end_at is None else to_ms(end_at))
