"""Many calls of one task: what they come to is what as many `apply_async` would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, OnceTask, Task, events, signals
from reliable_tasks.errors import AlreadyQueued, ConfigError, MessageTooLarge
from reliable_tasks.store.values import MessageQuery
from tests.redis_server import redis_server
from tests.store.empty import empty_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reliable_tasks.store.values import Record

__all__ = ["redis_server"]


@pytest.fixture(params=["sqlite", "redis"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    with App("many", broker=empty_store(request, tmp_path), max_batch=5) as made:
        made.task(name="add")(lambda x, y=0: x + y)
        made.task(name="once", base=OnceTask)(lambda x: x)
        yield made


def records(app: App, ids: Sequence[str]) -> list[Record]:
    found = app.store.read(list(ids), full=True)
    return [record for record in found if record is not None]


def same(one: Record, other: Record) -> None:
    for name in ("task", "queue", "priority", "state", "payload", "headers", "parent_id"):
        assert getattr(one, name) == getattr(other, name), name


OPTIONS: list[dict[str, Any]] = [
    {},
    {"queue": "other", "priority": 4},
    {"countdown": 60},
    {"expires": 60},
    {"headers": {"a": 1}},
    {"time_limit": 3, "shadow": "s", "ignore_result": True},
    {"retry": False},
    {"queue": None},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_each_is_stored_as_a_call_of_its_own_would_be(app: App, options: dict[str, Any]) -> None:
    add = app.tasks["add"]
    calls: list[Any] = [(1, 2), {"x": 3}, [4], (5, 6), {"x": 7, "y": 8}, (9,), ({"a": [None]},)]
    handles = add.enqueue_many(iter(calls), **options)
    assert [h.task_id for h in handles] == [r.id for r in records(app, [h.id for h in handles])]
    assert {type(h) for h in handles} == {type(add.delay(0))}
    assert all(h.receipt is not None and h.receipt.kind == "created" for h in handles)
    for call, handle in zip(calls, handles, strict=True):
        given = {"kwargs": call} if isinstance(call, dict) else {"args": call}
        alone = add.apply_async(**given, **options)
        many, one = records(app, [handle.id, alone.id])
        same(many, one)
        assert (many.due_ms is None) is (one.due_ms is None)


def test_none_of_none(app: App) -> None:
    assert app.tasks["add"].enqueue_many([]) == []


def test_they_stand_in_the_queue_as_they_came(app: App) -> None:
    add = app.tasks["add"]
    handles = add.enqueue_many((n,) for n in range(10))
    queued = app.store.find(MessageQuery(queue="celery", limit=50))
    assert [r.id for r in queued] == [h.id for h in handles]


def test_signatures_of_several_tasks_keep_their_order(app: App) -> None:
    add, other = app.tasks["add"], app.task(name="other")(lambda: None)
    made = [add.s(1), other.s(), add.s(2), other.s(), other.s(), other.s(), other.s(), add.s(3)]
    handles = app.enqueue_many(made)
    queued = app.store.find(MessageQuery(queue="celery", limit=50))
    assert [r.id for r in queued] == [h.id for h in handles]
    assert [r.task for r in queued] == [sig.task for sig in made]


def test_what_does_not_fit_is_told_at_once(app: App) -> None:
    add = app.tasks["add"]
    with pytest.raises(TypeError, match="argument"):
        add.enqueue_many([(1,), (1, 2, 3)])
    with pytest.raises(ConfigError, match=r"a tuple or a dict, not 5; write \(5,\)"):
        add.enqueue_many([5])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="a tuple or a dict, not 'ab'"):
        add.enqueue_many(["ab"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="keys of kwargs"):
        add.enqueue_many([{1: 2}])  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="colour"):
        add.enqueue_many([(1,)], colour="red")
    assert app.store.find(MessageQuery()) == ()
    with pytest.raises(MessageTooLarge, match="a message of add"):
        add.enqueue_many([("x" * 1_048_577,)])


def test_batches_are_bounded_by_their_bytes(app: App) -> None:
    handles = app.tasks["add"].enqueue_many([("x" * 1_000_000,)] * 6)
    assert len(records(app, [h.id for h in handles])) == 6


def test_a_once_key_is_kept(app: App) -> None:
    once = app.tasks["once"]
    with pytest.raises(AlreadyQueued):
        once.enqueue_many([(1,), (2,), (1,), (3,)])
    assert len(app.store.find(MessageQuery(task="once"))) == 3
    first, again = once.enqueue_many([(5,), (5,)], once={"graceful": True})
    assert (again.id, again.duplicate) == (first.id, True)


def test_receivers_see_and_change_each(app: App) -> None:
    told: list[str] = []

    def before(body: Any, headers: dict[str, Any], **_: Any) -> None:
        told.append(headers["id"])
        body[1]["y"] = 7

    def after(headers: dict[str, Any], **_: Any) -> None:
        told.append(headers["id"])

    signals.before_task_publish.connect(before)
    signals.after_task_publish.connect(after)
    try:
        many = app.tasks["add"].enqueue_many([(1,), (2,)])
        lone = app.tasks["add"].delay(3)
    finally:
        signals.before_task_publish.disconnect(before)
        signals.after_task_publish.disconnect(after)
    ids = [handle.id for handle in (*many, lone)]
    assert sorted(told) == sorted(2 * ids)
    assert all(b'"y":7' in (r.payload or b"") for r in records(app, ids))


def test_subscribers_hear_of_each(app: App) -> None:
    heard: list[str] = []
    undo = events.subscribe(lambda _, fields: heard.append(fields["id"]), "message.enqueued")
    try:
        handles = app.tasks["add"].enqueue_many([(1,), (2,)])
        lone = app.tasks["add"].delay(3)
    finally:
        undo()
    assert heard == [h.id for h in (*handles, lone)]


def test_a_router_decides_for_each(app: App) -> None:
    app.conf.task_routes = (
        lambda name, args, kwargs, options, task=None, **kw: {"queue": f"q{args[0]}"},
    )
    handles = app.tasks["add"].enqueue_many([(1,), (2,)])
    assert [r.queue for r in records(app, [h.id for h in handles])] == ["q1", "q2"]
    lone = app.tasks["add"].delay(3)
    assert records(app, [lone.id])[0].queue == "q3"


def test_eager_ones_run(app: App) -> None:
    app.conf.task_always_eager = True
    assert [r.get() for r in app.tasks["add"].enqueue_many([(1, 2), {"x": 5}])] == [3, 5]
    assert app.store.find(MessageQuery()) == ()


def test_a_class_of_tasks_may_send_in_its_own_way(app: App) -> None:
    class Tagged(Task[Any, Any]):
        def apply_async(self, *args: Any, **options: Any) -> Any:
            return super().apply_async(*args, headers={"by": "Tagged"}, **options)

    tagged = app.task(base=Tagged, name="tagged")(lambda x: x)
    (handle,) = tagged.enqueue_many([(1,)])
    assert b"Tagged" in records(app, [handle.id])[0].headers


def test_links_are_kept(app: App) -> None:
    add = app.tasks["add"]
    (handle,) = add.enqueue_many([(1,)], link=add.si(2))
    assert len(app.store.find(MessageQuery())) == 2
    assert records(app, [handle.id])[0].edges


def test_settings_that_change_count_from_the_next_call(app: App) -> None:
    add = app.tasks["add"]
    add.delay(1)
    app.conf.task_default_queue = "elsewhere"
    lone, (many,) = add.delay(1), add.enqueue_many([(1,)])
    assert [r.queue for r in records(app, [lone.id, many.id])] == ["elsewhere"] * 2
