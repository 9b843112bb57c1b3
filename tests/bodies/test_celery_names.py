"""Names of Celery's `Task` beside its calls."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, Task
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.testing import bound, run_until_idle

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app() -> Iterator[App]:
    app = App("names", broker="sqlite://", set_as_current=False)
    with bound(app):
        yield app


def test_a_task_has_the_names_of_its_function(app: App) -> None:
    @app.task
    def add(x: int, y: int = 1) -> int:
        """Add."""
        return x + y

    @functools.wraps(add)
    def wrapper() -> None:
        """Never called."""

    assert (add.__name__, wrapper.__name__, add.__doc__) == ("add", "add", "Add.")
    assert set(add.__annotations__) == {"x", "y", "return"}


@pytest.mark.parametrize(
    "name", ["Request", "Strategy", "start_strategy", "send_event", "from_config"]
)
def test_what_means_nothing_here_says_what_there_is_instead(app: App, name: str) -> None:
    task = app.task(name="it")(lambda: None)
    with pytest.raises(AttributeError, match=f"Task has no attribute '{name}'; instead: "):
        getattr(task, name)
    assert not hasattr(Task, name)


def test_the_error_of_enqueueing_can_be_caught_by_the_task() -> None:
    assert Task.OperationalError is StoreUnavailable


def test_on_bound_hears_of_the_app(app: App) -> None:
    heard: list[Any] = []

    class Hearing(Task[Any, Any]):
        @classmethod
        def on_bound(cls, app: Any) -> None:
            heard.append((cls.__name__, app))

    app.task(name="it", base=Hearing)(lambda: None)
    assert heard == [("<lambda>", app)]


def test_on_replace_sees_what_takes_the_messages_place(app: App) -> None:
    class Seeing(Task[Any, Any]):
        def on_replace(self, sig: Any) -> Any:
            return super().on_replace(sig.clone(kwargs={"by": 10}))

    app.task(name="times")(lambda n, by=1: n * by)
    task = app.task(name="it", base=Seeing, bind=True)(
        lambda self: self.replace(self.app.tasks["times"].s(2))
    )
    result = task.delay()
    run_until_idle(app)
    assert (result.get(timeout=5), task.apply().get()) == (20, 20)


@pytest.mark.parametrize(
    "call",
    [
        lambda task: task.delay(1),
        lambda task: task.apply_async((1,), queue="celery"),
        lambda task: task.s(1).delay(),
        lambda task: (task.s(1) | task.si(1)).apply_async().parent,
        lambda task: task.app.send_task("it", (1,)),
        lambda task: task.app.enqueue_many([task.s(1)])[0],
        lambda task: task.apply((1,)),
    ],
)
def test_shadow_name_names_each_call(app: App, call: Any) -> None:
    seen: list[Any] = []

    @app.task(name="it", bind=True, shadow_name=lambda self, args, *_: f"{self.name}-{args}")
    def it(self: Any, _: int) -> None:
        seen.append(self.request.shadow)

    call(it)
    run_until_idle(app)
    assert set(seen) == {"it-(1,)"}


def test_a_shadow_that_the_call_gives_counts_more(app: App) -> None:
    seen: list[Any] = []

    @app.task(name="it", bind=True, shadow_name=lambda *_: None)
    def it(self: Any) -> None:
        seen.append(self.request.shadow)

    it.apply_async(shadow="mine")
    it.delay()
    run_until_idle(app)
    assert seen == ["mine", None]


def test_add_around_wraps_a_method_once(app: App) -> None:
    task: Any = app.task(name="it")(lambda n: n)
    for factor in (2, 3):
        type(task).add_around("run", lambda run, by=factor: lambda n: run(n) * by)
    result = task.delay(5)
    run_until_idle(app)
    assert result.get(timeout=5) == 15


def test_a_signature_of_the_request_is_the_same_call_anew(app: App) -> None:
    made: list[Any] = []

    @app.task(name="it", bind=True)
    def it(self: Any, *_: Any, **__: Any) -> None:
        made.append(self.signature_from_request(kwargs={"b": 3}))

    it.apply_async((1,), {"b": 2}, queue="mail", priority=4, headers={"h": 1}, task_id="me")
    run_until_idle(app)
    (sig,) = made
    assert (sig.task, sig.args, sig.kwargs) == ("it", (1,), {"b": 3})
    assert sig.options == {"queue": "mail", "priority": 4, "headers": {"h": 1}}
    assert sig.delay().id != "me"


def test_an_eager_call_has_its_options_in_the_request(app: App) -> None:
    @app.task(name="it", bind=True)
    def it(self: Any) -> Any:
        request = self.request
        info = {k: request.delivery_info[k] for k in ("routing_key", "priority", "is_eager")}
        return request.headers, info, request.retries

    got = it.apply(headers={"a": 1}, queue="mail", priority=3, retries=2, loglevel=0, logfile=None)
    info = {"routing_key": "mail", "priority": 3, "is_eager": True}
    assert got.get() == ({"a": 1}, info, 2)
    app.conf.task_always_eager = True
    assert it.apply_async(headers={"a": 1}, queue="mail", priority=3).get() == ({"a": 1}, info, 0)
