"""`python -m property_tests.shards --messages 10000000`: shards that die, simulated on the model.

Prints what has happened, and ends with exit code 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time

from property_tests.shards.world import World

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run one world; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m property_tests.shards", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trouble", type=float, default=2.0, help="multiplies misfortune")
    given = parser.parse_args(argv)
    began, last = time.monotonic(), [0.0]
    world = World(given.seed, given.messages, trouble=given.trouble)

    def progress(world: World) -> None:
        if time.monotonic() - last[0] > 10:
            last[0] = time.monotonic()
            print(f"{world.account.stored:,} stored, {len(world.account.live):,} alive", flush=True)

    found = world.run(progress)
    print(f"seed {given.seed}: {world.account.stored:,} messages over {len(world.shards)} shards")
    print(f"in {time.monotonic() - began:,.0f} s, {time.process_time():,.0f} s of processor time,")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB at most")
    given_up = sum(producer.gave_up for producer in world.producers)
    print(f"{world.downs:,} deaths of shards, {world.deaths:,} of workers")
    print(f"{given_up:,} calls given up")
    for event, count in sorted(world.account.counts.items()):
        print(f"{count:>14,} {event}")
    print("\n".join(found) or "no promise was broken")
    return 1 if found else 0


if __name__ == "__main__":
    gc.disable()  # nothing here forms circles, and looking for them takes a tenth of the time
    sys.exit(main())
