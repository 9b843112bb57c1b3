"""The findings as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import table

from .goals import misses
from .scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.systems import System

    from .judge import Verdict
    from .scenarios import Found

__all__ = ["markdown"]

_HEAD = (
    "",
    "hit",
    "lost",
    "parked",
    "completed twice",
    "of these, not hit",
    "seconds to recover",
    "last message",
)


def markdown(
    found: Sequence[Found],
    systems: Sequence[System],
    about: Mapping[str, str],
    failures: Sequence[str],
) -> str:
    """All of it: a table for each scenario, whether the goals are reached, what was compared."""
    parts = [_table(name, [f for f in found if f.scenario == name], systems) for name in SCENARIOS]
    parts += [_goals(found, systems), f"### What was compared\n\n{table(['', ''], about.items())}"]
    if failures:
        lines = "\n".join(f"- {failure.splitlines()[0]}" for failure in failures)
        parts.append(f"Runs that came to nothing:\n\n{lines}")
    return "\n\n".join(part for part in parts if part)


def _table(name: str, found: Sequence[Found], systems: Sequence[System]) -> str:
    if not found:
        return ""
    scenario = SCENARIOS[name]
    by_name = {f.system: f for f in found}
    head = [*_HEAD, "results overwritten"] if name == "zombie" else _HEAD
    rows = [
        _row(by_name[system.name]) if system.name in by_name else [system.name, "not applicable"]
        for system in systems
        if system.name in by_name or (scenario.concerns(system) and not scenario.fits(system))
    ]
    return f"### {scenario.title}\n\n{table(head, rows)}"


def _row(found: Found) -> list[str]:
    v = found.verdict
    last = "run" if found.last_ran else "**not run**"
    again = f" (the worker ended by itself: {found.restarts})" if found.restarts else ""
    cells = [
        found.system,
        str(v.interrupted) if found.scenario != "store" else "-",
        _bad(v.lost),
        _bad(v.parked),
        str(v.twice),
        _bad(v.twice_unhit),
        _recovery(v),
        last + again,
    ]
    return cells if found.overwritten is None else [*cells, _bad(found.overwritten)]


def _bad(count: int) -> str:
    return f"**{count}**" if count else "0"


def _recovery(verdict: Verdict) -> str:
    """The longest; how often it never came."""
    known = [s for s in verdict.recovery_s if s is not None]
    never = len(verdict.recovery_s) - len(known)
    said = [f"{max(known):.1f}"] if known else []
    if never:
        said.append(f"**never** ({never} of {len(verdict.recovery_s)})")
    return ", ".join(said) or "-"


def _goals(found: Iterable[Found], systems: Sequence[System]) -> str:
    ours = {system.name for system in systems if system.is_ours}
    missed = [line for f in found if f.system in ours for line in misses(f)]
    lines = "\n".join(f"- {line}" for line in missed) or "All are reached."
    return f"### Our goals\n\n{lines}"
