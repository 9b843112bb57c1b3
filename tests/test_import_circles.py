"""No module imports, by whatever way, one that imports it: those in functions count as well."""

from __future__ import annotations

from pathlib import Path

from tests.measure_house.arrows import circles, graph_of

ROOT = Path(__file__).parents[1]

# Circles of which an arrow is for type checkers alone. They may only shrink, and go.
OF_TYPES = [
    {
        # What a task is made of takes tasks, and a task gives signatures of itself.
        f"reliable_tasks.{name}"
        for name in (
            *("canvas", "canvas.arguments", "canvas.compile", "canvas.eager", "canvas.enqueue"),
            *(
                "canvas.chords",
                "canvas.freeze",
                "canvas.lazy",
                "canvas.mapped",
                "canvas.plan",
                "canvas.primitives",
            ),
            *("canvas.replacing", "canvas.signatures", "canvas.typed"),
            *("tasks.asking", "tasks.calls", "tasks.options", "tasks.task"),
        )
    },
    {"locks._renewal", "locks._taker"},  # who renews keeps what it renews for
]


def test_there_are_no_circles_at_run_time() -> None:
    assert circles(graph_of(ROOT)) == []


def test_circles_for_type_checkers_only_shrink() -> None:
    found = [set(circle) for circle in circles(graph_of(ROOT, type_checking=True))]
    for circle in found:
        assert any(circle <= known for known in OF_TYPES), f"a new circle: {sorted(circle)}"
    assert len(found) == len(OF_TYPES), "well done: take the circles that are gone off the list"
    assert set().union(*found) == set().union(*OF_TYPES), "well done: take these off the list"
