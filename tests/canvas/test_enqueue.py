"""Whole or not at all: batches, stages, ids that are taken, once-tasks in workflows."""

import threading
from typing import Any

import pytest

from reliable_tasks import OnceTask, chain, chord, group, signals
from reliable_tasks.canvas import MAX_DEPTH
from reliable_tasks.core.message import State
from reliable_tasks.errors import AlreadyQueued, ConfigError, StoreError, StoreUnavailable
from reliable_tasks.store.values import Batch, Enqueued
from tests.canvas.helpers import Harness, Open, add_tasks


def test_a_canvas_is_one_batch(t: Any, harness: Harness) -> None:
    chord([t.echo.si(i) for i in range(5)], t.xsum.s() | t.add.s(1))()
    assert [len(batch.messages) for batch in harness.store.batches] == [7]
    assert harness.store.batches[0].stage is None


def test_parts_that_wait_are_stored_before_those_that_start(t: Any, harness: Harness) -> None:
    (t.echo.si(1) | group(t.echo.s(), t.echo.s()) | t.xsum.s())()
    waits = [message.waits for message in harness.store.batches[0].messages]
    assert waits == sorted(waits, key=bool, reverse=True)
    assert waits.count(0) == 1


def test_a_canvas_larger_than_a_batch_is_staged(open_bench: Open) -> None:
    harness = open_bench(max_batch=10)
    t = add_tasks(harness.app)
    result = chord([t.echo.si(i) for i in range(55)], t.xsum.s())()
    batches = harness.store.batches
    assert [len(batch.messages) for batch in batches[:6]] == [10, 10, 10, 10, 10, 6]
    assert not any(batch.seal for batch in batches[:6])
    assert all(batch.seal and not batch.messages for batch in batches[6:])
    assert len({batch.stage for batch in batches}) == 1
    assert result.get() == sum(range(55))
    assert harness.ran == {"echo": 55, "xsum": 1}


def test_a_producer_that_dies_half_way_leaves_nothing(open_bench: Open) -> None:
    harness = open_bench(max_batch=10)
    t = add_tasks(harness.app)
    harness.store.dies_after = 3
    with pytest.raises(StoreUnavailable):
        chord([t.echo.si(i) for i in range(55)], t.xsum.s()).apply_async(retry=False)
    assert len(harness.store.batches) == 3
    assert not harness.work()
    harness.clock.advance(10**8)
    while harness.store.reap().more:
        pass
    harness.store.reap()
    assert harness.records() == []
    assert harness.ran == {}


@pytest.mark.parametrize("slowly", ["each batch", "the seal"])
def test_a_workflow_that_is_dropped_between_two_batches_is_an_error(
    open_bench: Open, monkeypatch: pytest.MonkeyPatch, slowly: str
) -> None:
    harness = open_bench(max_batch=10)
    t = add_tasks(harness.app)
    enqueue = harness.store.inner.enqueue

    def slow(batch: Batch) -> Enqueued:
        if batch.seal or slowly == "each batch":
            harness.clock.advance(10**6)
            harness.store.reap()
        done: Enqueued = enqueue(batch)
        return done

    monkeypatch.setattr(harness.store.inner, "enqueue", slow)
    with pytest.raises(StoreError, match="nothing of it has started: enqueue it again"):
        chord([t.echo.si(i) for i in range(25)], t.xsum.s())()
    if slowly == "each batch":
        assert not any(batch.seal for batch in harness.store.batches)
    assert not harness.work()
    assert harness.ran == {}


def test_an_id_that_is_taken_refuses_the_whole_canvas(t: Any, harness: Harness) -> None:
    t.echo.apply_async((1,), task_id="mine")
    line = chain(t.echo.si(1), t.echo.s().set(task_id="mine"), t.echo.s())
    with pytest.raises(AlreadyQueued, match="mine"):
        line()
    harness.drain()
    assert harness.ran == {"echo": 1}


def test_the_same_frozen_canvas_twice_is_one(t: Any, harness: Harness) -> None:
    line = chain(t.echo.si(1), t.add.s(1))
    promised = line.freeze()
    first, second = line(), line()
    assert promised.id == first.id == second.id
    assert second.get() == 2
    assert harness.ran == {"echo": 1, "add": 1}


def test_one_id_for_two_parts_is_an_error(t: Any) -> None:
    same = t.echo.si(1).set(task_id="same")
    with pytest.raises(ConfigError, match="same"):
        group(same, same)()


def test_too_deep_is_an_error(t: Any) -> None:
    deep = t.echo.si(1)
    for _ in range(MAX_DEPTH + 1):
        deep = group(deep, t.echo.si(2))
    with pytest.raises(ConfigError, match="nested more than"):
        deep()


def test_deep_canvases_run(t: Any) -> None:
    deep: Any = t.xsum.s()
    for _ in range(MAX_DEPTH - 10):
        deep = chord([t.echo.si(1), t.echo.si(1)], deep)
    assert deep().get() == 2


@pytest.fixture
def slow(harness: Harness) -> Any:
    @harness.app.task(name="slow", base=OnceTask)
    def slow(value: int = 0) -> int:
        return value * 10

    return slow


def test_chains_that_share_a_head_both_finish(t: Any, harness: Harness, slow: Any) -> None:
    one = chain(slow.s(1), t.add.s(1))()
    two = chain(slow.s(1), t.add.s(2))()
    assert (one.get(), two.get()) == (11, 12)
    assert harness.ran["slow"] == 1


def test_a_part_joins_a_message_outside(t: Any, harness: Harness, slow: Any) -> None:
    lone = slow.delay(1)
    knot = chord([slow.s(1), t.echo.si(5)], t.xsum.s())()
    assert knot.get() == 15
    assert lone.get() == 10
    assert harness.ran["slow"] == 1


def test_once_parts_of_one_chain_do_not_wait_for_each_other(
    t: Any, harness: Harness, slow: Any
) -> None:
    result = chain(t.echo.si(1), slow.s(), t.echo.s(), slow.si(1))()
    assert result.get() == 10
    harness.drain()
    assert harness.unended() == []


def test_equal_once_members_run_once(t: Any, harness: Harness, slow: Any) -> None:
    assert chord([slow.s(1), slow.s(1), slow.s(2)], t.xsum.s())().get() == 40
    assert harness.ran["slow"] == 2


def test_a_message_joined_after_it_ended_still_hands_on(t: Any, harness: Harness) -> None:
    @harness.app.task(name="daily", base=OnceTask, once={"scope": "until_expired", "timeout": 3600})
    def daily() -> str:
        return "done"

    daily.delay().get()
    assert chain(daily.si(), t.echo.s())().get() == "done"
    assert harness.ran["daily"] == 1


def test_a_lone_once_signature_raises_and_a_group_of_one_joins(harness: Harness, slow: Any) -> None:
    held = slow.s(1)()
    assert held == 10
    first = slow.s(1).apply_async()
    with pytest.raises(AlreadyQueued):
        slow.s(1).apply_async()
    assert group(slow.s(1))().get() == [10]
    assert first.get() == 10
    assert harness.ran["slow"] == 1


def test_a_graceful_duplicate_gives_the_handle_there_is(harness: Harness, slow: Any) -> None:
    first = slow.s(1).apply_async()
    again = slow.s(1).set(once={"graceful": True}).apply_async()
    assert again.id == first.id
    assert again.duplicate
    many = harness.app.enqueue_many([slow.s(2), slow.s(1).set(once={"graceful": True})])
    assert many[1].id == first.id
    with pytest.raises(AlreadyQueued):
        harness.app.enqueue_many([slow.s(1)])


def test_inputs_outlive_results(open_bench: Open) -> None:
    harness = open_bench(result_expires=1)
    t = add_tasks(harness.app)
    late = t.echo.si(2).set(countdown=100)
    result = chord([t.echo.si(1), late], t.xsum.s())()
    while not harness.ran["xsum"]:
        assert harness.work()
        harness.store.reap()
    assert result.get() == 3


def test_a_large_chord_costs_no_more_per_member(open_bench: Open) -> None:
    harness = open_bench()
    t = add_tasks(harness.app)
    result = chord([t.echo.si(1) for _ in range(2500)], t.xsum.s())()
    harness.limit = 500
    assert result.get() == 2500
    edges = [len(m.edges) for batch in harness.store.batches for m in batch.messages]
    assert sum(edges) == 2500
    assert max(edges) == 1
    states = {record.state for record in harness.records()}
    assert states == {State.SUCCEEDED}


# Many at once: a batch is stored while the next one is packed ---------------------------------


def test_many_are_stored_in_their_order_and_have_their_own_handles(open_bench: Open) -> None:
    harness = open_bench(max_batch=2)
    t = add_tasks(harness.app)
    sigs = [t.echo.si(i) for i in range(5)]
    results = harness.app.enqueue_many([*sigs[:3], chain(t.echo.si(8), t.echo.s()), *sigs[3:]])
    stored = [m.id for batch in harness.store.batches for m in batch.messages]
    lone = [result.id for result in (*results[:3], *results[4:])]
    assert [i for i in stored if i in lone] == lone
    assert sorted(len(batch.messages) for batch in harness.store.batches) == [1, 2, 2, 2]
    assert [each.get() for each in results] == [0, 1, 2, 8, 3, 4]
    assert {each.name for each in results} == {t.echo.name}


def test_nothing_behind_a_batch_with_a_refused_duplicate_is_stored(open_bench: Open) -> None:
    harness = open_bench(max_batch=2)
    t = add_tasks(harness.app)
    slow = harness.app.task(name="slow", base=OnceTask)(lambda value: value)
    slow.delay(1)
    sigs = [t.echo.si(0), t.echo.si(1), slow.s(2), slow.s(1), *(t.echo.si(i) for i in range(6))]
    with pytest.raises(AlreadyQueued):
        harness.app.enqueue_many(sigs)
    assert [len(batch.messages) for batch in harness.store.batches] == [1, 2, 2]


def test_receivers_of_signals_are_called_by_the_thread_that_enqueues(open_bench: Open) -> None:
    harness = open_bench(max_batch=2)
    t = add_tasks(harness.app)
    heard = list[int]()

    @signals.after_task_publish.connect
    def hear(**_: Any) -> None:
        heard.append(threading.get_ident())

    try:
        harness.app.enqueue_many([t.echo.si(i) for i in range(5)])
    finally:
        signals.after_task_publish.disconnect(hear)
    assert heard == [threading.get_ident()] * 5


def test_no_thread_is_left_behind(open_bench: Open) -> None:
    harness = open_bench(max_batch=2)
    t = add_tasks(harness.app)
    before = set(threading.enumerate())
    harness.app.enqueue_many([t.echo.si(i) for i in range(9)])
    with pytest.raises(TypeError):
        harness.app.enqueue_many([*(t.echo.si(i) for i in range(4)), t.add.si(1, 2, 3, 4, 5)])
    assert set(threading.enumerate()) <= before
