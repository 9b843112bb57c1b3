"""What is measured: each function runs one system once and returns named numbers."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import processes
from .arena import Arena

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .arena import Place
    from .systems import System

__all__ = ["BRIEF", "FULL", "MEASURES", "QUICK", "Measure", "Scale"]

Numbers = dict[str, float]
PROCESSES = 2
DRAIN_S = 240.0
SETTLE_S = 1.0
WARM = 20
AT_ONCE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is run.

    Attributes:
        seconds: how long a drain is to take, by the system's expected pace.
        sent: messages of an enqueue one by one, at most.
        lone: messages of a latency.
        memory: messages after which memory is looked at again, at most.
        memory_s: and how long running them may take.
        lasting: messages after which memory is looked at to see whether it grows.
        chord: parts of a chord.
        backlogs: how many messages wait.
        scheduled: how many are not due while others run; 0 leaves it out.
        workers: numbers of processes.
        least: the fewest messages of any run.
    """

    seconds: float = 4.0
    sent: int = 5_000
    lone: int = 300
    memory: int = 100_000
    memory_s: float = 20.0
    lasting: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    chord: int = 10_000
    backlogs: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    scheduled: int = 1_000_000
    workers: tuple[int, ...] = (1, 2, 4, 8)
    least: int = 500

    def drained(self, system: System) -> int:
        """Messages of a drain."""
        return max(self.least, int(system.pace * self.seconds))


FULL = Scale()
BRIEF = Scale(
    seconds=1.5,
    sent=2_000,
    lone=120,
    memory_s=3.0,
    lasting=(10_000, 100_000),
    chord=2_000,
    backlogs=(1_000, 1_000_000),
    scheduled=0,
    workers=(1, 2, 4),
)
QUICK = Scale(
    seconds=0.1,
    sent=50,
    lone=5,
    memory=200,
    memory_s=1.0,
    lasting=(100, 200),
    chord=50,
    backlogs=(200, 1_000),
    scheduled=1_000,
    workers=(1, 2),
    least=100,
)


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of measurement.

    Attributes:
        title: in the report.
        run: runs it for a system.
        fits: which systems have it.
        chart: the number that the plot shows, if any.
        is_goal: whether the goals are about it.
    """

    title: str
    run: Callable[[System, Place, Scale], Numbers]
    fits: Callable[[System], bool]
    chart: str = ""
    is_goal: bool = False


def _queues(system: System) -> bool:
    return not system.is_floor


def _ours(system: System) -> bool:
    return system.is_ours


def _ours_and_celery(system: System) -> bool:
    return system.module in {"ours", "celery"} and system.name != "Celery, default"


# Drains ------------------------------------------------------------------------------------------


def _drained(
    arena: Arena, count: int, *, workers: int = PROCESSES, level: str = "WARNING", log: str = ""
) -> Numbers:
    """Run what waits; from the first body's start until the last result is stored."""
    server_before = arena.server_seconds()
    arena.start_worker(workers, level, log)
    arena.wait(lambda: arena.seen().bodies > 0, 60, "starting")
    cpu_before = processes.cpu_seconds(arena.worker_pid)
    seen = arena.wait_for_bodies(count, DRAIN_S)
    ended_ns = seen.last_ns
    if arena.control.ask("finished") is not None:
        arena.wait(lambda: int(arena.control.ask("finished")) >= count, 30, "storing results")
        ended_ns = time.monotonic_ns()
    numbers = {"per_second": count / ((ended_ns - seen.first_ns) / 1e9)}
    if not arena.system.is_floor:  # whose processes end with their work
        used = processes.cpu_seconds(arena.worker_pid) - cpu_before
        numbers["worker_us"] = used / count * 1e6
    if server_before is not None:
        after = arena.server_seconds()
        numbers["server_us"] = ((after or 0.0) - server_before) / count * 1e6
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
    if scale.scheduled:
        with Arena(system, place) as arena:
            arena.control.ask("timed", what="schedule", count=scale.scheduled)
            numbers[f"{scale.scheduled:,} scheduled"] = _with_backlog(arena, window, window)
    return numbers


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


# Enqueueing --------------------------------------------------------------------------------------


def enqueue(system: System, place: Place, scale: Scale) -> Numbers:
    """One producer, no worker: one call after the other, then the fastest way there is."""
    count = min(scale.sent, scale.drained(system))
    many = count if system.pace < 5_000 else 10 * count
    with Arena(system, place) as arena:
        for verb in ("send", "send_bulk"):  # connections and scripts are there
            arena.control.ask("timed", what=verb, count=WARM)
        numbers = {"one_by_one": count / arena.control.ask("timed", what="send", count=count)}
        took = arena.control.ask("timed", what="send_bulk", count=many)
        if took is not None:
            numbers["bulk"] = many / took
    return numbers


# Latencies ---------------------------------------------------------------------------------------


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
        arena.control.ask("latencies", count=min(WARM, scale.lone))
        return _percentiles(arena.control.ask("latencies", count=scale.lone))


def loaded_latency(system: System, place: Place, scale: Scale) -> Numbers:
    """The same while another producer keeps the workers half busy."""
    with Arena(system, place, "latency") as arena:
        arena.start_worker(PROCESSES)
        arena.control.ask("latencies", count=min(WARM, scale.lone))
        producer = arena.another_control()
        producer.ask("finished")  # it is there
        producer.begin("paced", rate=system.pace / 2, seconds=scale.lone * 0.02)
        numbers = _percentiles(arena.control.ask("latencies", count=scale.lone))
        return {**numbers, "load": float(producer.answer())}


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
        arena.control.ask("latencies", count=1)
        return {"seconds": arena.control.ask("timed", what="chord", count=scale.chord)}


def _goal(
    title: str,
    run: Callable[[System, Place, Scale], Numbers],
    fits: Callable[[System], bool] = _queues,
    chart: str = "",
) -> Measure:
    return Measure(title, run, fits, chart, is_goal=True)


MEASURES = {
    "drain": _goal("Drain, results stored", drain, lambda _: True, "per_second"),
    "enqueue": _goal("Enqueue, messages a second", enqueue, chart="one_by_one"),
    "latency": _goal("Latency on an idle worker, ms", latency, chart="round_p50"),
    "memory": _goal("Memory of two processes (PSS), MiB", memory, chart="idle"),
    "start": _goal("Cold start to the first body, s", cold_start, chart="seconds"),
    "backlog": _goal("Drain by what waits, messages a second", backlog, _ours),
    "logs": _goal("A line for each message to a file, messages a second", logs, _ours_and_celery),
    "bare": Measure("Drain without results", drain_without_results, _queues),
    "loaded": Measure("Latency under half load, ms", loaded_latency, _queues),
    "chord": Measure("A chord of many parts, s", chord, _ours_and_celery),
    "workers": Measure("Drain by processes, messages a second", workers, _ours),
    "lasting": Measure("Memory after so many messages (PSS), MiB", lasting, _ours),
}
"""By name, in the order in which they run."""
