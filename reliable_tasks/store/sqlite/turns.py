"""What one process does for all, and whose turn it is.

Most who ask have no turn, and one who is alone needs none: they look, and write nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.statements import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reliable_tasks.store.sqlite.transitions import Transitions

__all__ = ["look", "take"]

TURNS_FREE: Final = load("turns/which_are_free")
TURN_PUT: Final = load("turns/put")
TURNS_FORGET: Final = load("turns/forget")
BESIDE: Final = load("sessions/beside")

FORGOTTEN_MS: Final = 60_000


def _free(asks: v.SessionInfo, now: int, *, patient: bool) -> tuple[str, str, tuple[object, ...]]:
    """The turns to reap and to look after a host, and what the statement about them is to know."""
    reaps, looks = "patient" if patient else "all", f"host:{asks.host}"
    me = (asks.host, asks.pid, asks.pid_started)
    return reaps, looks, (*me, reaps, looks, now - v.TURN_MS, now)


def look(
    first: Callable[[str, Sequence[object]], Any], now: int, asks: v.SessionInfo, *, patient: bool
) -> v.Turn | None:
    """Whose turn it is, as far as that is clear without taking one."""
    alone, reaps, looks, lapsed = first(TURNS_FREE, _free(asks, now, patient=patient)[2])
    if alone or not (reaps or looks):
        return v.Turn(reaps=bool(alone), lapsed=bool(alone and lapsed))
    return None


def take(work: Transitions, asks: v.SessionInfo, *, patient: bool) -> v.Turn:
    """Take the turns that nobody has."""
    *names, bindings = _free(asks, work.now, patient=patient)
    _, *free, lapsed = work.first(TURNS_FREE, bindings) or (0, 0, 0, 0)
    for name, is_free in zip(names, free, strict=True):
        if is_free:
            work.execute(TURN_PUT, (name, work.now))
    work.execute(TURNS_FORGET, (work.now - FORGOTTEN_MS,))
    reaps, looks = free
    neighbours = [
        v.SessionInfo(id=i, worker="", host=asks.host, pid=pid, pid_started=started)
        for i, pid, started in (work.all(BESIDE, bindings[:3]) if looks else ())
    ]
    return v.Turn(reaps=bool(reaps), lapsed=bool(reaps and lapsed), neighbours=tuple(neighbours))
