"""What is measured: each function runs one system once and returns named numbers."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import processes
from .arena import Arena
from .drains import DRAIN_S, PROCESSES, backlog, drain, drain_without_results, logs, workers
from .growth import growth
from .producing import awaited, coroutines, enqueue
from .scale import WARM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .arena import Place
    from .scale import Scale
    from .systems import System

__all__ = ["MEASURES", "Measure"]

Numbers = dict[str, float]
SETTLE_S = 1.0
AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of measurement.

    Attributes:
        title: in the report.
        run: runs it for a system.
        fits: which systems have it.
        chart: the number that the plot shows, if any.
        is_goal: whether the goals are about it.
        rivals: the peers without whom they cannot be judged; None for all that are asked for.
        stays: whether they only say that it is to stay as it was: a few rounds show that.
    """

    title: str
    run: Callable[[System, Place, Scale], Numbers]
    fits: Callable[[System], bool]
    chart: str = ""
    is_goal: bool = False
    rivals: frozenset[str] | None = None
    stays: bool = False

    def decides(self, system: System) -> bool:
        """Whether a goal depends on what it finds of this system."""
        rivals = self.rivals is None or system.module in self.rivals | {"ours"}
        return self.is_goal and self.fits(system) and rivals


def _queues(system: System) -> bool:
    return not system.is_floor


def _ours(system: System) -> bool:
    return system.is_ours


def _ours_and_celery(system: System) -> bool:
    return system.module in {"ours", "celery"} and system.name != "Celery, default"


# Latencies ---------------------------------------------------------------------------------------


def _lone(arena: Arena, scale: Scale, count: int) -> list[list[int]]:
    found: list[list[int]] = arena.control.ask("latencies", count=count, seconds=scale.lone_s)
    return found


def _percentiles(pairs: list[list[int]]) -> Numbers:
    numbers = {}
    for name, index in (("start", 0), ("round", 1)):
        ms = sorted(pair[index] / 1e6 for pair in pairs)
        numbers[f"{name}_p50"] = statistics.median(ms)
        numbers[f"{name}_p99"] = ms[min(len(ms) - 1, int(len(ms) * 0.99))]
    return numbers


def latency(system: System, place: Place, scale: Scale) -> Numbers:
    """Lone messages to an idle worker, in ms: to the body's start, and to the result."""
    with Arena(system, place, "latency") as arena:
        arena.start_worker(PROCESSES)
        _lone(arena, scale, min(WARM, scale.lone))
        return _percentiles(_lone(arena, scale, scale.lone))


def loaded_latency(system: System, place: Place, scale: Scale) -> Numbers:
    """The same while another producer keeps the workers half busy."""
    with Arena(system, place, "latency") as arena:
        arena.start_worker(PROCESSES)
        _lone(arena, scale, min(WARM, scale.lone))
        producer = arena.another_control()
        producer.ask("finished")  # it is there
        producer.begin("paced", rate=system.pace / 2, seconds=scale.lone * 0.02)
        numbers = _percentiles(_lone(arena, scale, scale.lone))
        return {**numbers, "load": float(producer.answer())}


def due(system: System, place: Place, scale: Scale) -> Numbers:
    """Calls with an eta, one by one, to an idle worker: how late they begin, in ms."""
    with Arena(system, place, "latency") as arena:
        arena.start_worker(PROCESSES)
        _lone(arena, scale, 1)
        ms = sorted(s * 1e3 for s in arena.control.ask("lateness", count=scale.due))
        return {"late_p50": statistics.median(ms), "late_most": ms[-1]}


# Memory, start, workflows ------------------------------------------------------------------------


def memory(system: System, place: Place, scale: Scale) -> Numbers:
    """PSS of a worker with two processes, in MiB: idle, and after many messages."""
    count = max(scale.least, min(scale.memory, int(system.pace * scale.memory_s)))
    idle, after = _memory_after(system, place, (WARM, WARM + count))
    return {"idle": idle, "after": after, "messages": float(count)}


def lasting(system: System, place: Place, scale: Scale) -> Numbers:
    """The same after more and more messages: does it grow?"""
    found = _memory_after(system, place, scale.lasting)
    return {f"{count:,}": mib for count, mib in zip(scale.lasting, found, strict=True)}


def _memory_after(system: System, place: Place, totals: Sequence[int]) -> list[float]:
    """PSS of one worker each time it has run so many messages and come to rest."""
    found, sent = [], 0
    with Arena(system, place) as arena:
        arena.start_worker(PROCESSES)
        for total in totals:
            while sent < total:
                arena.wait_for_bodies(sent, DRAIN_S)  # what waits is not to fill the server
                some = min(AT_ONCE, total - sent)
                arena.control.ask("fill", count=some)
                sent += some
            arena.wait_for_bodies(total, DRAIN_S)
            time.sleep(SETTLE_S)
            found.append(processes.pss_mib(arena.worker_pid))
    return found


def cold_start(system: System, place: Place, scale: Scale) -> Numbers:
    """Seconds from the worker's start to its first body; the message waits already."""
    times = []
    with Arena(system, place) as arena:
        for _ in range(3 if scale.lone > WARM else 1):
            arena.control.ask("fill", count=1)
            began = arena.start_worker(PROCESSES)
            times.append((arena.wait_for_bodies(1).first_ns - began) / 1e9)
            time.sleep(SETTLE_S / 4)  # what ran is committed
            arena.stop_worker()
            arena.forget_bodies()
    return {"seconds": statistics.median(times)}


def chord(system: System, place: Place, scale: Scale) -> Numbers:
    """Seconds from calling a chord of many parts to the result of its body."""
    with Arena(system, place) as arena:
        arena.start_worker(PROCESSES)
        _lone(arena, scale, 1)
        return {"seconds": arena.control.ask("timed", what="chord", count=scale.chord)}


def _goal(
    title: str,
    run: Callable[[System, Place, Scale], Numbers],
    fits: Callable[[System], bool] = _queues,
    chart: str = "",
    rivals: frozenset[str] | None = None,
    *,
    stays: bool = False,
) -> Measure:
    return Measure(title, run, fits, chart, is_goal=True, rivals=rivals, stays=stays)


_ALONE, _HUEY = frozenset[str](), frozenset({"huey"})


MEASURES = {
    "drain": _goal(
        "Drain, results stored", drain, lambda _: True, "per_second", frozenset({"floor", "huey"})
    ),
    "enqueue": _goal("Enqueue, messages a second", enqueue, chart="one"),
    "coroutines": _goal("Enqueue from coroutines, µs a call", coroutines, rivals=_ALONE),
    "latency": _goal("Latency on an idle worker, ms", latency, chart="round_p50"),
    "memory": _goal(
        "Memory of two processes (PSS), MiB", memory, chart="idle", rivals=_HUEY, stays=True
    ),
    "start": _goal(
        "Cold start to the first body, s", cold_start, chart="seconds", rivals=_HUEY, stays=True
    ),
    "backlog": _goal("Drain by what waits, messages a second", backlog, _ours, stays=True),
    "logs": _goal(
        "A line for each message to a file, messages a second",
        logs,
        _ours_and_celery,
        rivals=_ALONE,
        stays=True,
    ),
    "awaited": Measure("Round trips from coroutines, µs a call", awaited, _queues),
    "bare": Measure("Drain without results", drain_without_results, _queues),
    "due": Measure("Late after an eta, on an idle worker, ms", due, _ours),
    "loaded": Measure("Latency under half load, ms", loaded_latency, _queues),
    "chord": Measure("A chord of many parts, s", chord, _ours_and_celery),
    "workers": Measure("Drain by processes, messages a second", workers, _ours),
    "growth": Measure("Growth, at 10 and at 100 times as much", growth, _ours),
    "lasting": Measure("Memory after so many messages (PSS), MiB", lasting, _ours),
}
"""By name, in the order in which they run."""
