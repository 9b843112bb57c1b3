"""Draw a workflow: a tree for the terminal, Mermaid and DOT for documents. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliable_tasks.core.message import On
from reliable_tasks.results.result import state_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reliable_tasks.store.values import Record

__all__ = ["render_dot", "render_mermaid", "render_tree"]

_COLOURS = {
    "SUCCESS": "#c8e6c9",
    "FAILURE": "#ffcdd2",
    "REVOKED": "#e0e0e0",
    "STARTED": "#bbdefb",
    "RETRY": "#ffe0b2",
}
_WAITING = "#fff9c4"
_LABELS = {On.FAILURE: "on failure", On.MIRROR: "replaces"}


def _title(record: Record) -> str:
    return record.task.rpartition(".")[2] or record.task


def _note(record: Record) -> str:
    """Its state, and why, where that is not in the ordinary course."""
    state = state_of(record)
    if record.reason:
        return f"{state}: {record.reason}"
    waits = record.waits if record.state == "waiting" else 0
    return f"{state}, waits for {waits}" if waits else state


def _edges(records: Sequence[Record]) -> Iterator[tuple[Record, Record, On]]:
    known = {record.id: record for record in records}
    for record in records:
        for child, on, _slot in record.edges:
            if child in known:
                yield record, known[child], On(on)


def render_tree(records: Sequence[Record]) -> str:
    """A tree of lines: below each message those that wait for it.

    One that waits for several stands in full below the first of them, and as a reference (↑)
    below the others.

    Args:
        records: of one workflow, read with `full`.
    """
    children: dict[str, list[tuple[Record, On]]] = {record.id: [] for record in records}
    heads = {record.id for record in records}
    for parent, child, on in _edges(records):
        children[parent.id].append((child, on))
        heads.discard(child.id)
    lines, drawn = list[str](), set[str]()
    tops = [r for r in records if r.id in heads] or list(records[:1])
    todo = [(record, On.SUCCESS, "", "", "") for record in reversed(tops)]
    while todo:
        record, on, before, branch, indent = todo.pop()
        label = f"({_LABELS[on]}) " if on in _LABELS else ""
        if record.id in drawn:
            lines.append(f"{before}{branch}{label}↑ {_title(record)} {record.id}")
            continue
        drawn.add(record.id)
        lines.append(f"{before}{branch}{label}{record.task} {record.id} [{_note(record)}]")
        below = children[record.id]
        for at in range(len(below) - 1, -1, -1):
            last = at == len(below) - 1
            child, how = below[at]
            mark, deeper = ("└─ ", "   ") if last else ("├─ ", "│  ")
            todo.append((child, how, before + indent, mark, deeper))
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', "'")


def render_mermaid(records: Sequence[Record]) -> str:
    """A Mermaid flowchart, coloured by state; `records` were read with `full`."""
    names = {record.id: f"n{at}" for at, record in enumerate(records)}
    lines = ["flowchart TD"]
    for record in records:
        text = f"{_quoted(_title(record))}<br/>{_quoted(_note(record))}"
        lines.append(f'    {names[record.id]}["{text}"]')
    for parent, child, on in _edges(records):
        arrow = f" -. {_LABELS[on]} .-> " if on in _LABELS else " --> "
        lines.append(f"    {names[parent.id]}{arrow}{names[child.id]}")
    for record in records:
        colour = _COLOURS.get(state_of(record), _WAITING)
        lines.append(f"    style {names[record.id]} fill:{colour},color:#212121")
    return "\n".join(lines)


def render_dot(records: Sequence[Record]) -> str:
    """A graph in the DOT language of Graphviz; `records` were read with `full`."""
    lines = ["digraph workflow {", "  node [shape=box, style=filled];"]
    for record in records:
        colour = _COLOURS.get(state_of(record), _WAITING)
        text = f"{_quoted(_title(record))}\\n{_quoted(_note(record))}"
        lines.append(f'  "{_quoted(record.id)}" [label="{text}", fillcolor="{colour}"];')
    for parent, child, on in _edges(records):
        more = f' [label="{_LABELS[on]}", style=dashed]' if on in _LABELS else ""
        lines.append(f'  "{_quoted(parent.id)}" -> "{_quoted(child.id)}"{more};')
    return "\n".join([*lines, "}"])
