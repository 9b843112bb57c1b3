"""What happens in a world, and when: a list of steps that can be kept, and cut short.

Each step throws dice of its own, so that leaving one out changes nothing of what the others are:
that is how a failing world is shrunk, and why a shrunk one can be kept as a regression.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "CHANCES",
    "SLACK_MS",
    "START_MS",
    "Schedule",
    "Step",
    "schedule_of",
    "seconds",
    "shortest",
]

START_MS = 1_000_000
"""What the virtual clock shows when a world begins."""

SLACK_MS = 1_800
"""Two of the longest steps of a world that comes to rest: how late a process may be."""

CHANCES = {
    "work": 826,
    "produce": 100,
    "beat": 20,
    "arrive": 15,
    "kill": 6,
    "revoke": 6,
    "freeze": 5,
    "deploy": 5,
    "operate": 5,
    "pause": 3,
    "restart": 3,
    "stall": 3,
    "wedge": 3,
}
"""How often each thing happens, in a thousand steps. `World` has a method for each."""

_PAUSES_MS = (0, 0, 1, 1, 7, 40, 300)


def seconds(at_ms: int) -> str:
    """An instant of the virtual clock, as timelines show it."""
    return f"{(at_ms - START_MS) / 1000:.3f}"


class Step(NamedTuple):
    """After a pause, one thing happens; the number decides all that is left open."""

    pause_ms: int
    what: str
    dice: int


class Schedule(NamedTuple):
    """A world: its seed decides how it begins."""

    seed: int
    steps: tuple[Step, ...]


def schedule_of(seed: int, length: int = 400) -> Schedule:
    """The schedule that follows from a seed."""
    rng = random.Random(seed)
    whats = rng.choices(list(CHANCES), list(CHANCES.values()), k=length)
    pauses = rng.choices(_PAUSES_MS, k=length)
    steps = zip(pauses, whats, (rng.getrandbits(32) for _ in whats), strict=True)
    return Schedule(seed, tuple(Step(*step) for step in steps))


def shortest(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Leave out steps, many at a time and then few, for as long as it still fails."""
    steps: Sequence[Step] = schedule.steps
    size = max(1, len(steps) // 2)
    while True:
        at, before = 0, len(steps)
        while at < len(steps):
            fewer = (*steps[:at], *steps[at + size :])
            if fails(Schedule(schedule.seed, fewer)):
                steps = fewer
            else:
                at += size
        if size > 1:
            size //= 2
        elif len(steps) == before:  # to leave out a later step may have made an earlier one useless
            return Schedule(schedule.seed, tuple(steps))
