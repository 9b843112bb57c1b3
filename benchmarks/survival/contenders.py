"""Who is compared: every system with its defaults, and peers that are set to recover quickly."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.systems import System, systems_of

__all__ = ["contenders", "is_quick"]

_QUICKLY = {
    "Celery, acks_late": "Celery, acks_late, visibility_timeout 10 s",
    "Dramatiq": "Dramatiq, heartbeat_timeout 10 s, maintenance_chance 5 %",
    "taskiq, streams": "taskiq, streams, idle_timeout 10 s",
    "SAQ": "SAQ, retries 3, sweep 10 s",
    "arq, one process": "arq, one process, job_timeout 1 s",
    "streaq": "streaq, idle_timeout 10 s",
    "potatoq, Redis": "potatoq, Redis, worker_dead_after 10 s",
    "potatoq, SQLite (NORMAL)": "potatoq, SQLite (NORMAL), worker_dead_after 10 s",
}
"""By its name with defaults, what a peer is set to; its adapter does so."""


def contenders(peers: tuple[str, ...]) -> list[System]:
    """Our own systems, those of the peers that were asked for, and these once more."""
    systems = [system for system in systems_of(peers) if not system.is_floor]
    return systems + [
        replace(system, name=_QUICKLY[system.name], variant=f"{system.variant} quick")
        for system in systems
        if system.name in _QUICKLY
    ]


def is_quick(system: System) -> bool:
    """Whether it is set to recover quickly."""
    return "quick" in system.variant.split()
