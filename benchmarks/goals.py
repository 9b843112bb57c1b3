"""How far the goals are reached, as ratios of medians within one run of the suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .results import Results
    from .systems import System

__all__ = ["Verdict", "verdicts"]

OURS, EMBEDDED = "reliable_tasks, Redis", "reliable_tasks, SQLite"
FLOOR = "floor, Redis"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal: in words, what was found, and whether that is enough."""

    goal: str
    found: str
    reached: bool

    @property
    def word(self) -> str:
        """In a table."""
        return "reached" if self.reached else "**not reached**"


class _Judge:
    """Looks numbers up."""

    def __init__(self, results: Results, systems: Sequence[System]) -> None:
        self._results = results
        self.peers = [s for s in systems if not s.is_ours and not s.is_floor]
        self.on_redis = [s for s in self.peers if s.store == "redis"]
        self.reliable = [s for s in self.on_redis if s.at_least_once]

    def ours(self, measure: str, number: str, system: str = OURS) -> float | None:
        return self._results.median(measure, system, number)

    def best(
        self,
        measure: str,
        number: str,
        of: Sequence[System],
        choose: Callable[[Iterable[float]], float] = max,
    ) -> float | None:
        found = [self._results.median(measure, s.name, number) for s in of]
        known = [value for value in found if value is not None]
        return choose(known) if known else None

    def named(self, module: str, store: str = "redis") -> list[System]:
        return [s for s in self.peers if s.module == module and s.store == store]


def _at_least(
    goal: str, value: float | None, other: float | None, factor: float
) -> Iterable[Verdict]:
    if value is not None and other:
        yield Verdict(goal, f"{value / other:.2f} x", value >= factor * other)


def _at_most(
    goal: str, value: float | None, other: float | None, factor: float
) -> Iterable[Verdict]:
    if value is not None and other:
        yield Verdict(goal, f"{value / other:.2f} x", value <= factor * other)


def verdicts(results: Results, systems: Sequence[System]) -> list[Verdict]:
    """The goals that these results can show."""
    judge = _Judge(results, systems)
    return [*_drains(judge), *_enqueues(judge), *_latencies(judge), *_rest(judge)]


def _drains(judge: _Judge) -> Iterator[Verdict]:
    def rate(of: Sequence[System]) -> float | None:
        return judge.best("drain", "per_second", of)

    ours, embedded = (judge.ours("drain", "per_second", s) for s in (OURS, EMBEDDED))
    late = [s for s in judge.named("celery") if "acks-late" in s.variant]
    floor = judge.ours("drain", "per_second", FLOOR)
    yield from _at_least(
        "Redis drain: 8 times the fastest at-least-once peer", ours, rate(judge.reliable), 8
    )
    yield from _at_least("Redis drain: 25 times Celery with acks_late", ours, rate(late), 25)
    yield from _at_least("Redis drain: half of the floor", ours, floor, 0.5)
    huey = rate(judge.named("huey", "sqlite"))
    yield from _at_least("SQLite drain: 4 times Huey's on SQLite", embedded, huey, 4)
    yield from _at_least(
        "SQLite drain: faster than every peer on Redis", embedded, rate(judge.on_redis), 1
    )


def _enqueues(judge: _Judge) -> Iterator[Verdict]:
    one = judge.best("enqueue", "one_by_one", judge.peers)
    many = judge.best("enqueue", "bulk", judge.peers) or one
    if one and many:
        many = max(one, many)
    ours = judge.ours("enqueue", "one_by_one")
    yield from _at_least("Enqueue one by one: as the fastest peer", ours, one, 1)
    bulk = judge.ours("enqueue", "bulk")
    yield from _at_least("Enqueue in bulk: 5 times the fastest peer", bulk, many, 5)


def _latencies(judge: _Judge) -> Iterator[Verdict]:
    def peers(number: str) -> float | None:
        return judge.best("latency", number, judge.peers, min)

    start, half = peers("start_p50"), peers("round_p50")
    ours = judge.ours("latency", "start_p50")
    yield from _at_most("Enqueue to start p50, idle: as the fastest peer", ours, start, 1)
    ours = judge.ours("latency", "round_p50")
    yield from _at_most("Round trip p50, idle: half of the fastest peer", ours, half, 0.5)
    fastest = [s for s in judge.peers if judge.best("latency", "round_p50", [s]) == half]
    p99 = judge.best("latency", "round_p99", fastest)
    ours = judge.ours("latency", "round_p99")
    yield from _at_most("Round trip p99, idle: under that peer's", ours, p99, 1)


def _rest(judge: _Judge) -> Iterator[Verdict]:
    huey = judge.named("huey")
    for number in ("idle", "after"):
        other = judge.best("memory", number, huey)
        ours = judge.ours("memory", number)
        yield from _at_most(f"Memory, {number}: not above Huey's", ours, other, 1)
    start = judge.ours("start", "seconds")
    yield from _at_most(
        "Cold start: 1.5 times Huey's", start, judge.best("start", "seconds", huey), 1.5
    )
    few, many = (judge.ours("backlog", f"{n} waiting") for n in ("1,000", "1,000,000"))
    yield from _at_least("1M waiting against 1k: 80 % of the rate", many, few, 0.8)
    off, info = (judge.ours("logs", name) for name in ("off", "info"))
    yield from _at_least("INFO lines to a file: 60 % of the rate without", info, off, 0.6)
