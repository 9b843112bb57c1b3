"""`parent`, `children` and what walks them, as another process sees them: by ids alone."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, GroupResult, chain, chord, group
from reliable_tasks.core.codec import loads, trail_of
from reliable_tasks.errors import ConfigError, IncompleteStream, ReliableTasksError
from reliable_tasks.results import offspring
from reliable_tasks.results.eager import EagerResult
from reliable_tasks.results.groups import result_from_tuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.canvas.helpers import Harness


MOST = 30


def ids(handles: Any) -> list[str]:
    return [handle.id for handle in handles or ()]


@pytest.fixture
def spawn(harness: Harness, t: Any) -> Any:
    """A task that sends others; what it sent is in its result, as handles' ids."""

    def send(what: str) -> Any:
        made: dict[str, Callable[[], Any]] = {
            "calls": lambda: [t.echo.delay(1).id, t.echo.si(2).apply_async().id],
            "group": lambda: group(t.echo.si(n) for n in range(3)).apply_async().id,
            "chain": lambda: chain(t.echo.si(1), t.echo.si(2)).apply_async().parent.id,
            "chord": lambda: chord([t.echo.si(1), t.echo.si(2)])(t.xsum.s()).id,
            "many": lambda: ids(harness.app.enqueue_many([t.echo.si(1), t.echo.si(2)])),
            "one": lambda: t.echo.delay(1).id,
            "no end": lambda: [t.echo.delay(1).id for _ in range(MOST + 1)],
        }
        return made[what]()

    @harness.app.task(name="spawn", bind=True)
    def spawn(self: Any, what: str, then: str = "") -> Any:
        sent = send(what)
        if then == "fail":
            raise ValueError(then)
        return "x" * (self.app.settings.max_result_bytes - 10) if then == "crowd" else sent

    return spawn


@pytest.mark.parametrize("what", ["calls", "many"])
def test_what_a_body_sent_are_its_children(harness: Harness, spawn: Any, what: str) -> None:
    sent = spawn.delay(what)
    assert sent.children is None
    harness.drain()
    there: Any = harness.app.AsyncResult(sent.id)
    assert ids(there.children) == there.get() == ids(sent.children)
    for child in there.children:
        assert (child.parent, child.children) == (there, [])
    assert there.parent is None


def test_a_group_that_a_body_sent_is_a_group(harness: Harness, spawn: Any) -> None:
    sent = spawn.delay("group")
    harness.drain()
    there: Any = harness.app.AsyncResult(sent.id)
    (children,) = there.children
    assert (children.id, children.get()) == (sent.get(), [0, 1, 2])


def test_a_chain_and_a_chord_are_reached_from_their_beginning(harness: Harness, spawn: Any) -> None:
    sent = spawn.delay("chain")
    harness.drain()
    there: Any = harness.app.AsyncResult(sent.id)
    (first,) = there.children
    assert first.id == there.get()
    (second,) = first.children
    assert (second.get(), second.parent, second.children) == (2, first, [])
    sent = spawn.delay("chord")
    harness.drain()
    there = harness.app.AsyncResult(sent.id)
    (header,) = there.children
    assert header.get() == [1, 2]
    assert [ids(member.children) for member in header] == [[sent.get()]] * 2


def test_a_body_that_fails_has_children(harness: Harness, spawn: Any) -> None:
    sent = spawn.delay("one", "fail")
    harness.drain()
    there: Any = harness.app.AsyncResult(sent.id)
    assert len(there.children) == 1
    with pytest.raises(ValueError, match="fail"):
        there.get()


def test_children_have_bounds_and_cost_no_result(
    harness: Harness, spawn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offspring, "MOST_KEPT", MOST)
    sent, crowded = spawn.delay("no end"), spawn.delay("one", "crowd")
    harness.drain()
    there: Any = harness.app.AsyncResult(sent.id)
    assert len(there.children) == MOST
    there = harness.app.AsyncResult(crowded.id)
    assert (there.children, there.get()[:3]) == ([], "xxx")


@pytest.mark.parametrize("then", ["chord", "group"])
def test_a_part_of_a_chord_keeps_fewer(harness: Harness, t: Any, spawn: Any, then: str) -> None:
    follows = t.echo.s() if then == "chord" else group(t.echo.s(), t.echo.s())
    last = chain(group(spawn.si("no end"), spawn.si("calls")), follows).apply_async()
    harness.drain()
    of_workflow = 1 if then == "chord" else 2
    kept = [len(member.children) - of_workflow for member in last.parent.results]
    assert kept == [offspring.MOST_OF_A_PART, 2]


def test_the_next_in_a_chain_gets_the_value_alone(harness: Harness, t: Any, spawn: Any) -> None:
    last = chain(spawn.s("calls"), t.echo.s()).apply_async()
    harness.drain()
    assert last.get() == last.parent.get()
    there: Any = harness.app.AsyncResult(last.parent.id)
    assert ids(there.children) == [last.id, *there.get()], "after those of its workflow"
    assert ids(last.parent.children) == ids(there.children)
    (record,) = harness.app.store.read([last.parent.id])
    assert record is not None
    assert record.result is not None
    assert loads(record.result) == there.get()
    assert len(trail_of(record.result)) == 2


def test_trail_false_keeps_nothing(harness: Harness, t: Any) -> None:
    @harness.app.task(name="quiet", trail=False, bind=True)
    def quiet(self: Any) -> None:
        assert self.add_trail(t.echo.delay(1)) is not None

    @harness.app.task(name="added", bind=True)
    def added(self: Any, other: str) -> list[str]:
        self.add_trail(self.AsyncResult(other))
        self.request.children.append("no handle")
        return ids(self.request.children[:1])

    sent, other = quiet.delay(), t.echo.delay(1)
    more = added.delay(other.id)
    harness.drain()
    assert harness.app.AsyncResult(sent.id).children == []
    assert ids(harness.app.AsyncResult(more.id).children) == more.get() == [other.id]


def test_a_group_after_a_call_and_a_group_after_a_group(harness: Harness, t: Any) -> None:
    made = chain(t.echo.si(1), group(t.echo.si(2), t.echo.si(3)), group(t.echo.s(), t.echo.s()))
    last = made.apply_async()
    harness.drain()
    first: Any = harness.app.AsyncResult(last.parent.parent.id)
    assert ids(first.children) == ids(last.parent.results)
    assert [ids(child.children) for child in first.children] == [ids(last.results)] * 2
    assert [child.parent for child in first.children] == [first] * 2


# Walking them ------------------------------------------------------------------------------------


@pytest.fixture
def tree(harness: Harness) -> Any:
    """The example of Celery's `collect`."""

    @harness.app.task(name="pow2")
    def pow2(i: int) -> int:
        return i**2

    @harness.app.task(name="B")
    def b(i: int) -> Any:
        return pow2.delay(i)

    @harness.app.task(name="A")
    def a(how_many: int) -> Any:
        return group(b.s(i) for i in range(how_many))()

    return a


def test_collect_follows_all_that_was_started(harness: Harness, tree: Any) -> None:
    sent = tree.delay(4)
    there: Any = harness.app.AsyncResult(sent.id)
    found = list(there.collect(timeout=5))
    assert [value for _, value in found if isinstance(value, int)] == [0, 1, 4, 9]
    assert there.get_leaf() == 9
    group_of_b, value_of_a = there.children[0], there.get()
    assert result_from_tuple(value_of_a) == group_of_b, (
        "a handle that is returned can be made again"
    )
    assert group_of_b.children[1].get() == ((group_of_b.children[1].children[0].id, None), None)


def test_iterdeps_and_the_graph_know_what_has_ended_only(harness: Harness, tree: Any) -> None:
    sent = tree.delay(2)
    assert list(sent.iterdeps(intermediate=True)) == [(None, sent)]
    with pytest.raises(IncompleteStream, match=sent.id):
        list(sent.iterdeps())
    harness.drain()
    there: Any = harness.app.AsyncResult(sent.id)
    (members,) = there.children
    assert [handle for _, handle in there.iterdeps()][:4] == [there, members, *members]
    graph = there.graph
    assert graph[there] == [members]
    assert graph[members] == list(members)
    drawn = io.StringIO()
    graph.to_dot(drawn)
    assert f'"{there.id}" -> "{members.id}";' in drawn.getvalue()
    with pytest.raises(ConfigError, match="formatter"):
        there.build_graph(formatter=object())


# As values ---------------------------------------------------------------------------------------


def test_what_two_have_started_is_followed_once(harness: Harness) -> None:
    a, b, c, d, e = (EagerResult(each, each, "SUCCESS", app=harness.app) for each in "abcde")
    a.children, b.children, c.children, d.children = [b, c], [d], [d], [e]
    assert [(str(parent), str(each)) for parent, each in a.iterdeps()] == [
        *(("None", "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e"))
    ]
    assert [value for _, value in a.collect()] == ["a", "b", "c", "d", "e"]


def test_a_chain_with_a_group_goes_through_a_tuple(harness: Harness, t: Any) -> None:
    last = chain(t.echo.si(1), group(t.echo.s(), t.echo.si(3)), t.xsum.s()).apply_async()
    harness.drain()
    for told in (last.as_tuple(), json.loads(json.dumps(last.as_tuple()))):
        made = result_from_tuple(told, harness.app)
        assert (made.id, made.get()) == (last.id, 4)
        assert made.parent == last.parent
        assert made.parent.get() == [1, 3]
        assert made.parent.parent == last.parent.parent
        assert made.as_list() == last.as_list()
        assert made.as_tuple() == last.as_tuple()
    assert len(last.as_list()) == 3


@pytest.mark.parametrize("wrong", [7, (), ("a", None, "more"), "ab"])
def test_what_is_no_tuple_of_a_result_is_refused(wrong: object) -> None:
    with pytest.raises(ReliableTasksError, match="is not the tuple of a result"):
        result_from_tuple(wrong, App("tuples", set_as_current=False))


def test_a_long_chain_goes_through_a_tuple(harness: Harness) -> None:
    handle: Any = None
    for number in range(2000):
        handle = harness.app.AsyncResult(f"{number}", parent=handle)
    made = result_from_tuple(handle.as_tuple(), harness.app)
    assert made.as_list() == handle.as_list()


def test_a_group_is_restored_with_its_parent(harness: Harness, t: Any) -> None:
    made = chain(t.echo.si(1), group(t.echo.si(2), group(t.echo.si(3), t.echo.si(4)))).apply_async()
    made.save()
    harness.drain()
    app: Any = harness.app
    restored = app.GroupResult.restore(made.id)
    assert isinstance(restored, app.GroupResult)
    assert isinstance(restored[0], app.AsyncResult)
    assert not isinstance(restored[0], app.GroupResult)
    assert app.GroupResult.restore("unknown") is None
    assert restored is not None
    assert (restored, restored.parent) == (made, made.parent)
    assert restored.get() == [2, [3, 4]]


def test_a_group_that_an_earlier_release_saved_is_restored(harness: Harness) -> None:
    saved = json.dumps(["g", ["a", ["h", ["b"]]]]).encode()
    harness.app.store.save_group("g", saved, 60_000)
    restored = GroupResult.restore("g", app=harness.app)
    assert restored is not None
    assert restored.as_tuple() == (
        ("g", None),
        [(("a", None), None), (("h", None), [(("b", None), None)])],
    )
