"""What is expected of our own rows, whatever the peers' say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .scenarios import Found

__all__ = ["RECOVERY_S", "misses"]

RECOVERY_S = 3.0
"""From the kill of a worker to the first new attempt, on the same host."""


def misses(found: Found) -> list[str]:
    """The goals that a row does not reach, in words."""
    verdict = found.verdict
    slow = [
        s for s in verdict.recovery_s if found.scenario == "kills" and (s is None or s > RECOVERY_S)
    ]
    wrong = {
        f"{verdict.lost} lost": verdict.lost,
        f"{verdict.parked} parked": verdict.parked,
        f"{verdict.twice_unhit} completed twice without having been hit": verdict.twice_unhit,
        f"{len(slow)} recoveries took over {RECOVERY_S:g} s": slow,
        f"{found.overwritten} results overwritten by a zombie": found.overwritten,
        f"{found.restarts} workers ended by themselves": found.restarts,
        "a last message was not run": not found.last_ran,
    }
    return [f"{found.system}, {found.scenario}: {what}" for what, is_so in wrong.items() if is_so]
