"""The graph as a pure value: nodes, edges, what flows where. No store."""

from typing import Any

import pytest

from reliable_tasks import App, chain, chord, group
from reliable_tasks.canvas import compile_plan, plan_of
from reliable_tasks.canvas.compile import Graph
from reliable_tasks.core.message import On
from tests.canvas.helpers import add_tasks


@pytest.fixture
def t() -> Any:
    return add_tasks(App("pure", set_as_current=False))


def graph(canvas: Any) -> Graph:
    return compile_plan(plan_of(canvas))


def arrows(compiled: Graph) -> list[tuple[str, str, str, int]]:
    names = {node.id: str(node.call.args[0]) for node in compiled.nodes if node.call.args}
    names |= {n.id: n.call.task.rpartition(".")[2] for n in compiled.nodes if n.id not in names}
    return [
        (names[node.id], names[edge.child], edge.on, edge.slot)
        for node in compiled.nodes
        for edge in node.edges
    ]


def test_a_chain(t: Any) -> None:
    compiled = graph(t.pair.s("a") | t.pair.s("b") | t.pair.si("c"))
    assert arrows(compiled) == [("a", "b", On.SUCCESS, 0), ("b", "c", On.SUCCESS, -1)]
    assert [node.takes for node in compiled.nodes] == ["", "one", ""]
    assert [node.waits for node in compiled.nodes] == [0, 1, 1]


def test_a_chord(t: Any) -> None:
    compiled = graph(chord([t.pair.s("a"), t.pair.s("b")], t.pair.s("c")))
    assert arrows(compiled) == [("a", "c", On.SUCCESS, 0), ("b", "c", On.SUCCESS, 1)]
    body = compiled.nodes[-1]
    assert (body.takes, body.shape, body.waits) == ("list", None, 2)
    assert compiled.result.parent is not None
    assert len(compiled.result.parent.members or ()) == 2


def test_shapes(t: Any) -> None:
    e = t.echo.si
    nested = group(e(0), e(1), group(e(2), group(e(3)), group([])), e(4)) | t.echo.s()
    body = graph(nested).nodes[-1]
    assert body.shape == [2, [1, [1], []], 1]
    assert graph(group([]) | t.echo.s()).nodes[-1].shape == []


def test_group_after_group_takes_a_knot(t: Any) -> None:
    compiled = graph(
        group(t.pair.s("a"), t.pair.s("b")) | group(t.pair.s("c"), t.pair.s("d"), t.pair.s("e"))
    )
    assert [node.call.task for node in compiled.nodes].count("reliable_tasks.collect") == 1
    assert len(arrows(compiled)) == 2 + 3
    lone = graph(group(t.pair.s("a")) | group(t.pair.s("c"), t.pair.s("d")))
    assert len(lone.nodes) == 3
    into_one = graph(group(t.pair.s("a"), t.pair.s("b")) | group(t.pair.s("c")))
    assert len(into_one.nodes) == 3


def test_edges_grow_with_the_members(t: Any) -> None:
    for size in (10, 100, 1000):
        wide = group(t.echo.si(i) for i in range(size))
        ends = group(t.echo.s() for _ in range(size))
        compiled = graph(wide | ends | t.echo.s())
        assert sum(len(node.edges) for node in compiled.nodes) == 3 * size


def test_errbacks_are_shared(t: Any) -> None:
    line = chain(t.pair.s("a"), t.pair.s("b"), group(t.pair.s("c"), t.pair.s("d")))
    line.link_error(t.pair.s("oops"))
    line.tasks[0].link_error(t.pair.s("oops"))
    compiled = graph(line)
    errback = next(node for node in compiled.nodes if node.any_parent)
    assert (errback.takes, errback.waits) == ("errback", 5)
    assert errback.parent_id is None, "which of them it was is known when one has failed"
    failing = [arrow for arrow in arrows(compiled) if arrow[2] == On.FAILURE]
    assert {(parent, child) for parent, child, _, _ in failing} == {
        (parent, "oops") for parent in "abcd"
    }
    assert len([node for node in compiled.nodes if node.any_parent]) == 1


def test_parents_come_first(t: Any) -> None:
    canvas = chord([t.echo.si(1) | group(t.echo.s(), t.echo.s()), t.echo.si(2)], t.echo.s())
    compiled = graph(canvas | group(t.echo.s(), t.echo.s()))
    place = {node.id: at for at, node in enumerate(compiled.nodes)}
    for node in compiled.nodes:
        assert all(place[edge.child] > place[node.id] for edge in node.edges)


def test_a_mirror_points_at_what_is_replaced(t: Any) -> None:
    one = compile_plan(plan_of(t.echo.si(1) | t.echo.s()), mirror="me")
    assert [edge.child for edge in one.nodes[-1].edges] == ["me"]
    many = compile_plan(plan_of(group(t.echo.si(1), t.echo.si(2))), mirror="me", chord="body")
    assert many.nodes[-1].call.task == "reliable_tasks.collect"
    assert [edge.on for edge in many.nodes[-1].edges] == [On.MIRROR]
    assert many.nodes[-1].part_of["chord"] == "body"
