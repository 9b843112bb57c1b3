"""What is compared: each system, where it keeps its messages, and what it guarantees."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PEERS", "SYSTEMS", "System", "systems_of"]

PEERS = {
    "celery": ("celery[redis]", "hiredis"),
    "dramatiq": ("dramatiq[redis]", "hiredis"),
    "huey": ("huey", "redis", "hiredis"),
    "taskiq": ("taskiq", "taskiq-redis", "hiredis"),
    "saq": ("saq[redis]", "hiredis", "typing-extensions"),
    "arq": ("arq", "hiredis"),
    "streaq": ("streaq", "coredis"),
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
    """

    name: str
    module: str
    store: str
    pace: int
    guarantee: str
    variant: str = ""

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
        "reliable_tasks, SQLite",
        "ours",
        "sqlite",
        10_000,
        "at least once, one fenced commit of result and state, on the disk (FULL)",
    ),
    System("floor, Redis", "floor", "redis", 60_000, "none: the bare claim and commit"),
    System("floor, SQLite", "floor", "sqlite", 60_000, "none: the bare claim and commit (FULL)"),
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
    System("Huey, SQLite", "huey", "sqlite", 1_500, "at most once (FULL)"),
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
)


def systems_of(peers: tuple[str, ...]) -> tuple[System, ...]:
    """Our own rows, the floors, and those of the peers that were asked for."""
    return tuple(s for s in SYSTEMS if s.module in {"ours", "floor", *peers})
