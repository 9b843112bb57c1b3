"""What is done to a soak, and when: a plan that follows from its seed alone.

Two lanes run beside each other, one of processes and one of the store, so that a worker may be
stopped while the network is cut. Within a lane one fault ends before the next begins. Each lane
deals its kinds like cards, so all of them have come before one comes again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["LEASE_S", "PROCESS", "STORE", "Fault", "make_plan"]

LEASE_S = 4.0
"""How long a silent worker keeps its messages: short, so that it is often exceeded."""

# Each kind, and how long it lasts at least and at most, in seconds.
Kinds = dict[str, tuple[float, float]]

PROCESS: Kinds = {
    "kill child": (0.0, 0.0),
    "kill supervisor": (0.0, 0.0),
    "kill tree": (0.0, 0.0),
    "kill beat": (0.0, 0.0),
    "kill producer": (0.0, 0.0),
    "stop tree": (0.5, LEASE_S + 3.0),
    "stop tree beyond the lease": (LEASE_S + 0.5, LEASE_S + 4.0),
    "stop child": (0.5, LEASE_S + 3.0),
    "stop supervisor": (LEASE_S - 1.0, LEASE_S + 3.0),
    "deploy": (0.0, 0.0),
}
"""What is done to workers, beats and producers."""

STORE: Mapping[str, Kinds] = {
    "sqlite": {
        "fill the disk": (1.0, 5.0),
        "lock the database": (0.5, LEASE_S + 2.0),
    },
    "redis": {
        "restart redis": (0.0, 2.0),
        "kill redis": (0.0, 4.0),
        "blackhole": (0.5, LEASE_S + 2.0),
        "slow network": (1.0, 4.0),
        "cut the network": (0.2, 4.0),
        "lose replies": (2.0, 4.0),
        "fill redis": (1.0, 5.0),
    },
}
"""What is done to each kind of store."""

_GAPS = {"process": (0.5, 3.0), "store": (1.0, 5.0)}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is done to the soak.

    Attributes:
        at_s: when, in seconds after the start.
        seconds: how long it lasts; 0 for what is done at once.
        kind: one of `PROCESS` or `STORE`.
        dice: chooses the victim among those that are there.
    """

    at_s: float
    seconds: float
    kind: str
    dice: int

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind}{lasting}"


def make_plan(seed: int, seconds: float, store: str) -> list[Fault]:
    """The faults of a soak, in the order of their times; all have ended when `seconds` are over.

    Args:
        seed: what it follows from, together with the other arguments.
        seconds: how long the soak is.
        store: "sqlite" or "redis".
    """
    faults = [
        *_lane(random.Random(f"{seed} process"), seconds, PROCESS, _GAPS["process"]),
        *_lane(random.Random(f"{seed} {store}"), seconds, STORE[store], _GAPS["store"]),
    ]
    return sorted(faults, key=lambda fault: fault.at_s)


def _lane(
    dice: random.Random, seconds: float, kinds: Kinds, gap: tuple[float, float]
) -> Iterator[Fault]:
    at_s = 0.0
    while True:
        for kind in dice.sample(sorted(kinds), len(kinds)):
            at_s = round(at_s + dice.uniform(*gap), 2)
            lasts = round(dice.uniform(*kinds[kind]), 2)
            if at_s + lasts > seconds:
                return
            yield Fault(at_s, lasts, kind, dice.randrange(1 << 16))
            at_s += lasts
