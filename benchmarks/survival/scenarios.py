"""What is done to each system, and what is found afterwards."""

from __future__ import annotations

import contextlib
import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.arena import Arena

from .contenders import is_quick
from .harness import Harness
from .judge import Fault, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.arena import Place
    from benchmarks.systems import System

    from .trail import Attempt

__all__ = ["BRIEF", "FULL", "SCENARIOS", "Found", "Plan", "run"]

_STALLED_S = 8.0  # a kill waits no longer for messages to begin
_QUIET_S = 5.0  # after the last fault nobody else may disturb for so long
_GRACE_S = 5.0  # what was sent last has so long to end
_LAST_S = 30.0
_JITTER_S = 0.02
_MS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is done.

    Attributes:
        tasks: messages under kills.
        task_ms: how long each of them sleeps.
        kills: of the worker's processes.
        store_kills: of the server.
        outage_s: how long the server stays away each time.
        zombie_tasks, zombie_ms: messages of the zombie, which run longer.
        stop_s: how long it is stopped.
        after_stop_s: how long it is looked at afterwards.
        watch_s: after the last kill, look on for so long, even if everything has ended.
        wait_s: and for so long if something has not.
        seed: of the moments.
    """

    tasks: int = 500
    task_ms: int = 20
    kills: int = 5
    store_kills: int = 2
    outage_s: float = 1.0
    zombie_tasks: int = 40
    zombie_ms: int = 500
    stop_s: float = 90.0
    after_stop_s: float = 30.0
    watch_s: float = 120.0
    wait_s: float = 120.0
    seed: int = 1


FULL = Plan()
BRIEF = Plan(
    tasks=120,
    kills=2,
    store_kills=1,
    zombie_tasks=8,
    zombie_ms=300,
    stop_s=5.0,
    after_stop_s=2.0,
    watch_s=1.0,
    wait_s=20.0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one scenario found in one system.

    Attributes:
        system: its name.
        scenario: which.
        verdict: what became of the messages.
        overwritten: results that were stored, and were another value when the zombie had gone on.
        restarts: how often a worker ended by itself and had to be started again.
        last_ran: whether a last message was run without further help.
        body_ms: how long the bodies took: the median, and what 99 of 100 did not exceed.
    """

    system: str
    scenario: str
    verdict: Verdict
    overwritten: int | None
    restarts: int
    last_ran: bool
    body_ms: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of misfortune.

    Attributes:
        title: of its table.
        act: does it; returns how many results a zombie has overwritten, where there is one.
        store: the one that it needs; "" for any.
        quick: whether it is for peers that are set to recover quickly, or for all with defaults.
    """

    title: str
    act: Callable[[Harness, Plan], int | None]
    store: str = ""
    quick: bool = False

    def concerns(self, system: System) -> bool:
        """Whether it says something of a system, be it that it cannot be done."""
        return is_quick(system) == self.quick

    def fits(self, system: System) -> bool:
        """Whether it is done to a system."""
        return self.concerns(system) and self.store in {"", system.store}


def _kill_workers(harness: Harness, plan: Plan) -> None:
    with harness.turn:
        harness.send(plan.tasks, plan.task_ms)
        worker = harness.start()
        for kill in range(1, plan.kills + 1):
            share = plan.tasks * kill // (plan.kills + 1)
            harness.until_begun(share, worker.started, _STALLED_S)
            harness.pass_time(harness.random.uniform(0, _JITTER_S))
            harness.faults.append(worker.kill())
            worker.start()
        harness.until_ended(_QUIET_S)
    _settle(harness, plan)


def _kill_store(harness: Harness, plan: Plan) -> None:
    server = harness.arena.server
    assert server is not None, "there is no server to kill"
    with harness.turn:
        harness.send(plan.tasks, plan.task_ms)
        since = harness.start().started
        for kill in range(1, plan.store_kills + 1):
            share = plan.tasks * kill // (plan.store_kills + 1)
            harness.until_begun(share, since, _STALLED_S)
            harness.pass_time(harness.random.uniform(0, _JITTER_S))
            at = time.monotonic_ns()
            server.kill9()
            harness.pass_time(plan.outage_s)
            server.start()
            since = time.monotonic_ns()
            harness.faults.append(Fault("store", at, since))
        harness.until_ended(_QUIET_S)
    harness.renew_control()
    _settle(harness, plan)


def _zombie(harness: Harness, plan: Plan) -> int:
    with harness.turn:
        harness.send(plan.zombie_tasks, plan.zombie_ms)
        stopped = harness.start()
        # Until both of its processes run a body: one that is about to begin is past the last look
        # at its claim, and would begin when it goes on.
        harness.until_begun(plan.zombie_tasks // 4, stopped.started, _STALLED_S)
        harness.pass_time(harness.random.uniform(0, plan.zombie_ms / 2000))
        fault = harness.freeze(stopped)
        other = harness.start()
    harness.trickle(plan.stop_s, plan.task_ms)
    harness.until(lambda: harness.taken_over(fault), plan.wait_s)
    before = _results(harness)
    harness.faults.append(replace(fault, until=time.monotonic_ns()))
    stopped.go_on()
    harness.trickle(plan.after_stop_s, plan.task_ms)
    harness.until_ended(_GRACE_S)
    after = _results(harness)
    harness.retire(other)
    return sum(value != after.get(number, value) for number, value in before.items())


def _results(harness: Harness) -> dict[int, str]:
    found = harness.arena.control.ask("nap_results")
    return {number: value for number, value in found if value is not None}


def _settle(harness: Harness, plan: Plan) -> None:
    harness.trickle(plan.watch_s, plan.task_ms)
    harness.until_ended(max(_GRACE_S, plan.wait_s - plan.watch_s))


def _last(harness: Harness) -> bool:
    """Whether a message that is sent now is run."""
    last = harness.send(1, 1)
    return harness.until(lambda: harness.ended(last), _LAST_S)


SCENARIOS = {
    "kills": Scenario("The worker's processes killed five times", _kill_workers),
    "quick": Scenario("The same, peers being set to recover quickly", _kill_workers, quick=True),
    "store": Scenario("Redis killed twice", _kill_store, store="redis"),
    "zombie": Scenario("A worker stopped in the middle of its bodies, and continued", _zombie),
}


def run(
    system: System,
    scenario: str,
    plan: Plan,
    place: Place,
    turn: contextlib.AbstractContextManager[Any],
) -> Found:
    """Do to a system what a scenario says.

    Args:
        system: which.
        scenario: which.
        plan: how much.
        place: where the environments are.
        turn: held while things are done, so that starting processes disturb no other system.

    Raises:
        BenchmarkError: the system did not get as far as that.
    """
    arena = Arena(system, place, durable=True)
    with arena, contextlib.closing(Harness(arena, plan.seed, turn)) as harness:
        overwritten = SCENARIOS[scenario].act(harness, plan)
        attempts, waiting = harness.trail.attempts(), arena.control.ask("waiting")
        verdict = judge(attempts, harness.faults, harness.acknowledged, waiting)
        return Found(
            system=system.name,
            scenario=scenario,
            verdict=verdict,
            overwritten=overwritten,
            body_ms=_body_ms(attempts, harness.faults),
            last_ran=_last(harness),
            restarts=sum(worker.restarts for worker in harness.workers),
        )


def _body_ms(attempts: Sequence[Attempt], faults: Sequence[Fault]) -> tuple[float, float]:
    took = sorted(
        (a.ended - a.began) / _MS
        for a in attempts
        if a.ended is not None and not any(fault.hit(a) for fault in faults)
    )
    return (statistics.median(took), took[len(took) * 99 // 100]) if took else (0.0, 0.0)
