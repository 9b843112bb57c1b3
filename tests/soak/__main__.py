"""Real processes for as long as you like: `python -m tests.soak --minutes 60 --store both`.

Faults are made in rounds of a few minutes, each on a new store and with a seed of its own. A round
in which something is broken prints its seed and its timelines, keeps its folder and ends the run
with exit code 1.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.account import load
from tests.soak.checks import violations
from tests.soak.driver import Soak

ROUND_S = 300.0


def main(argv: list[str] | None = None) -> int:
    """Run rounds until the time is over, or one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=3.0, help="of faults, on each store")
    parser.add_argument("--seed", type=int, help="of the first round; by default the time of day")
    parser.add_argument("--store", choices=("sqlite", "redis", "both"), default="both")
    parser.add_argument("--folder", type=Path, help="where folders of rounds are made")
    parser.add_argument("--keep", action="store_true", help="keep them where all is well, too")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="only check a kept one again")
    options = parser.parse_args(argv)
    if options.check:
        found = violations(load(options.check))
        print(*found, f"{len(found)} violations", sep="\n")
        return 1 if found else 0
    seed = int(time.time()) if options.seed is None else options.seed
    stores = ("sqlite", "redis") if options.store == "both" else (options.store,)
    left_s = options.minutes * 60
    while left_s > 0:
        for store in stores:
            folder = Path(tempfile.mkdtemp(prefix=f"soak-{store}-{seed}-", dir=options.folder))
            if not run_round(folder, store, seed, min(left_s, ROUND_S)):
                return 1
            if not options.keep:
                shutil.rmtree(folder)
        seed, left_s = seed + 1, left_s - ROUND_S
    return 0


def run_round(folder: Path, store: str, seed: int, seconds: float) -> bool:
    """Run one soak and print a line, or a report where something broke; True if all is well."""
    outcome = Soak(folder, store, seed, seconds).run()
    account = outcome.account
    print(
        f"seed {seed} on {store}: {len(account.records):,} messages, {len(account.rows):,} rows, "
        f"{len(account.effects):,} effects, {outcome.faults} faults in {seconds:g} s; at rest "
        f"{outcome.calm_s:.1f} s after the last one; {len(outcome.found)} violations",
        flush=True,
    )
    if outcome.found:
        print(outcome.report)
        print(f"{repeat(store, seed, seconds)}\nits folder is {folder}")
    return not outcome.found


def repeat(store: str, seed: int, seconds: float) -> str:
    """How to have the same plan of faults again."""
    command = f"python -m tests.soak --store {store} --seed {seed} --minutes {seconds / 60:g}"
    return f"the same faults again: {command}"


if __name__ == "__main__":
    sys.exit(main())
