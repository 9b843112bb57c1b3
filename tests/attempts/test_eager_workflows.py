"""The same workflows, once through the queue and once by `apply()`: they come to the same."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, OnceTask, chain, chord, events, group
from reliable_tasks.errors import MessageTooLarge
from reliable_tasks.testing import bound, run_until_idle
from tests.attempts.bodies import raising
from tests.attempts.observing import plain

if TYPE_CHECKING:
    from collections.abc import Callable

Tasks = dict[str, Any]
WORKFLOWS: dict[str, Callable[[Tasks], Any]] = {
    "chain": lambda t: chain(t["big"].s(), t["size"].s()),
    "chord": lambda t: chord([t["big"].s(), t["big"].s()], t["sizes"].s()),
    "group of chains": lambda t: group(chain(t["big"].s(), t["size"].s()) for _ in range(2)),
    "callback": lambda t: t["big"].s().set(link=t["size"].s()),
    "replaced": lambda t: t["replaced"].s(),
    "too much for one call": lambda t: chord([t["big"].s()] * 3, t["sizes"].s()),
    "a retry with other arguments": lambda t: chain(t["big"].s(), t["again"].s()),
    "a result that nobody stores": lambda t: chain(t["unstored"].s(), t["size"].s()),
    "such results in nested groups": lambda t: chord(
        [t["unstored"].s(), group(t["size"].s("xy"), t["unstored"].s())], t["show"].s()
    ),
    "empty groups": lambda t: chain(t["big"].s(), group(group(), group()), t["show"].s()),
    "a key": lambda t: chain(t["big"].s(), t["once"].s()),
    "a key that is not to be had": lambda t: chain(t["big"].s(), t["once"].s(1, 2)),
    "a callback without a key": lambda t: t["big"].s().set(link=t["once"].s(1, 2)),
    "an errback with a key": lambda t: t["fails"].s().set(link_error=t["once"].s()),
    "an errback without a key": lambda t: t["fails"].s().set(link_error=t["once"].s(1)),
    "an immutable errback without a key": lambda t: t["fails"].s().set(link_error=t["once"].si()),
}


def size(value: Any) -> Any:
    return "nothing" if value is None else len(value)


def declare(app: App, told: list[Any]) -> None:
    """The tasks of the workflows; `told` gets what some of them see."""

    def again(self: Any, value: str) -> int:
        told.append((self.request.retries, size(value)))
        if self.request.retries == 0:
            raise self.retry(args=("other",), countdown=0)
        return size(value)  # type: ignore[no-any-return]

    def once(self: Any, order: str) -> None:
        told.append(("once", size(order), self.request.once_key))

    def replaced(self: Any) -> None:
        self.replace(chain(app.tasks["big"].s(), app.tasks["size"].s()))

    fails, _ = raising(lambda: KeyError("k"))()
    app.task(name="big")(lambda: "x" * 2_000_000)
    app.task(name="size")(size)
    app.task(name="show")(lambda value: value)
    app.task(name="sizes")(lambda values: [size(value) for value in values])
    app.task(name="fails")(fails)
    app.task(name="unstored", ignore_result=True)(threading.Lock)
    app.task(name="again", bind=True)(again)
    app.task(name="replaced", bind=True)(replaced)
    app.task(name="once", bind=True, base=OnceTask, typing=False)(once)


def through_the_queue(app: App, sig: Any) -> Any:
    result = sig.apply_async()
    run_until_idle(app)
    return result


def eagerly(_: App, sig: Any) -> Any:
    return sig.apply()


def run(name: str, way: Callable[[App, Any], Any]) -> dict[str, Any]:
    told: list[Any] = []
    app = App("both", broker="sqlite://", set_as_current=False, max_input_bytes=5_000_000)
    with bound(app):
        declare(app, told)
        result = way(app, WORKFLOWS[name](dict(app.tasks)))
        handles = list(result.leaves()) if hasattr(result, "leaves") else [result]
        ended = [(each.state, plain(each.result)) for each in handles]
    return {"ended": ended, "told": told}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_comes_to_the_same_through_the_queue_and_eagerly(name: str) -> None:
    got, expected = run(name, eagerly), run(name, through_the_queue)
    if "errback with" in name:  # their ids differ, and with them what makes the key
        assert len(got["told"]) == len(expected["told"])
        got, expected = ({"ended": each["ended"]} for each in (got, expected))
    assert got == expected


def test_the_users_own_arguments_are_held_to_the_limit_of_messages() -> None:
    app = App("both", broker="sqlite://", set_as_current=False)
    declare(app, [])
    t = dict(app.tasks)
    with pytest.raises(MessageTooLarge):
        chain(t["big"].s(), t["sizes"].s("x" * 2_000_000)).apply()


def test_a_task_that_its_app_has_forgotten_runs_eagerly() -> None:
    app = App("both", broker="sqlite://", set_as_current=False)
    gone: Any = app.task(name="gone")(lambda: 5)
    app.tasks.pop("gone")
    assert (gone.apply().state, gone.apply().get()) == ("SUCCESS", 5)


def test_the_log_hears_nothing_of_eager_attempts() -> None:
    heard: list[str] = []
    app = App("both", broker="sqlite://", set_as_current=False)
    declare(app, [])
    stop = events.subscribe(lambda event, _: heard.append(event))
    try:
        for name in ("size", "fails", "replaced"):
            app.tasks[name].apply(("x",) if name == "size" else ())
        chain(app.tasks["big"].s(), app.tasks["again"].s()).apply()
    finally:
        stop()
    assert heard == []
