"""Draws the results: `python -m benchmarks.plot speed.json speed.png speed.svg`.

It runs in an environment of its own, which has matplotlib.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from .results import Results

__all__ = ["draw"]

_CHARTS = (
    ("drain", "per_second", "Drain, two processes,\nmessages/s (more is better)"),
    ("enqueue", "one_by_one", "Enqueue one by one,\nmessages/s (more is better)"),
    ("latency", "round_p50", "Round trip on an idle worker,\np50, ms (less is better)"),
    ("memory", "idle", "Memory of two processes,\nMiB (less is better)"),
    ("start", "seconds", "Cold start,\ns (less is better)"),
)
_OURS, _FLOOR, _PEER = "#1b7f5c", "#bbbbbb", "#5a7fb0"


def _colour(system: str) -> str:
    if system.startswith("reliable_tasks"):
        return _OURS
    return _FLOOR if system.startswith("floor") else _PEER


def _bars(axes: Any, found: dict[str, dict[str, list[float]]], number: str) -> None:
    shown = [(s, numbers[number]) for s, numbers in found.items() if numbers.get(number)]
    shown.reverse()  # bars are drawn from below
    names = [system for system, _ in shown]
    medians = [statistics.median(values) for _, values in shown]
    low = [m - min(values) for m, (_, values) in zip(medians, shown, strict=True)]
    high = [max(values) - m for m, (_, values) in zip(medians, shown, strict=True)]
    axes.barh(names, medians, xerr=(low, high), color=[_colour(name) for name in names])
    for row, median in enumerate(medians):
        text = f" {median:,.0f}" if median >= 100 else f" {median:.2g}"
        axes.text(median, row, text, va="center", fontsize=7)
    axes.set_xscale("log")


def draw(results: Results, paths: list[Path]) -> None:
    """Draw what there is."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same results give the same file
    charts = [chart for chart in _CHARTS if chart[0] in results.values]
    rows = max(1, -(-len(charts) // 2))
    figure, grid = plt.subplots(rows, 2, figsize=(11, 3.6 * rows), squeeze=False)
    places = [axes for row in grid for axes in row]
    for axes, (measure, number, title) in zip(places, charts, strict=False):
        _bars(axes, results.values[measure], number)
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.margins(x=0.2)
    for axes in places[len(charts) :]:
        axes.remove()
    figure.tight_layout()
    for path in paths:
        options = {"metadata": {"Date": None}} if path.suffix == ".svg" else {"dpi": 110}
        figure.savefig(path, **options)


if __name__ == "__main__":
    draw(Results.load(Path(sys.argv[1])), [Path(name) for name in sys.argv[2:]])
