"""Run simulated worlds: `python -m property_tests.simulation --seeds 10000 --jobs 2`.

A seed that breaks an invariant is shrunk, prints its timeline and ends the run with exit code 1;
with `--keep` what is left of it goes to `regressions.json`, which the tests replay.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from property_tests.model.model import Model
from property_tests.simulation import regressions
from property_tests.simulation.checks import violations, watch, watch_model
from property_tests.simulation.schedule import schedule_of, shortest
from property_tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from property_tests.simulation.schedule import Schedule

__all__ = ["STORES", "main", "run", "run_seed", "shrink"]


class _Store(NamedTuple):
    """How a world gets its store, what is watched in it, and how its server restarts."""

    opened: Callable[[Any, Any], contextlib.AbstractContextManager[Any]]
    watch: Callable[[World], list[str]]
    watch_every: int  # calls: a real store is slow to read
    restart: Callable[[Any], None] | None = None


@contextlib.contextmanager
def _model(options: Any, clock: Any) -> Iterator[Model]:
    yield Model(clock, options)


def _of_the_tests(name: str) -> Any:
    """As the store's own tests open it; at the end they look for what was left behind."""

    def opened(options: Any, clock: Any) -> Any:
        from tests.store.factories import FACTORIES  # noqa: PLC0415 - starts servers when asked for

        return FACTORIES[name](options, clock)

    return opened


def _restart_redis(store: Any) -> None:
    """All that its clients see of a restart: connections are cut, and scripts are forgotten."""
    import redis  # noqa: PLC0415 - only when asked for

    from tests.redis_server import default_server  # noqa: PLC0415
    from tests.store.redis_factories import server_of  # noqa: PLC0415

    del store
    with redis.Redis.from_url(server_of(default_server()).unix_url) as client:
        client.script_flush()
        client.client_kill_filter(_type="normal", skipme=True)


STORES = {
    "model": _Store(_model, watch_model, 1),
    "memory": _Store(_of_the_tests("memory"), watch, 25),
    "sqlite": _Store(_of_the_tests("sqlite"), watch, 25, lambda store: store.close()),
    "redis": _Store(_of_the_tests("redis"), watch, 25, _restart_redis),
}


def run(schedule: Schedule, store: str = "model", *, messages: int = 12) -> tuple[World, list[str]]:
    """One world from start to rest, and what it violated."""
    kind = STORES[store]
    with contextlib.ExitStack() as stack:

        def make(clock: Any, options: Any) -> Any:
            return stack.enter_context(kind.opened(options, clock))

        world = World(
            schedule,
            make,
            messages=messages,
            watch=kind.watch,
            watch_every=kind.watch_every,
            restart=kind.restart,
        )
        world.run()
        return world, violations(world)


def run_seed(seed: int, store: str = "model") -> tuple[World, list[str]]:
    """The world of a seed."""
    return run(schedule_of(seed), store)


def shrink(seed: int, store: str = "model") -> Schedule:
    """The shortest schedule that still fails, from that of a failing seed."""
    return shortest(schedule_of(seed), lambda schedule: bool(run(schedule, store)[1]))


# The command --------------------------------------------------------------------------------------


def _first_failing(seeds: range, store: str) -> int | None:
    return next((seed for seed in seeds if run_seed(seed, store)[1]), None)


def _search(first: int, count: int, store: str, jobs: int) -> int | None:
    """The lowest of the failing seeds that were met, or None; each job takes every n-th seed."""
    parts = [range(first + job, first + count, jobs) for job in range(jobs)]
    if jobs == 1:
        return _first_failing(parts[0], store)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        found = pool.starmap(_first_failing, [(part, store) for part in parts])
    return min((seed for seed in found if seed is not None), default=None)


def main(argv: list[str] | None = None) -> int:
    """Run the seeds and report the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m property_tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--store", choices=sorted(STORES), default="model")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the seeds")
    parser.add_argument("--keep", action="store_true", help="keep a failure as a regression")
    parser.add_argument("--show", action="store_true", help="print the timeline of --first")
    options = parser.parse_args(argv)
    if options.show:
        print("\n".join(run_seed(options.first, options.store)[0].timeline))
        return 0
    began = time.perf_counter()
    failing = _search(options.first, options.seeds, options.store, options.jobs)
    if failing is not None:
        schedule = shrink(failing, options.store)
        world, found = run(schedule, options.store)
        print("\n".join(world.timeline))
        print(
            f"\nseed {failing} on {options.store}, {len(schedule.steps)} steps:", *found, sep="\n  "
        )
        if options.keep:
            regressions.keep(schedule, options.store, found[0])
        return 1
    took = time.perf_counter() - began
    print(f"{options.seeds} seeds on {options.store}: all well, {options.seeds / took:.0f} seeds/s")
    return 0
