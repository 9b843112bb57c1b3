"""Results as markdown: a table for each measure, and how far the goals were reached."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from .goals import verdicts
from .growth import growth_table
from .measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .results import Results, Spread
    from .systems import System

__all__ = ["insert", "markdown", "table"]

END = "<!-- end of results -->"
_TITLES = {
    "per_second": "messages/s",
    "worker_us": "worker CPU µs",
    "server_us": "server CPU µs",
    "one": "one by one, /s",
    "one_us": "producer CPU µs",
    "one_server_us": "server CPU µs",
    "bulk": "in bulk, /s",
    "bulk_us": "producer CPU µs",
    "bulk_server_us": "server CPU µs",
    "otherwise": "in bulk, another way, /s",
    "otherwise_us": "producer CPU µs",
    "otherwise_server_us": "server CPU µs",
    "lone": "one at a time",
    "lone_cpu": "CPU",
    "many": "64 at once",
    "many_cpu": "CPU",
    "lone_threads": "one at a time, in threads",
    "lone_threads_cpu": "CPU",
    "many_threads": "64 at once, in threads",
    "many_threads_cpu": "CPU",
    "start_p50": "to start p50",
    "start_p99": "to start p99",
    "round_p50": "to result p50",
    "round_p99": "to result p99",
    "late_p50": "late p50",
    "late_most": "at most",
    "load": "load, messages/s",
    "after": "after the messages",
    "off": "warnings only",
    "info": "a line each",
    "off_us": "worker CPU µs, warnings only",
    "info_us": "worker CPU µs, a line each",
}
_UNTOLD = {"fastest", "cpu_us", "shortest", "longest"}  # they are for the goals
_LARGE, _SMALL = 100, 10


def markdown(results: Results, systems: Sequence[System]) -> str:
    """All of it."""
    parts = [_goals(results, systems), *_tables(results, systems), _about(results, systems)]
    if results.failures:
        failures = (f"- {line.splitlines()[0]}" for line in results.failures)
        parts.append("Runs that came to nothing:\n\n" + "\n".join(failures))
    return "\n\n".join(part for part in parts if part)


def insert(page: Path, text: str, command: str = "python -m benchmarks") -> None:
    """Put the text between the marks of a page; a page without them gets it at its end."""
    begin = f"<!-- results: written by {command} -->"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    before, _, rest = old.partition(begin)
    _, _, after = rest.partition(END)
    page.write_text(f"{before.rstrip()}\n\n{begin}\n\n{text}\n\n{END}\n{after}", encoding="utf-8")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is words, the others numbers."""
    numbers = ["---:"] * (len(head) - 1)
    return "\n".join([_row(head), _row(["---", *numbers]), *map(_row, rows)])


def _number(value: float) -> str:
    if value >= _LARGE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= _SMALL else f"{value:.2f}"


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    if spread.low == spread.high:
        return _number(spread.median)
    return f"**{_number(spread.median)}** ({_number(spread.low)} to {_number(spread.high)})"


def _tables(results: Results, systems: Sequence[System]) -> Iterable[str]:
    for key, measure in MEASURES.items():
        found = results.values.get(key)
        if not found:
            continue
        if key == "growth":
            there = [system.name for system in systems if system.name in found]
            yield f"### {measure.title}\n\n{table(*growth_table(results, there))}"
            continue
        names = [n for n in dict.fromkeys(itertools.chain(*found.values())) if n not in _UNTOLD]
        head = ["", *(_TITLES.get(name, name) for name in names)]
        rows = [
            [system.name, *(_cell(results.spread(key, system.name, name)) for name in names)]
            for system in systems
            if system.name in found
        ]
        rounds = max(len(v) for numbers in found.values() for v in numbers.values())
        said = "One round" if rounds == 1 else f"Medians of {rounds} rounds, and the range"
        yield f"### {measure.title}\n\n{said}.\n\n{table(head, rows)}"


def _goals(results: Results, systems: Sequence[System]) -> str:
    found = verdicts(results, systems)
    if not found:
        return ""
    rows = []
    for v in found:
        against = "-" if v.against is None else f"{v.against[0]}: {_cell(v.against[1])}"
        ratios = ("-" if r is None else f"{r:.2f} x" for r in (v.ratio_before, v.ratio))
        rows.append([v.goal, _cell(v.before), _cell(v.now), against, *ratios, v.word])
    head = ["goal", "before", "now", "held against", "ratio before", "ratio", ""]
    if all(v.before is None for v in found):
        head, *rows = ([*cells[:1], *cells[2:4], *cells[5:]] for cells in (head, *rows))
    return f"### Goals\n\n{table(head, rows)}"


def _about(results: Results, systems: Sequence[System]) -> str:
    versions = [(name, said) for name, said in results.about.items()]
    guarantees = [(system.name, system.guarantee) for system in systems]
    return (
        "### What was compared\n\n"
        f"{table(['', 'when a worker dies'], guarantees)}\n\n{table(['', ''], versions)}"
    )
