"""A `task_id` that another call has is told, on every route; and an error where the app asks."""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, chain, events, group
from reliable_tasks.errors import AlreadyQueued, TaskIdConflict
from reliable_tasks.store.values import AuditQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Heard = list[dict[str, Any]]


def app_with_tasks(**settings: Any) -> App:
    app = App("conflicts", broker="sqlite://", **settings)
    app.task(name="add")(lambda x: x)
    app.task(name="mul")(lambda x: x)
    return app


@pytest.fixture
def app() -> Iterator[App]:
    with app_with_tasks() as made:
        yield made


@pytest.fixture
def heard() -> Iterator[Heard]:
    told: Heard = []

    def hear(_: str, fields: Mapping[str, Any]) -> None:
        told.append(dict(fields))

    undo = events.subscribe(hear, "message.conflict")
    yield told
    undo()


def _apply_async(app: App, name: str, x: int) -> Any:
    return app.tasks[name].apply_async((x,), task_id="mine")


def _send_task(app: App, name: str, x: int) -> Any:
    return app.send_task(name, (x,), task_id="mine")


def _signature(app: App, name: str, x: int) -> Any:
    return app.tasks[name].s(x).set(task_id="mine").apply_async()


def _many(app: App, name: str, x: int) -> Any:
    return app.enqueue_many([app.tasks[name].s(x).set(task_id="mine")])[0]


def _coroutine(app: App, name: str, x: int) -> Any:
    return asyncio.run(app.tasks[name].aapply_async((x,), task_id="mine"))


ROUTES = (_apply_async, _send_task, _signature, _many, _coroutine)


@pytest.mark.parametrize("call", ROUTES)
@pytest.mark.parametrize(("name", "x"), [("add", 2), ("mul", 1)])
def test_each_route_tells_of_both_calls(
    app: App, heard: Heard, call: Callable[[App, str, int], Any], name: str, x: int
) -> None:
    first = app.tasks["add"].apply_async((1,), task_id="mine")
    again = call(app, name, x)
    assert (again, again.args, again.duplicate) == (first, (1,), True)
    (told,) = heard
    assert (told["id"], told["task"], told["holder_task"]) == ("mine", name, "add")
    assert [row.event for row in app.store.audit(AuditQuery(id="mine"))] == ["conflict"]


@pytest.mark.parametrize("call", ROUTES)
def test_each_route_raises_where_the_app_asks_for_it(
    call: Callable[[App, str, int], Any],
) -> None:
    with app_with_tasks(task_id_conflict="raise") as app:
        app.tasks["add"].apply_async((1,), task_id="mine", countdown=60)
        assert call(app, "add", 1).duplicate, "the same call is no conflict"
        with pytest.raises(TaskIdConflict, match=r"call of mul with task_id='mine'.*call of add"):
            call(app, "mul", 1)
        with pytest.raises(TaskIdConflict, match="another call of it, with other arg") as raised:
            call(app, "add", 2)
    error = raised.value
    assert isinstance(error, AlreadyQueued)
    assert (error.task_id, error.task, error.holder_task) == ("mine", "add", "add")
    assert 59 < error.countdown <= 60
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("own", ["first", "second"])
def test_a_part_of_a_workflow_tells_of_it_too(app: App, heard: Heard, own: str) -> None:
    app.tasks["mul"].apply_async((7,), task_id=own)
    parts = [app.tasks["add"].si(n).set(task_id=n) for n in ("first", "second")]
    with pytest.raises(AlreadyQueued):
        chain(*parts).apply_async()
    assert [told["id"] for told in heard] == [own]


def test_a_workflow_raises_where_the_app_asks_for_it() -> None:
    with app_with_tasks(task_id_conflict="raise") as app:
        app.tasks["mul"].apply_async((7,), task_id="b")
        parts = [app.tasks["add"].s(n).set(task_id=n) for n in ("a", "b")]
        with pytest.raises(TaskIdConflict):
            group(parts).apply_async()
        with pytest.raises(TaskIdConflict):
            app.enqueue_many([group(parts)])


def test_a_program_without_a_log_is_warned_as_well(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    app.tasks["add"].apply_async((1,), task_id="mine")
    with caplog.at_level(logging.WARNING):
        app.tasks["mul"].apply_async((1,), task_id="mine")
    (line,) = caplog.records
    assert "call of mul with task_id='mine' was not stored: a call of add" in line.getMessage()


def test_the_same_call_and_one_after_the_end_are_no_conflict(app: App, heard: Heard) -> None:
    add = app.tasks["add"]
    add.apply_async((1,), task_id="mine")
    assert add.apply_async((1,), task_id="mine").duplicate
    add.AsyncResult("mine").revoke()
    assert add.apply_async((2,), task_id="mine").args == (2,)
    assert heard == []
