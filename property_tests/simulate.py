"""Run simulated worlds: `python -m property_tests.simulate --seeds 10000 [--store sqlite]`.

A seed that breaks an invariant prints its timeline and ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from property_tests.model import Model
from property_tests.simulation.checks import violations, watch_model
from property_tests.simulation.world import World

__all__ = ["main", "run_seed", "stores"]


def _sqlite(clock: Any, options: Any) -> Any:
    from reliable_tasks.store.sqlite import SqliteStore  # noqa: PLC0415 - only when asked for

    return SqliteStore(None, options, clock)


stores: dict[str, Any] = {"model": Model, "sqlite": _sqlite}


def run_seed(seed: int, make_store: Any = Model) -> tuple[World, list[str]]:
    """One world from start to rest, and what it violated."""
    watch = watch_model if isinstance(make_store, type) and issubclass(make_store, Model) else None
    world = World(seed, make_store, watch=watch)
    world.run()
    return world, violations(world)


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
            print("\n".join(world.timeline))
            print(f"\nseed {seed} on {options.store}:", *found, sep="\n  ")
            return 1
    took = time.perf_counter() - began
    print(f"{options.seeds} seeds on {options.store}: all well, {options.seeds / took:.0f} seeds/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
