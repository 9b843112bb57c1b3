"""Growth: what a step costs where there is ten and a hundred times as much.

`python -m benchmarks --only growth --peers '' --before ../older`. A factor of 1 says that a step
costs the same however much there is. Costs are processor time, of who calls and of the server
together, so that they depend less on what else the machine does; each row of `growth_rows` has a
server or a file of its own. The rows of idle workers are of whole fleets: there ten times as many
may cost ten times as much.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from . import idle_fleet
from .arena import ROOT, told_with

if TYPE_CHECKING:
    from .arena import Place
    from .results import Results
    from .scale import Scale
    from .systems import System

__all__ = ["growth", "growth_table"]

Numbers = dict[str, float]
FACTORS = (1, 10, 100)
PATIENCE_S = 3_000
_PER_CORE_US = 1e6


def growth(system: System, place: Place, scale: Scale) -> Numbers:
    """Each row at its first size, at ten times that, and at a hundred times."""
    sizes = {part: [least * by for by in FACTORS] for part, least in scale.growth.items()}
    fleets = sizes.pop("fleet", [])
    rows = _rows(system, json.dumps(sizes), place)
    if fleets:
        rows |= _idle(system, tuple(fleets), scale.idle_s)
    return {
        f"{name}|{factor}": cost
        for name, costs in rows.items()
        for factor, cost in zip(FACTORS, costs, strict=False)
    }


def _rows(system: System, sizes: str, place: Place) -> dict[str, list[float]]:
    """What `growth_rows` finds with the code of the system's checkout."""
    words = ("benchmarks.growth_rows", system.store, sizes)
    found: dict[str, list[float]] = told_with(
        system.checkout or ROOT, *words, work=place.work, seconds=PATIENCE_S
    )
    return found


def _idle(system: System, sizes: tuple[int, ...], seconds: float) -> dict[str, list[float]]:
    """Microseconds a second that fleets of idle workers cost the server, and each its host."""
    checkout = system.checkout or ROOT
    fleets = idle_fleet.growth(system.store, sizes, seconds=seconds, checkout=checkout).values()
    rows = {"idle workers: each on its host, a second": [f.own * _PER_CORE_US for f in fleets]}
    if system.store == "redis":
        rows["idle workers: all on the server, a second"] = [
            f.server * _PER_CORE_US for f in fleets
        ]
    return rows


def growth_table(results: Results, names: list[str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: a row for each step, and for each system its first cost and the factors."""
    found = results.values["growth"]
    steps = dict.fromkeys(key.partition("|")[0] for name in names for key in found[name])
    head = ["µs of processor time, at 10 times and at 100 times as much", *names]
    return head, [[step, *(_cell(results, name, step) for name in names)] for step in steps]


def _cell(results: Results, system: str, step: str) -> str:
    costs = [results.median("growth", system, f"{step}|{factor}") for factor in FACTORS]
    first = costs[0]
    if not first:
        return "-"
    factors = (f"{cost / first:.1f} x" if cost is not None else "-" for cost in costs[1:])
    return f"{first:,.0f}; {', '.join(factors)}"
