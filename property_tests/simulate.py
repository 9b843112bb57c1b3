"""Run simulated worlds: `python -m property_tests.simulate --seeds 10000 [--store sqlite]`.

A seed that breaks an invariant is shrunk, prints its timeline and ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from typing import Any

from property_tests.model import Model
from property_tests.simulation.checks import violations, watch_model
from property_tests.simulation.world import World

__all__ = ["main", "run_seed", "shrink", "stores"]


def _sqlite(clock: Any, options: Any) -> Any:
    from reliable_tasks.store.sqlite import SqliteStore  # noqa: PLC0415 - only when asked for

    return SqliteStore(None, options, clock)


def _redis(clock: Any, options: Any) -> Any:
    """A namespace of its own on one private server, which ends with this process."""
    import msgspec  # noqa: PLC0415 - only when asked for

    from reliable_tasks.store.redis import RedisStore  # noqa: PLC0415
    from tests.redis_server import default_server  # noqa: PLC0415
    from tests.store.redis_factories import server_of  # noqa: PLC0415

    number = next(_numbers)
    options = msgspec.structs.replace(options, namespace=f"simulated{number}")
    return RedisStore(server_of(default_server()).url, options, clock)


_numbers = itertools.count()
stores: dict[str, Any] = {"model": Model, "sqlite": _sqlite, "redis": _redis}


def run_seed(
    seed: int, make_store: Any = Model, *, messages: int = 12, steps: int = 400
) -> tuple[World, list[str]]:
    """One world from start to rest, and what it violated."""
    watch = watch_model if isinstance(make_store, type) and issubclass(make_store, Model) else None
    world = World(seed, make_store, messages=messages, watch=watch)
    world.run(steps)
    return world, violations(world)


def shrink(seed: int, make_store: Any = Model) -> tuple[World, list[str]]:
    """The shortest tale of a failing seed: fewer messages first, then fewer steps of trouble."""
    messages, steps = 12, 400
    best = run_seed(seed, make_store)
    for fewer in range(1, messages):
        tried = run_seed(seed, make_store, messages=fewer)
        if tried[1]:
            messages, best = fewer, tried
            break
    while steps > 1:
        tried = run_seed(seed, make_store, messages=messages, steps=steps // 2)
        if not tried[1]:
            break
        steps, best = steps // 2, tried
    for fewer in range(steps - 1, steps // 2, -1):
        tried = run_seed(seed, make_store, messages=messages, steps=fewer)
        if not tried[1]:
            break
        best = tried
    return best


def main(argv: list[str] | None = None) -> int:
    """Run the seeds; tell the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m property_tests.simulate")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--store", choices=sorted(stores), default="model")
    options = parser.parse_args(argv)
    began = time.perf_counter()
    for seed in range(options.first, options.first + options.seeds):
        world, found = run_seed(seed, stores[options.store])
        if found:
            world, found = shrink(seed, stores[options.store])
            print("\n".join(world.timeline))
            print(f"\nseed {seed} on {options.store}:", *found, sep="\n  ")
            return 1
    took = time.perf_counter() - began
    print(f"{options.seeds} seeds on {options.store}: all well, {options.seeds / took:.0f} seeds/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
