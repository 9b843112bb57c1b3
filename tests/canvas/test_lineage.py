"""`request.root_id` and `request.parent_id`: who started what, through the stores and eagerly."""

from collections.abc import Callable
from typing import Any

import pytest

from reliable_tasks import chain, chord, group
from tests.canvas.helpers import Harness

Seen = dict[str, tuple[str, str | None, str | None]]
"""What each call saw, by its label: its id, its root's and its parent's."""


@pytest.fixture
def seen() -> Seen:
    return {}


@pytest.fixture
def mark(harness: Harness, seen: Seen) -> Any:
    """A task that notes what it sees under a label, its last argument."""

    @harness.app.task(bind=True, name="mark")
    def mark(self: Any, *args: Any) -> Any:
        label = args[-1]
        seen[label] = (self.request.id, self.request.root_id, self.request.parent_id)
        if label == "fails":
            raise ValueError(label)
        if label == "spawns":
            chain(mark.si("first"), mark.si("second")).apply_async()
            mark.delay("alone")
        if label == "replaced":
            self.replace(chain(mark.si("in"), mark.si("out")))
        return label

    return mark


def parents(seen: Seen) -> dict[str, str | None]:
    """Who started each call, by their labels."""
    labels = {own_id: label for label, (own_id, _, _) in seen.items()}
    assert len(labels) == len(seen)
    return {label: labels.get(parent) if parent else None for label, (_, _, parent) in seen.items()}


def roots(seen: Seen) -> set[str | None]:
    labels = {own_id: label for label, (own_id, _, _) in seen.items()}
    return {labels.get(root or "") for _, root, _ in seen.values()}


CANVASES: dict[str, tuple[Callable[[Any], Any], dict[str, str | None]]] = {
    "chain": (
        lambda m: chain(m.si("a"), m.si("b"), m.s("c")),
        {"a": None, "b": "a", "c": "b"},
    ),
    "group in a chain": (
        lambda m: m.si("a") | group(m.si("b"), m.s("c") | m.si("d")),
        {"a": None, "b": "a", "c": "a", "d": "c"},
    ),
    "the body of a chord": (
        lambda m: chord([m.si("a"), m.si("b")], m.s("body")),
        {"a": None, "b": None, "body": "b"},
    ),
    "a group after a group": (
        lambda m: group(m.si("a"), m.si("b")) | group(m.s("c"), m.s("d")) | m.si("e"),
        {"a": None, "b": None, "c": "b", "d": "b", "e": "d"},
    ),
    "an empty group between": (
        lambda m: m.si("a") | group() | m.s("b"),
        {"a": None, "b": "a"},
    ),
    "an empty group first": (lambda m: group() | m.s("a"), {"a": None}),
    "a callback": (lambda m: m.si("a").set(link=m.si("b")), {"a": None, "b": "a"}),
    "an errback of many": (
        lambda m: group(m.si("a"), m.si("fails")).on_error(m.s("told")),
        {"a": None, "fails": None, "told": "fails"},
    ),
    "an errback that takes nothing": (
        lambda m: m.si("fails").on_error(m.si("told")),
        {"fails": None, "told": "fails"},
    ),
    "what a body enqueues": (
        lambda m: m.si("a") | m.si("spawns"),
        {"a": None, "spawns": "a", "first": "spawns", "second": "first", "alone": "spawns"},
    ),
    "what a body puts in its place": (
        lambda m: m.si("a") | m.si("replaced") | m.si("b"),
        {"a": None, "replaced": "a", "in": "replaced", "out": "in", "b": "replaced"},
    ),
}


@pytest.mark.parametrize("name", CANVASES)
def test_each_call_knows_what_started_it(
    name: str, mark: Any, seen: Seen, harness: Harness
) -> None:
    make, expected = CANVASES[name]
    make(mark).apply_async()
    harness.drain()
    assert parents(seen) == expected
    assert len(roots(seen)) == 1


@pytest.mark.parametrize("name", CANVASES)
def test_eager_calls_know_the_same(name: str, mark: Any, seen: Seen, harness: Harness) -> None:
    make, expected = CANVASES[name]
    harness.app.conf.task_always_eager = True
    make(mark).apply_async(throw=False)
    assert parents(seen) == expected
    assert len(roots(seen)) == 1


def test_nested_apply_is_a_child(harness: Harness) -> None:
    seen = list[tuple[str, str, str | None]]()

    @harness.app.task(bind=True, name="nested")
    def nested(self: Any, depth: int) -> None:
        seen.append((self.request.id, self.request.root_id, self.request.parent_id))
        if depth:
            nested.apply((depth - 1,))
            group(nested.s(0)).apply()

    nested.apply((1,))
    outer, inner, member = seen
    assert outer[1:] == (outer[0], None)
    assert inner[1:] == member[1:] == (outer[0], outer[0])


def test_ids_that_are_given_stay(mark: Any, seen: Seen, harness: Harness) -> None:
    chain(mark.si("a"), mark.si("b")).apply_async(root_id="root", parent_id="parent")
    mark.si("c").set(root_id="root", parent_id="parent").apply_async()
    harness.drain()
    assert {root for _, root, _ in seen.values()} == {"root"}
    assert [seen[label][2] for label in "abc"] == ["parent", seen["a"][0], "parent"]
