"""Drains: messages wait, and a worker runs them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import processes
from .arena import Arena

if TYPE_CHECKING:
    from .arena import Place
    from .scale import Scale
    from .systems import System

__all__ = ["DRAIN_S", "PROCESSES", "backlog", "drain", "drain_without_results", "logs", "workers"]

Numbers = dict[str, float]
PROCESSES = 2
DRAIN_S = 240.0


def _drained(
    arena: Arena, count: int, *, workers: int = PROCESSES, level: str = "WARNING", log: str = ""
) -> Numbers:
    """Run what waits; from the first body's start until the last result is stored."""
    server_before = arena.server_seconds()
    arena.start_worker(workers, level, log)
    arena.wait(lambda: arena.seen().bodies > 0, 60, "starting")
    cpu_before = processes.cpu_seconds(arena.worker_pid)
    begun = arena.seen().bodies
    seen = arena.wait_for_bodies(count, DRAIN_S)
    ended_ns = seen.last_ns
    if arena.control.ask("finished") is not None:
        arena.wait(lambda: int(arena.control.ask("finished")) >= count, 30, "storing results")
        ended_ns = time.monotonic_ns()
    used = processes.cpu_seconds(arena.worker_pid) - cpu_before
    numbers = {
        "per_second": count / ((ended_ns - seen.first_ns) / 1e9),
        "worker_us": used / max(1, count - begun) * 1e6,
    }
    if server_before is not None:
        after = arena.server_seconds()
        numbers["server_us"] = ((after or 0.0) - server_before) / count * 1e6
    numbers["cpu_us"] = numbers["worker_us"] + numbers.get("server_us", 0.0)
    return numbers


def drain(system: System, place: Place, scale: Scale) -> Numbers:
    """Two processes run what waits; results are stored."""
    count = scale.drained(system)
    with Arena(system, place) as arena:
        arena.control.ask("fill", count=count)
        return _drained(arena, count)


def drain_without_results(system: System, place: Place, scale: Scale) -> Numbers:
    """The same, keeping no results."""
    count = scale.drained(system)
    with Arena(system, place, "no-results") as arena:
        arena.control.ask("fill", count=count)
        return _drained(arena, count)


def logs(system: System, place: Place, scale: Scale) -> Numbers:
    """A drain that logs each message to a file, and one that logs warnings only."""
    count = scale.drained(system)
    numbers: Numbers = {}
    for name, level in (("off", "WARNING"), ("info", "INFO")):
        with Arena(system, place) as arena:
            arena.control.ask("fill", count=count)
            log = str(arena.folder / "messages.log")
            found = _drained(arena, count, level=level, log=log)
            numbers |= {name: found["per_second"], f"{name}_us": found["worker_us"]}
    return {**numbers, "share": numbers["info"] / numbers["off"]}


def workers(system: System, place: Place, scale: Scale) -> Numbers:
    """Drains with more and more processes."""
    count = scale.drained(system)
    numbers = {}
    for number in scale.workers:
        with Arena(system, place) as arena:
            arena.control.ask("fill", count=count)
            numbers[f"{number}"] = _drained(arena, count, workers=number)["per_second"]
    return numbers


def backlog(system: System, place: Place, scale: Scale) -> Numbers:
    """The rate at which two processes run with so many messages waiting."""
    window = scale.drained(system)
    numbers = {}
    for waiting in scale.backlogs:
        with Arena(system, place) as arena:
            numbers[f"{waiting:,} waiting"] = _with_backlog(arena, waiting, window)
    rates = list(numbers.values())
    if scale.scheduled:
        with Arena(system, place) as arena:
            arena.control.ask("timed", what="schedule", count=scale.scheduled)
            numbers[f"{scale.scheduled:,} scheduled"] = _with_backlog(arena, window, window)
    return {**numbers, "shortest": rates[0], "longest": rates[-1]}


def _with_backlog(arena: Arena, waiting: int, window: int) -> float:
    """Bodies a second: within one long run, or over many short ones where little waits."""
    if waiting >= window:
        arena.control.ask("fill", count=waiting)
        arena.start_worker(PROCESSES)
        seen = arena.wait_for_bodies(min(window, waiting), DRAIN_S)
        return (seen.bodies - 1) / ((seen.last_ns - seen.first_ns) / 1e9)
    arena.start_worker(PROCESSES)
    done, spent_ns = 0, 0
    while done < window:
        arena.control.ask("fill", count=waiting)
        seen = arena.wait_for_bodies(waiting, DRAIN_S)
        spent_ns += seen.last_ns - seen.first_ns
        done += seen.bodies - 1
        arena.forget_bodies()
    return done / (spent_ns / 1e9)
