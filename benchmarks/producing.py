"""What producers do: enqueue one by one, in bulk, and from coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arena import Arena
from .drains import PROCESSES
from .scale import WARM

if TYPE_CHECKING:
    from .arena import Place
    from .scale import Scale
    from .systems import System

__all__ = ["awaited", "coroutines", "enqueue"]

Numbers = dict[str, float]
_TURNS = 5


def enqueue(system: System, place: Place, scale: Scale) -> Numbers:
    """One producer, no worker: one call after the other, then the ways there are for many."""
    count = min(scale.sent, scale.drained(system))
    many = count if system.pace < 5_000 else 10 * count
    numbers: Numbers = {}
    with Arena(system, place) as arena:
        for verb in ("send", "send_bulk", "send_bulk_otherwise"):
            arena.control.ask("timed", what=verb, count=WARM)
        for verb, name, some in (
            ("send", "one", count),
            ("send_bulk", "bulk", many),
            ("send_bulk_otherwise", "otherwise", many),
        ):
            numbers |= _rate(arena, verb, name, some)
    ways = [numbers[way] for way in ("bulk", "otherwise") if way in numbers]
    return {**numbers, "fastest": max(ways)} if ways else numbers


def _rate(arena: Arena, verb: str, name: str, count: int) -> Numbers:
    server_before = arena.server_seconds()
    took = arena.control.ask("timed", what=verb, count=count)
    if took is None:
        return {}
    numbers = {name: count / took["s"], f"{name}_us": took["cpu_s"] / count * 1e6}
    if server_before is not None:
        used = (arena.server_seconds() or 0.0) - server_before
        numbers[f"{name}_server_us"] = used / count * 1e6
    return numbers


def coroutines(system: System, place: Place, scale: Scale) -> Numbers:
    """Microseconds for each call from an event loop: one at a time, and many side by side.

    "in threads": a blocking call in a thread of asyncio's.
    """
    count = min(scale.sent, scale.drained(system))
    with Arena(system, place) as arena:
        return _side_by_side(arena, "send_one", count, scale.width)


def awaited(system: System, place: Place, scale: Scale) -> Numbers:
    """The same for calls whose results are awaited, too."""
    with Arena(system, place, "latency") as arena:
        arena.start_worker(PROCESSES)
        arena.control.ask("latencies", count=WARM, seconds=1.0)
        return _side_by_side(
            arena, "round_trip", min(scale.sent // 2, 10 * scale.lone), scale.width
        )


def _side_by_side(arena: Arena, what: str, count: int, width: int) -> Numbers:
    """In turns, so that what disturbs the machine for a while disturbs all ways."""
    spent: dict[str, list[float]] = {}
    ways = [
        (f"{name}{suffix}", wide, threads)
        for threads, suffix in ((False, ""), (True, "_threads"))
        for wide, name in ((1, "lone"), (width, "many"))
    ]
    for turn in range(_TURNS + 1):
        for name, wide, threads in ways:
            some = max(1, count // _TURNS // (4 * wide if wide == 1 else wide)) * wide
            took = arena.control.ask("at_once", what=what, count=some, width=wide, threads=threads)
            if took is not None and turn:  # the first one makes connections and threads
                sums = spent.setdefault(name, [0.0, 0.0, 0.0])
                for index, value in enumerate((took["s"], took["cpu_s"], float(some))):
                    sums[index] += value
    numbers: Numbers = {}
    for name, (seconds, cpu_seconds, calls) in spent.items():
        numbers |= {name: seconds / calls * 1e6, f"{name}_cpu": cpu_seconds / calls * 1e6}
    return numbers
