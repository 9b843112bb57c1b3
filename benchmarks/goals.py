"""How far the goals are reached: ratios of medians within one run of the suite."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .systems import BEFORE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .results import Results, Spread
    from .systems import System

__all__ = ["Verdict", "verdicts"]

OURS, EMBEDDED = "reliable_tasks, Redis", "reliable_tasks, SQLite (FULL)"
FLOOR, HUEY, HUEY_EMBEDDED = "floor, Redis", "Huey, Redis", "Huey, SQLite (FULL)"
LATE = "Celery, acks_late"
_STAYS = 1.1  # what is to stay as it was may be found this much worse: rounds differ by as much


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal, and what was found.

    Attributes:
        goal: in words, with the factor.
        now: our number.
        before: the same of the other checkout.
        against: what it is held against: whose it is, and the number.
        ratio: of the medians.
        ratio_before: the same of the other checkout.
        reached: whether that is enough.
    """

    goal: str
    now: Spread
    before: Spread | None
    against: tuple[str, Spread] | None
    ratio: float | None
    ratio_before: float | None
    reached: bool

    @property
    def word(self) -> str:
        """In a table."""
        return "reached" if self.reached else "**not reached**"


class _Judge:
    """Looks numbers up, and holds them against each other."""

    def __init__(self, results: Results, systems: Sequence[System]) -> None:
        self._results = results
        self.peers = [s for s in systems if not s.is_ours and not s.is_floor]
        self.on_redis = [s for s in self.peers if s.store == "redis"]
        self.reliable = [s for s in self.on_redis if s.at_least_once]

    def best(
        self,
        measure: str,
        numbers: Sequence[str],
        of: Sequence[System],
        choose: Callable[..., tuple[str, Spread]] = max,
    ) -> tuple[str, Spread] | None:
        """Whose is the best of them, and what it is."""
        found = [(s.name, self._results.spread(measure, s.name, n)) for s in of for n in numbers]
        known = [(name, spread) for name, spread in found if spread is not None]
        return choose(known, key=lambda pair: pair[1].median) if known else None

    def named(self, measure: str, number: str, system: str) -> tuple[str, Spread] | None:
        """A number of a system, which may be one of ours, and whose it is."""
        spread = self._results.spread(measure, system, number)
        return None if spread is None else (f"{system}: {number}", spread)

    def held(
        self,
        goal: str,
        measure: str,
        number: str,
        against: tuple[str, Spread] | None,
        factor: float,
        *,
        system: str = OURS,
        enough: Callable[[float, float], bool] = operator.ge,
    ) -> Iterator[Verdict]:
        """Our number against another; nothing where either was not measured."""
        now = self._results.spread(measure, system, number)
        before = self._results.spread(measure, system + BEFORE, number)
        if now is None or against is None or not against[1].median:
            return
        other = against[1].median
        ratio_before = None if before is None else before.median / other
        reached = enough(now.median, factor * other)
        yield Verdict(goal, now, before, against, now.median / other, ratio_before, reached)

    def below(
        self, goal: str, measure: str, number: str, limit: float, system: str
    ) -> Iterator[Verdict]:
        """Our number against a limit."""
        now = self._results.spread(measure, system, number)
        before = self._results.spread(measure, system + BEFORE, number)
        if now is not None:
            yield Verdict(goal, now, before, None, None, None, now.median < limit)

    def before(
        self,
        goal: str,
        measure: str,
        number: str,
        factor: float,
        *,
        system: str = OURS,
        enough: Callable[[float, float], bool] = operator.le,
    ) -> Iterator[Verdict]:
        """Our number against what it was."""
        was = self._results.spread(measure, system + BEFORE, number)
        against = None if was is None else ("before", was)
        yield from self.held(goal, measure, number, against, factor, system=system, enough=enough)


def verdicts(results: Results, systems: Sequence[System]) -> list[Verdict]:
    """The goals that these results can show."""
    judge = _Judge(results, systems)
    parts = (_producers, _latencies, _embedded, _drains, _as_before, _rest)
    return [verdict for part in parts for verdict in part(judge)]


def _producers(judge: _Judge) -> Iterator[Verdict]:
    huey = judge.named("enqueue", "one", HUEY)
    yield from judge.held("Enqueue one by one: 1.5 x Huey's", "enqueue", "one", huey, 1.5)
    peer = judge.best("enqueue", ("one", "fastest"), judge.peers)
    goal = "Enqueue in bulk: 9 x the fastest peer"
    yield from judge.held(goal, "enqueue", "fastest", peer, 9)
    threads = judge.named("coroutines", "many_threads", OURS)
    then = judge.named("coroutines", "many_threads", OURS + BEFORE)
    yield from judge.held(
        "64 coroutines, µs a call: an eighth of what to_thread(delay) took",
        *("coroutines", "many", then or threads, 1 / 8),
        enough=operator.le,
    )
    threads = judge.named("coroutines", "lone_threads", OURS)
    yield from judge.held(
        "One coroutine, µs a call: not above to_thread(delay)",
        *("coroutines", "lone", threads, 1),
        enough=operator.le,
    )


def _latencies(judge: _Judge) -> Iterator[Verdict]:
    at_most = partial(judge.held, enough=operator.le)
    huey = judge.named("latency", "start_p50", HUEY)
    yield from at_most(
        "Enqueue to start p50, idle, ms: 0.6 x Huey's", "latency", "start_p50", huey, 0.6
    )
    peer = judge.best("latency", ("round_p50",), judge.peers, min)
    yield from at_most(
        "Round trip p50, idle, ms: 0.6 x the fastest peer's", "latency", "round_p50", peer, 0.6
    )
    if peer:
        late = judge.named("latency", "round_p99", peer[0])
        yield from at_most(
            "Round trip p99, idle, ms: under that peer's", "latency", "round_p99", late, 1
        )


def _embedded(judge: _Judge) -> Iterator[Verdict]:
    for number, what in (("start_p50", "enqueue to start"), ("round_p50", "round trip")):
        goal = f"SQLite, {what} p50, idle, ms: a third of before"
        yield from judge.before(goal, "latency", number, 1 / 3, system=EMBEDDED)
    huey = judge.named("enqueue", "one", HUEY_EMBEDDED)
    yield from judge.held(
        "SQLite, enqueue one by one, both FULL: 1.2 x Huey's",
        *("enqueue", "one", huey, 1.2),
        system=EMBEDDED,
    )
    goal = "SQLite, enqueue one by one, CPU µs: under 350"
    yield from judge.below(goal, "enqueue", "one_us", 350, EMBEDDED)


def _drains(judge: _Judge) -> Iterator[Verdict]:
    yield from judge.before(
        "Redis drain, CPU µs a message, worker and server: 0.6 of before", "drain", "cpu_us", 0.6
    )
    at_least = partial(judge.held, measure="drain", number="per_second")
    peer = judge.best("drain", ("per_second",), judge.reliable)
    yield from at_least("Redis drain: 8 x the fastest at-least-once peer", against=peer, factor=8)
    late = judge.named("drain", "per_second", LATE)
    yield from at_least("Redis drain: 25 x Celery with acks_late", against=late, factor=25)
    floor = judge.named("drain", "per_second", FLOOR)
    yield from at_least("Redis drain: half of the floor's rate", against=floor, factor=0.5)
    floor = judge.named("drain", "cpu_us", FLOOR)
    goal = "Redis drain, CPU µs a message: twice the floor's"
    yield from judge.held(goal, "drain", "cpu_us", floor, 2, enough=operator.le)
    huey = judge.named("drain", "per_second", HUEY_EMBEDDED)
    goal = "SQLite drain: 4 x Huey's on SQLite"
    yield from at_least(goal, against=huey, factor=4, system=EMBEDDED)
    peer = judge.best("drain", ("per_second",), judge.on_redis)
    goal = "SQLite drain: faster than every peer on Redis"
    yield from at_least(goal, against=peer, factor=1, system=EMBEDDED)


def _as_before(judge: _Judge) -> Iterator[Verdict]:
    for system in (OURS, EMBEDDED):
        at_most = partial(judge.before, factor=_STAYS, system=system)
        store = system.partition(", ")[2].partition(" ")[0]
        yield from at_most(f"{store}, memory, idle, MiB: as before", "memory", "idle")
        yield from at_most(f"{store}, memory, after many, MiB: as before", "memory", "after")
        yield from at_most(f"{store}, cold start, s: as before", "start", "seconds")
        at_least = partial(judge.before, factor=1 / _STAYS, system=system, enough=operator.ge)
        yield from at_least(f"{store}, a long backlog, messages/s: as before", "backlog", "longest")
        yield from at_least(f"{store}, a line for each, messages/s: as before", "logs", "info")


def _rest(judge: _Judge) -> Iterator[Verdict]:
    for number in ("idle", "after"):
        huey = judge.named("memory", number, HUEY)
        goal = f"Memory, {number}, MiB: not above Huey's"
        yield from judge.held(goal, "memory", number, huey, 1, enough=operator.le)
    huey = judge.named("start", "seconds", HUEY)
    yield from judge.held(
        "Cold start, s: 1.5 x Huey's", "start", "seconds", huey, 1.5, enough=operator.le
    )
    few = judge.named("backlog", "shortest", OURS)
    yield from judge.held(
        "The longest backlog against the shortest: 80 % of the rate", "backlog", "longest", few, 0.8
    )
    off = judge.named("logs", "off", OURS)
    yield from judge.held(
        "INFO lines to a file: 60 % of the rate without", "logs", "info", off, 0.6
    )
