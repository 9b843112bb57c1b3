"""How much is run of everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .systems import System

__all__ = ["BRIEF", "FULL", "QUICK", "WARM", "Scale"]

WARM = 20
"""Messages that are run first, so that connections, scripts and caches are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is run.

    Attributes:
        seconds: how long a drain is to take, by the system's expected pace.
        sent: messages of an enqueue one by one, at most.
        width: coroutines that call side by side.
        lone: messages of a latency, at most.
        lone_s: and how long they may take.
        due: messages with an eta.
        memory: messages after which memory is looked at again, at most.
        memory_s: and how long running them may take.
        lasting: messages after which memory is looked at to see whether it grows.
        chord: parts of a chord.
        backlogs: how many messages wait.
        scheduled: how many are not due while others run; 0 leaves it out.
        workers: numbers of processes.
        least: the fewest messages of any run.
        growth: where growth begins, by what grows; the fleet's idle workers, entries of a schedule,
            bytes of a value, and else messages.
        idle_s: how long an idle fleet is looked at.
    """

    seconds: float = 4.0
    sent: int = 5_000
    width: int = 64
    lone: int = 300
    lone_s: float = 20.0
    due: int = 80
    memory: int = 100_000
    memory_s: float = 20.0
    lasting: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    chord: int = 10_000
    backlogs: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    scheduled: int = 1_000_000
    workers: tuple[int, ...] = (1, 2, 4, 8)
    least: int = 500
    growth: dict[str, int] = field(
        default_factory=lambda: {
            "fleet": 10,
            "backlog": 1_000,
            "locks": 1_000,
            "schedule": 100,
            "values": 1_000,
        }
    )
    idle_s: float = 15.0

    def drained(self, system: System) -> int:
        """Messages of a drain."""
        return max(self.least, int(system.pace * self.seconds))


FULL = Scale()
BRIEF = Scale(
    seconds=1.5,
    sent=2_000,
    lone=120,
    lone_s=4.0,
    due=30,
    memory_s=3.0,
    lasting=(10_000, 100_000),
    chord=2_000,
    backlogs=(1_000, 200_000),
    scheduled=0,
    workers=(1, 2, 4),
)
QUICK = Scale(
    seconds=0.1,
    sent=50,
    width=8,
    lone=5,
    due=3,
    memory=200,
    memory_s=1.0,
    lasting=(100, 200),
    chord=50,
    backlogs=(200, 1_000),
    scheduled=1_000,
    workers=(1, 2),
    least=100,
    growth={"backlog": 100, "locks": 10, "schedule": 2, "values": 100},
)
