"""Each safeguard, switched off: something must notice. `python -m property_tests.ablations`.

An ablation changes one line of the code for as long as a `with` block lasts: of the model (which
the stores are held against), of the worker's deciding code, or of a store's own Python, SQL or Lua.
A safeguard whose absence nothing notices would be a defect of the suite.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from property_tests import test_uniqueness as uniqueness
from property_tests.ablations.safeguards import ABLATIONS, ONCE_KEYS, SIMULATED, Ablation
from property_tests.ablations.switching import changed
from property_tests.agreement import machine as agreement
from property_tests.agreement.first_failure import first_failure
from property_tests.simulation.runner import run_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hypothesis.stateful import RuleBasedStateMachine

__all__ = ["Caught", "caught", "without"]


@dataclass(frozen=True, slots=True)
class Caught:
    """How an absence was noticed: after how many worlds or examples, and by what."""

    after: int
    seen: str


_LIMITS = {SIMULATED: 300}
_EXAMPLES = 300


@contextlib.contextmanager
def without(ablation: Ablation) -> Iterator[None]:
    """The code without one safeguard."""
    with changed(ablation.where, ablation.old, ablation.new):
        yield


def caught(ablation: Ablation) -> Caught | None:
    """How its absence is noticed; None if it is not."""
    with without(ablation):
        if ablation.by != SIMULATED:
            failed = first_failure(_machine_of(ablation.by), _EXAMPLES)
            return failed and Caught(*failed)
        for seed in range(_LIMITS[SIMULATED]):
            try:
                _, found = run_seed(seed)
            except (Exception, SystemExit) as exc:  # noqa: BLE001 - a world that breaks is one that was noticed
                found = [f"{type(exc).__name__}: {exc}"]
            if found:
                return Caught(seed + 1, found[0])
    return None


def _machine_of(by: str) -> type[RuleBasedStateMachine]:
    if by in ONCE_KEYS:
        return uniqueness.machine_of(*by.split())
    return agreement.machine_of(by)


def _row(ablation: Ablation) -> tuple[str, bool]:
    found = caught(ablation)
    after, seen = (found.after, found.seen) if found else ("never", "nothing")
    return f"| {ablation.name} | {after} | {seen} |", found is not None


_HEADS = {
    SIMULATED: ("In simulated worlds", "seeds", "what was seen"),
    "memory": ("In the SQLite store, held against the model", "examples", "where they part"),
    "redis": ("In the Redis store, held against the model", "examples", "where they part"),
    **{by: (f"In the state machine of once-keys, {by}", "examples", "where") for by in ONCE_KEYS},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; 1 if a safeguard's absence goes unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m property_tests.ablations")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    options = parser.parse_args(argv)
    missed = 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        rows = pool.imap(_row, ABLATIONS)
        for by, group in itertools.groupby(ABLATIONS, lambda ablation: ablation.by):
            title, unit, seen = _HEADS[by]
            print(f"{title}:\n\n| without | {unit} | {seen} |\n| --- | ---: | --- |")
            for _ in group:
                row, noticed = next(rows)
                missed += not noticed
                print(row, flush=True)
            print()
    return 1 if missed else 0
