from collections.abc import Callable
from typing import Any

import pytest

from reliable_tasks import chain, chord, group
from reliable_tasks.canvas import Signature, chunks
from reliable_tasks.errors import ConfigError
from reliable_tasks.results.groups import GroupResult
from reliable_tasks.results.result import AsyncResult
from tests.canvas.helpers import Harness, Open


def test_a_chain_hands_each_result_on(t: Any) -> None:
    result = chain(t.add.s(1, 2), t.add.s(3), t.add.s(4))()
    assert result.get() == 10
    assert result.parent.get() == 6
    assert result.parent.parent.get() == 3
    assert result.parent.parent.parent is None
    assert result.parent.parent.children == [result.parent]


def test_a_pipe_is_a_chain(t: Any) -> None:
    assert (t.add.s(1, 2) | t.add.s(3) | t.add.s(4))().get() == 10
    assert ~(t.add.s(1, 2) | t.add.s(3)) == 6


def test_an_immutable_part_takes_nothing(t: Any) -> None:
    assert chain(t.add.s(1, 2), t.add.si(10, 20), t.echo.s())().get() == 30


def test_a_group_gives_the_list_of_results(t: Any) -> None:
    result = group(t.add.s(1, 2), t.add.s(3, 4), t.add.s(5, 6))()
    assert isinstance(result, GroupResult)
    assert result.get() == [3, 7, 11]


def test_a_chord_hands_its_body_the_list(t: Any, harness: Harness) -> None:
    result = chord((t.add.s(i, i) for i in range(4)), t.xsum.s())()
    assert result.get() == 12
    assert isinstance(result.parent, GroupResult)
    assert result.parent.get() == [0, 2, 4, 6]
    assert harness.ran == {"add": 4, "xsum": 1}


def test_a_chord_may_get_its_body_later(t: Any) -> None:
    assert chord([t.add.s(1, 1), t.add.s(2, 2)])(t.xsum.s()).get() == 6
    assert chord([t.add.s(1, 1)]).apply_async(body=t.xsum.s()).get() == 2


def test_partial_arguments_come_first_and_keywords_win(t: Any) -> None:
    assert t.pair.s("label").delay("value").get() == ["label", "value"]
    assert t.pair.s(1, label="old").apply_async(kwargs={"label": "new"}).get() == ["new", 1]
    assert chain(t.pair.s("a"), t.pair.s("b"))("x").get() == ["b", ["a", "x"]]
    assert group(t.pair.s("a"), t.pair.s("b"))("x").get() == [["a", "x"], ["b", "x"]]


SHAPES: dict[str, Callable[[Any], Any]] = {
    "group then task": lambda t: group(t.echo.si(1), t.echo.si(2)) | t.echo.s(),
    "task then group": lambda t: t.echo.s(1) | group(t.pair.s("a"), t.pair.s("b")),
    "group then group": lambda t: (
        group(t.echo.si(1), t.echo.si(2)) | group(t.pair.s("a"), t.pair.s("b"))
    ),
    "group, group, group": lambda t: (
        group(t.echo.si(1), t.echo.si(2))
        | group(t.pair.s("a"), t.pair.s("b"))
        | group(t.pair.s("c"), t.pair.s("d"))
    ),
    "nested groups": lambda t: group(
        t.echo.si(0), group(t.echo.si(1), group(t.echo.si(2)), t.echo.si(3)), t.echo.si(4)
    ),
    "nested groups then task": lambda t: (
        group(group(t.echo.si(1), group(t.echo.si(2), t.echo.si(3))), t.echo.si(4)) | t.echo.s()
    ),
    "chains in a group": lambda t: group(
        t.echo.s(1) | t.pair.s("a"), t.echo.s(2) | t.pair.s("b") | t.pair.s("c")
    ),
    "chain that ends in a group, in a chord": lambda t: chord(
        [t.echo.si(1) | group(t.pair.s("a"), t.pair.s("b")), t.echo.si(2)], t.echo.s()
    ),
    "chord with a chain as body": lambda t: chord(
        [t.echo.si(1), t.echo.si(2)], t.echo.s() | t.pair.s("a")
    ),
    "chord with a group as body": lambda t: chord(
        [t.echo.si(1), t.echo.si(2)], group(t.pair.s("a"), t.pair.s("b"))
    ),
    "chord with a chord as body": lambda t: chord(
        [t.echo.si(1), t.echo.si(2)], chord([t.pair.s("a"), t.pair.s("b")], t.echo.s())
    ),
    "chord in a group in a chain": lambda t: (
        t.echo.si(1)
        | group(chord([t.pair.s("a"), t.pair.s("b")], t.echo.s()), t.pair.s("c"))
        | t.echo.s()
    ),
    "chords in a chord": lambda t: chord(
        [chord([t.echo.si(i), t.echo.si(i + 1)], t.xsum.s()) for i in range(3)], t.xsum.s()
    ),
    "empty group": lambda t: group([]),
    "empty group then task": lambda t: group([]) | t.echo.s(),
    "task, empty group, task": lambda t: t.echo.si(1) | group([]) | t.echo.s(),
    "empty groups in a group": lambda t: group(group([]), group(group([]), t.echo.si(1))),
    "empty groups in a group then task": lambda t: group(group([]), group([])) | t.echo.s(),
    "empty header": lambda t: chord([], t.echo.s()),
    "empty header in a chain": lambda t: t.echo.si(1) | chord([], t.echo.s()) | t.pair.s("a"),
    "group of one": lambda t: group(t.echo.si(1)),
    "group of one then task": lambda t: group(t.echo.si(1)) | t.echo.s(),
    "task, group of one, task": lambda t: t.echo.si(1) | group(t.pair.s("a")) | t.echo.s(),
    "group of one then group of one": lambda t: group(t.echo.si(1)) | group(t.pair.s("a")),
    "chain in chain": lambda t: chain(t.echo.si(1), chain(t.pair.s("a"), chain(t.pair.s("b")))),
    "immutable after a group": lambda t: group(t.echo.si(1), t.echo.si(2)) | t.echo.si(3),
    "immutables after a group": lambda t: (
        group(t.echo.si(1), t.echo.si(2)) | group(t.echo.si(3), t.echo.si(4))
    ),
    "map": lambda t: t.echo.map([1, 2, 3]),
    "starmap": lambda t: t.add.starmap([(1, 2), (3, 4)]),
    "starmap with more arguments": lambda t: t.pair.s("a").type.starmap([(1, "x"), (2, "y")]),
    "chunks": lambda t: t.add.chunks([(i, i) for i in range(5)], 2),
    "chunks then task": lambda t: t.add.chunks([(i, i) for i in range(5)], 2) | t.echo.s(),
    "tuple, set and bytes": lambda t: group(t.echo.si((1, 2)), t.echo.si({3})) | t.echo.s(),
}


def shape(value: Any) -> Any:
    """Its nesting, as far as handles go."""
    return [shape(each) for each in value.results] if isinstance(value, GroupResult) else None


@pytest.mark.parametrize("name", SHAPES)
def test_every_nesting_gives_what_eager_evaluation_gives(
    t: Any, harness: Harness, name: str
) -> None:
    eager = SHAPES[name](t).apply()
    result = SHAPES[name](t).apply_async()
    assert result.get() == eager.get()
    assert shape(result) == shape(eager)
    harness.drain()
    assert harness.unended() == []


def test_the_values_of_some_nestings(t: Any) -> None:
    assert SHAPES["nested groups then task"](t)().get() == [[1, [2, 3]], 4]
    assert SHAPES["group then group"](t)().get() == [["a", [1, 2]], ["b", [1, 2]]]
    assert SHAPES["empty header"](t)().get() == []
    assert SHAPES["empty groups in a group then task"](t)().get() == [[], []]
    assert SHAPES["task, group of one, task"](t)().get() == [["a", 1]]
    assert SHAPES["chunks"](t)().get() == [[0, 2], [4, 6], [8]]
    assert SHAPES["tuple, set and bytes"](t)().get() == [(1, 2), {3}]


def test_a_chain_of_a_thousand(t: Any) -> None:
    result = chain(t.echo.si(0), *(t.add.s(1) for _ in range(999)))()
    assert result.get() == 999
    assert len(list(_back(result))) == 1000


def _back(result: AsyncResult[Any]) -> Any:
    handle: Any = result
    while handle is not None:
        yield handle
        handle = handle.parent


def test_an_empty_group_sends_nothing(harness: Harness) -> None:
    result = group([], app=harness.app)()
    assert result.get() == []
    assert result.ready()
    assert harness.store.batches == []


def test_an_empty_chain_and_a_chord_without_body_are_errors(t: Any, harness: Harness) -> None:
    with pytest.raises(ConfigError, match="empty chain"):
        chain(app=harness.app)()
    with pytest.raises(ConfigError, match="no body"):
        chord([t.echo.s(1)])()
    assert chain(t.echo.si(1), chain())().get() == 1


def test_links_run_with_the_result(t: Any, harness: Harness) -> None:
    seen = list[Any]()

    @harness.app.task(name="see")
    def see(value: Any, label: str) -> None:
        seen.append((label, value))

    first = t.add.apply_async((1, 2), link=[see.s("one"), see.s("two"), t.add.s(4) | see.s("sum")])
    assert first.get() == 3
    harness.drain()
    assert sorted(seen) == [("one", 3), ("sum", 7), ("two", 3)]
    assert [type(child) for child in first.children] == [AsyncResult] * 3


def test_links_of_canvases(t: Any, harness: Harness) -> None:
    seen = list[Any]()

    @harness.app.task(name="see")
    def see(*values: Any) -> None:
        seen.append(values)

    line = t.add.s(1, 1) | t.add.s(1)
    line.link(see.s("chain"))
    line()
    knot = chord([t.add.s(1, 1), t.add.s(2, 2)], t.xsum.s())
    knot.link(see.s("chord"))
    knot()
    side = group(t.add.s(1, 1), t.add.s(2, 2))
    side.link(see.s("group"))
    side()
    harness.drain()
    assert sorted(seen, key=str) == sorted([(3, "chain"), (6, "chord"), ("group",)], key=str)
    with pytest.raises(TypeError, match="use a chord"):
        side.apply_async(link=see.s())


def test_options_of_parts_and_of_the_whole(t: Any, harness: Harness) -> None:
    part = t.add.s(1, 2).set(priority=2, queue="other")
    result = chain(part, t.add.s(3), t.add.s(4)).apply_async(
        countdown=60, priority=7, task_id="the-last", headers={"who": "me"}
    )
    assert result.id == "the-last"
    messages = {m.id: m for batch in harness.store.batches for m in batch.messages}
    first, second, last = (messages[handle.id] for handle in reversed(list(_back(result))))
    assert [m.queue for m in (first, second, last)] == ["other", "celery", "celery"]
    assert [m.priority for m in (first, second, last)] == [7, 7, 7]
    assert [m.delay_ms for m in (first, second, last)] == [60_000, 0, 0]
    assert {m.root_id for m in messages.values()} == {first.id}
    before = harness.clock.now
    assert result.get() == 10
    assert harness.clock.now == before + 60_000


def test_a_countdown_in_the_middle_counts_from_its_parents(t: Any, harness: Harness) -> None:
    result = chain(t.echo.si(1).set(countdown=5), t.echo.s().set(countdown=7))()
    before = harness.clock.now
    assert result.get() == 1
    assert harness.clock.now == before + 12_000


def test_requests_tell_of_the_workflow(t: Any, harness: Harness) -> None:
    seen = dict[str, Any]()

    @harness.app.task(name="look", bind=True)
    def look(self: Any, value: Any, label: str) -> None:
        request = self.request
        seen[label] = (request.root_id, request.group, request.chord, request.chain)

    result = (t.echo.si(1) | group(look.s("a"), look.s("b")) | look.s("body")).apply_async()
    result.get()
    header = result.parent
    root = header.parent.id
    assert seen["a"] == seen["b"] == (root, header.id, result.id, result.id)
    assert seen["body"] == (root, None, None, result.id)


def test_unregistered_tasks_can_be_parts(t: Any, harness: Harness) -> None:
    elsewhere = Signature("elsewhere", (1,), app=harness.app)
    result = chain(elsewhere, t.echo.s())()

    @harness.app.task(name="elsewhere")
    def elsewhere_task(value: int) -> int:
        return value + 1

    assert result.get() == 2


def test_arguments_that_do_not_fit_are_refused_where_the_canvas_is_enqueued(
    t: Any, harness: Harness
) -> None:
    with pytest.raises(TypeError, match="add"):
        chain(t.add.s(1, 2), t.add.s(3, 4))()
    with pytest.raises(TypeError, match="add"):
        chord([t.add.s(1)], t.xsum.s())()
    assert harness.store.batches == []


def test_chunks_need_a_size(t: Any) -> None:
    with pytest.raises(ConfigError, match="from 1"):
        chunks(t.add.s(), [(1, 2)], 0)


def test_many_at_once(t: Any, open_bench: Open) -> None:
    harness = open_bench(max_batch=10)

    @harness.app.task(name="double")
    def double(x: int) -> int:
        return 2 * x

    sigs = [double.s(i) for i in range(25)]
    results = harness.app.enqueue_many([*sigs, chain(double.s(3), double.s())])
    assert [result.get() for result in results] == [*(2 * i for i in range(25)), 12]
    assert sorted(len(batch.messages) for batch in harness.store.batches) == [2, 5, 10, 10]


@pytest.mark.parametrize("eager", [False, True])
def test_empty_groups_in_a_chain(t: Any, harness: Harness, eager: bool) -> None:
    def ran(canvas: Any) -> Any:
        return (canvas.apply() if eager else canvas.apply_async()).get()

    assert ran(chain(t.echo.si(1), group())) == 1
    assert ran(t.echo.si(1) | group() | group()) == 1
    assert ran(chain(group(t.echo.si(1), t.echo.si(2)), group())) == [1, 2]
    assert ran(group(t.echo.si(1), t.echo.si(2)) | group(iter(()))) == [1, 2]
    assert ran(chord([t.echo.si(1)], t.xsum.s()) | group()) == 1
    assert ran(chain(t.echo.si(1), group(), t.echo.s())) == []
    assert ran(group() | t.echo.s()) == []
    assert ran(chain(group(), group())) == []
    assert ran(chain(t.echo.si(1), group(group(), group()))) == [[], []]
    linked = group()
    linked.link(t.pair.si("after", "linked"))
    assert ran(chain(t.echo.si(1), linked)) == []
    harness.drain()
    assert harness.ran["pair"] == (0 if eager else 1)
