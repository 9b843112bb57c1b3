"""Draws results: `python -m benchmarks.plot speed.json speed.svg`, with `speed-dark.svg` beside it.

Each system is a dot at its median and a line over the range of its rounds, on one logarithmic scale
for each panel. It runs in an environment of its own, which has matplotlib.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .results import Results
from .systems import BEFORE, SYSTEMS

__all__ = ["draw"]

_CHARTS = (
    ("drain", "per_second", "Drain with results, two processes: messages/s →"),
    ("drain", "cpu_us", "← Drain: CPU µs a message, worker and server"),
    ("enqueue", "one", "Enqueue one by one: messages/s →"),
    ("enqueue", "fastest", "Enqueue in bulk: messages/s →"),
    ("latency", "start_p50", "← Idle worker: enqueue to start, p50, ms"),
    ("latency", "round_p50", "← Idle worker: round trip, p50, ms"),
    ("memory", "idle", "← Memory of two processes, idle, MiB"),
    ("start", "seconds", "← Cold start to the first body, s"),
)
_THEMES: dict[str, dict[str, str]] = {
    "": {"text": "#1f2328", "grid": "#d8dee4", "ours": "#1a7f5a", "peer": "#57606a"},
    "-dark": {"text": "#e6edf3", "grid": "#30363d", "ours": "#3fb985", "peer": "#9aa4af"},
}
_ORDER = {system.name: place for place, system in enumerate(SYSTEMS)}


def _label(value: float) -> str:
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _tick(value: float, _: object) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _dots(axes: Any, found: dict[str, dict[str, list[float]]], number: str, theme: Any) -> None:
    names = [s for s in _ORDER if s in found and found[s].get(number) and BEFORE not in s]
    names.reverse()  # rows are drawn from below
    axes.set_xscale("log")
    for row, name in enumerate(names):
        values = found[name][number]
        colour = theme["ours"] if name.startswith("reliable_tasks") else theme["peer"]
        marker = "|" if name.startswith("floor") else "o"
        axes.plot([min(values), max(values)], [row, row], color=colour, linewidth=2)
        axes.plot([statistics.median(values)], [row], marker, color=colour, markersize=6)
        axes.annotate(
            _label(statistics.median(values)),
            (max(values), row),  # beyond the line, wherever its dot is
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
        )
    axes.set_yticks(range(len(names)), names)
    for text in axes.get_yticklabels():
        text.set_color(theme["ours" if text.get_text().startswith("reliable") else "text"])
    _scale(axes, theme)


def _scale(axes: Any, theme: Any) -> None:
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.1, high * (high / low) ** 0.16)  # room for the last label
    near = high / low < 30
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if near else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(_tick))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8, colors=theme["text"], length=0, which="both")
    for text in axes.get_yticklabels():
        text.set_fontsize(8)
    axes.grid(axis="x", color=theme["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw(results: Results, path: Path, theme: dict[str, str]) -> None:
    charts = [
        chart
        for chart in _CHARTS
        if any(n.get(chart[1]) for n in results.values.get(chart[0], {}).values())
    ]
    rows = max(1, -(-len(charts) // 2))
    figure, grid = plt.subplots(rows, 2, figsize=(12, 3.5 * rows), squeeze=False)
    places = [axes for row in grid for axes in row]
    for axes, (measure, number, title) in zip(places, charts, strict=False):
        axes.set_facecolor("none")
        _dots(axes, results.values[measure], number, theme)
        axes.set_title(title, fontsize=10, color=theme["text"], loc="left")
    for axes in places[len(charts) :]:
        axes.remove()
    figure.tight_layout()
    figure.savefig(path, transparent=True, metadata={"Date": None})
    plt.close(figure)


def draw(results: Results, path: Path) -> None:
    """Draw what there is, for pages with a light and with a dark background."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same results give the same file
    mpl.rcParams["svg.fonttype"] = "none"  # text as text
    for suffix, theme in _THEMES.items():
        _draw(results, path.with_name(f"{path.stem}{suffix}{path.suffix}"), theme)


if __name__ == "__main__":
    draw(Results.load(Path(sys.argv[1])), Path(sys.argv[2]))
