"""What is compared: each system, where it keeps its messages, and what it guarantees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BEFORE", "PEERS", "SYSTEMS", "System", "before", "systems_of"]

BEFORE = ", before"
"""At the end of a name: another checkout of this project, measured in the same run."""

PEERS = {
    "celery": ("celery[redis]", "hiredis"),
    "dramatiq": ("dramatiq[redis]", "hiredis"),
    "huey": ("huey", "redis", "hiredis"),
    "taskiq": ("taskiq", "taskiq-redis", "hiredis"),
    "saq": ("saq[redis]", "hiredis", "typing-extensions"),
    "arq": ("arq", "hiredis"),
    "streaq": ("streaq", "coredis"),
    "potatoq": ("potatoq[redis]", "hiredis"),
}
"""What to install for each peer."""


@dataclass(frozen=True, slots=True)
class System:
    """One row of the tables.

    Attributes:
        name: in the tables.
        module: of `benchmarks.peers`.
        store: "redis" or "sqlite".
        pace: messages that two processes are about to run in a second; sizes the runs.
        guarantee: what is promised with these settings when a worker dies.
        variant: passed to the adapter.
        checkout: of this project, where it is not the one that measures.
    """

    name: str
    module: str
    store: str
    pace: int
    guarantee: str
    variant: str = ""
    checkout: Path | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is this project."""
        return self.module == "ours"

    @property
    def is_floor(self) -> bool:
        """Whether it is no task queue but the bare loop."""
        return self.module == "floor"

    @property
    def at_least_once(self) -> bool:
        """Whether a message survives the death of its worker."""
        return not self.is_floor and not self.guarantee.startswith("at most once")


SYSTEMS = (
    System(
        "reliable_tasks, Redis",
        "ours",
        "redis",
        25_000,
        "at least once, one fenced commit of result and state",
    ),
    System(
        "reliable_tasks, SQLite (FULL)",
        "ours",
        "sqlite",
        10_000,
        "at least once, one fenced commit of result and state, on the disk",
    ),
    System("floor, Redis", "floor", "redis", 60_000, "none: the bare claim and commit"),
    System("floor, SQLite (FULL)", "floor", "sqlite", 60_000, "none: the bare claim and commit"),
    System(
        "Celery, acks_late",
        "celery",
        "redis",
        500,
        "at least once (an hour after a death, by default), results apart",
        "acks-late",
    ),
    System("Celery, default", "celery", "redis", 500, "at most once, results apart"),
    System(
        "Dramatiq",
        "dramatiq",
        "redis",
        2_000,
        "at least once (a minute after a death), results apart",
    ),
    System("Huey, Redis", "huey", "redis", 2_500, "at most once"),
    System("Huey, SQLite (FULL)", "huey", "sqlite", 1_500, "at most once"),
    System(
        "taskiq, streams",
        "taskiq",
        "redis",
        2_000,
        "at least once (ten minutes after a death), results apart",
    ),
    System(
        "SAQ",
        "saq",
        "redis",
        2_000,
        "at least once (retries=2, when a sweep finds it stuck), results with the job",
    ),
    System(
        "arq, one process",
        "arq",
        "redis",
        500,
        "at least once (five minutes after a death), results apart",
    ),
    System("streaq", "streaq", "redis", 1_500, "at least once (a minute after a death)"),
    System("potatoq, Redis", "potatoq", "redis", 1_500, "at least once (a minute after a death)"),
    System(
        "potatoq, SQLite (NORMAL)",
        "potatoq",
        "sqlite",
        1_000,
        "at least once (a minute after a death); the last commits may be lost with the machine",
    ),
    System(
        "potatoq, SQLite (FULL)",
        "potatoq",
        "sqlite",
        600,
        "at least once (a minute after a death)",
        "durable",
    ),
)


def before(checkout: Path) -> tuple[System, ...]:
    """Our own rows once more, run by the code of another checkout."""
    ours = [system for system in SYSTEMS if system.is_ours]
    return tuple(replace(s, name=f"{s.name}{BEFORE}", checkout=checkout) for s in ours)


def systems_of(peers: tuple[str, ...], checkout: Path | None = None) -> tuple[System, ...]:
    """Our rows, another checkout's beside them, the floors, and those of the peers asked for."""
    earlier = {s.name: s for s in before(checkout)} if checkout else {}
    found: list[System] = []
    for system in SYSTEMS:
        if system.module in {"ours", "floor", *peers}:
            found.append(system)
            if older := earlier.get(f"{system.name}{BEFORE}"):
                found.append(older)
    return tuple(found)
