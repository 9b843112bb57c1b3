"""What a body, and an errback, can read from the request."""

import datetime as dt
from typing import Any

import pytest

from reliable_tasks import App, chain, group
from reliable_tasks.core.request import MAX_CHILDREN, Request
from reliable_tasks.errors import ConfigError
from tests.canvas.helpers import Harness


@pytest.fixture
def told() -> list[Any]:
    return []


def test_limits_properties_and_times(harness: Harness, told: list[Any]) -> None:
    @harness.app.task(bind=True, name="look", time_limit=60, soft_time_limit=45)
    def look(self: Any) -> None:
        r = self.request
        told.append((r.time_limit, r.soft_time_limit, r.reply_to, r.properties, r.eta))

    look.apply_async(time_limit=30, reply_to="me", app_id="shop", priority=3, countdown=5)
    look.delay()
    chain(look.si(), look.si().set(countdown=5)).apply_async()
    sent = harness.clock.now
    harness.drain()
    plain, delayed, *_, after = sorted(told, key=lambda each: (each[4] or "", each[0]))
    hard, soft, reply_to, properties, eta = delayed if delayed[4] else after
    assert (hard, soft, reply_to, properties["app_id"]) == (30, 45, "me", "shop")
    assert properties["priority"] == 3
    assert dt.datetime.fromisoformat(eta).timestamp() * 1000 == sent + 5000
    assert plain[:3] == (60, 45, None)
    assert [each[4] for each in told].count(None) == 3


def test_children_are_what_the_body_enqueues(harness: Harness, told: list[Any]) -> None:
    @harness.app.task(name="leaf")
    def leaf() -> None: ...

    @harness.app.task(bind=True, name="parent")
    def parent(self: Any) -> None:
        made: list[Any] = [leaf.delay(), group(leaf.s(), leaf.s())(), (leaf.si() | leaf.si())()]
        leaf.apply_async(add_to_parent=False)
        group(leaf.s(), leaf.s()).apply_async(add_to_parent=False)
        told.append([child.id for child in self.request.children] == [each.id for each in made])

    @harness.app.task(bind=True, name="quiet", trail=False)
    def quiet(self: Any) -> None:
        leaf.delay()
        told.append(self.request.children == [])

    parent.delay()
    quiet.delay()
    harness.drain()
    assert told == [True, True]


def test_children_are_bounded() -> None:
    request = Request()
    for each in range(MAX_CHILDREN + 5):
        request.add_child(each)
    assert len(request.children) == MAX_CHILDREN


def test_replacements_are_counted(harness: Harness, told: list[int]) -> None:
    @harness.app.task(bind=True, name="again")
    def again(self: Any, left: int) -> None:
        told.append(self.request.replaced_task_nesting)
        if left:
            self.replace(again.s(left - 1))

    again.delay(2)
    harness.drain()
    assert told == [0, 1, 2]


def failing_call(app: App, told: list[Any]) -> Any:
    @app.task(name="fails")
    def fails(*args: Any, **kwargs: Any) -> None:
        raise ValueError(args, kwargs)

    @app.task(name="errback")
    def errback(request: Any, exc: BaseException, traceback: str) -> None:
        told.append((request.task, request.args, request.kwargs, request.id, type(exc)))
        told.append(request.root_id)

    return fails.si(1, b=2).on_error(errback.s())


@pytest.mark.parametrize("eager", [False, True])
def test_an_errback_sees_the_call_that_failed(
    harness: Harness, told: list[Any], eager: bool
) -> None:
    canvas = failing_call(harness.app, told)
    result = canvas.apply(throw=False) if eager else canvas.apply_async()
    harness.drain()
    (name, args, kwargs, failed, kind), root_id = told
    assert (name, tuple(args), kwargs) == ("fails", (1,), {"b": 2})
    assert (failed, root_id, kind) == (result.id, result.id, ValueError)


def test_what_the_store_has_lost_is_empty(harness: Harness) -> None:
    from reliable_tasks.canvas.arguments import FailedRequest  # noqa: PLC0415

    request = FailedRequest(harness.app, "gone", None)
    assert (request.task, request.args, request.kwargs, request.retries) == (None, (), {}, 0)
    assert "gone" in repr(request)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = request.nonsense


def test_a_request_can_be_changed_and_emptied() -> None:
    request = Request(id="a", timelimit=(3, 2), group="g", retries=2)
    assert (request.time_limit, request.soft_time_limit, request.taskset) == (3, 2, "g")
    request.update({"id": "b"}, time_limit=5)
    assert (request.id, request.timelimit) == ("b", (5, 2))
    options = request.as_execution_options()
    assert (options["task_id"], options["time_limit"], options["retries"]) == ("b", 5, 2)
    request.clear()
    assert (request.id, request.called_directly, request.children) == (None, True, [])


def test_wrong_properties_are_refused(harness: Harness) -> None:
    @harness.app.task(name="plain")
    def plain() -> None: ...

    wrong: list[dict[str, Any]]
    wrong = [{"reply_to": 3}, {"replaced_task_nesting": -1}, {"add_to_parent": 3}]
    for options in wrong:
        with pytest.raises(ConfigError, match=next(iter(options))):
            plain.apply_async(**options)


@pytest.mark.parametrize("value", [None, []])
@pytest.mark.parametrize("name", ["callbacks", "errbacks", "chain", "chord"])
def test_a_body_cannot_drop_what_follows_by_its_request(
    t: Any, harness: Harness, name: str, value: Any
) -> None:
    """Celery drops the rest of a chain so; here it would run, and nobody would have said so."""

    @harness.app.task(name="drop", bind=True)
    def drop(self: Any) -> None:
        before = getattr(self.request, name)
        with pytest.raises(ConfigError, match=rf"self\.request\.{name} .*raise Ignore\(\)"):
            setattr(self.request, name, value)
        with pytest.raises(ConfigError, match=name):
            self.request.update({name: value})
        assert getattr(self.request, name) == before

    result = (drop.si() | t.echo.si(1)).apply_async()
    assert result.get() == 1


def test_a_pushed_request_says_what_follows(harness: Harness) -> None:
    task = harness.app.task(name="pushed")(lambda: None)
    following: dict[str, Any] = {"callbacks": [{}], "errbacks": [{}], "chain": [{}], "chord": {}}
    task.push_request(**following)
    assert {name: getattr(task.request, name) for name in following} == following
    task.request.chain = None
    task.request.clear()
    assert task.request.callbacks is None
    task.pop_request()
