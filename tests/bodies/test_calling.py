"""A `__call__` of one's own is around each body that attempts run, and around direct calls."""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, OnceTask, Task, current_task
from reliable_tasks.bodies.calling import called_by_attempts
from reliable_tasks.errors import CodecError, MaxRetriesExceededError, Retry
from reliable_tasks.store.values import SessionInfo
from reliable_tasks.testing import bound, run_until_idle
from tests.patience import PATIENCE_S
from tests.worker.pooled import POOLS, Running

if TYPE_CHECKING:
    from collections.abc import Iterator

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="none")
told: list[Any] = []


@contextlib.contextmanager
def of_tenant(name: str) -> Iterator[None]:
    token = tenant.set(name)
    told.append("opened")
    try:
        yield
    finally:
        told.append("closed")
        tenant.reset(token)


class Wrapped(Task[Any, Any]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with of_tenant(f"of {self.request.id}"):
            return self.run(*args, **kwargs)


class BySuper(Task[Any, Any]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with of_tenant(f"of {self.request.id}"):
            return super().__call__(*args, **kwargs)


class Mixin:
    request: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with of_tenant(f"of {self.request.id}"):
            return super().__call__(*args, **kwargs)  # type: ignore[misc]


class Mixed(Mixin, OnceTask[Any, Any]):
    """One that has it of a mixin."""


class Awaiting(Task[Any, Any]):
    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with of_tenant(f"of {self.request.id}"):
            return await super().__call__(*args, **kwargs)


@pytest.fixture
def app() -> Iterator[App]:
    told.clear()
    app = App("calling", broker="sqlite://", set_as_current=False)
    with bound(app):
        yield app


def by_worker(app: App, task: Any, *args: Any) -> Any:
    result = task.apply_async(args, task_id="me")
    run_until_idle(app)
    return result


def eagerly(_: App, task: Any, *args: Any) -> Any:
    return task.apply(args, task_id="me")


WAYS = pytest.mark.parametrize("way", [by_worker, eagerly])
BASES = pytest.mark.parametrize("base", [Wrapped, BySuper, Mixed])


def plain(n: int) -> Any:
    return n, tenant.get()


def bound_to_its_task(self: Any, n: int) -> Any:
    assert self.request.args == (n,)
    return n, tenant.get()


async def coroutine(n: int) -> Any:
    return n, tenant.get()


async def bound_coroutine(self: Any, n: int) -> Any:
    assert self.request.args == (n,)
    return n, tenant.get()


BODIES = pytest.mark.parametrize(
    ("body", "bind"),
    [(plain, False), (bound_to_its_task, True), (coroutine, False), (bound_coroutine, True)],
)


@WAYS
@BASES
@BODIES
def test_it_is_around_each_body(app: App, way: Any, base: Any, body: Any, bind: bool) -> None:
    task = app.task(name="it", base=base, bind=bind)(body)
    assert way(app, task, 1).get(timeout=5) == (1, "of me")
    assert told == ["opened", "closed"]


@WAYS
@pytest.mark.parametrize(("body", "bind"), [(coroutine, False), (bound_coroutine, True)])
def test_a_coroutine_is_awaited_around_a_body(app: App, way: Any, body: Any, bind: bool) -> None:
    task = app.task(name="it", base=Awaiting, bind=bind)(body)
    assert way(app, task, 1).get(timeout=5) == (1, "of me")
    assert told == ["opened", "closed"]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("base", [Wrapped, Awaiting])
def test_each_pool_runs_it(app: App, pool: str, base: Any) -> None:
    task: Any = app.task(name="it", base=base)(coroutine)
    app.store.open_session(SessionInfo(id="s", worker="w@h"), 600_000)
    with Running(app, pool):
        assert task.delay(1).get(timeout=PATIENCE_S)[1].startswith("of ")
    assert told == ["opened", "closed"]


@WAYS
def test_the_class_of_an_apps_tasks_may_have_it(way: Any) -> None:
    told.clear()
    app = App("calling", broker="sqlite://", task_cls=Wrapped, set_as_current=False)
    with bound(app):
        assert way(app, app.task(name="it")(plain), 1).get(timeout=5) == (1, "of me")


@WAYS
def test_a_task_of_a_class_of_ones_own_may_have_it_in_the_place_of_run(app: App, way: Any) -> None:
    class Own(Task[Any, Any]):
        name = "own"

        def __call__(self, n: int) -> int:
            return n + 1

    assert way(app, app.register_task(Own()), 1).get(timeout=5) == 2


@WAYS
def test_retries_hooks_and_failures_are_as_without(app: App, way: Any) -> None:
    class Hooked(Wrapped):
        def on_retry(self, *_: Any) -> None:
            told.append(("retry", tenant.get()))

        def on_success(self, *_: Any) -> None:
            told.append(("success", tenant.get()))

    @app.task(base=Hooked, bind=True, autoretry_for=(KeyError,), default_retry_delay=0)
    def fails_twice(self: Any) -> str:
        if self.request.retries == 0:
            raise KeyError
        if self.request.retries == 1:
            raise self.retry(countdown=0)
        return tenant.get()

    assert way(app, fails_twice).get(timeout=5) == "of me"
    around = ["opened", "closed"]
    retry = ("retry", "none")
    assert told == [*around, retry, *around, retry, *around, ("success", "none")]


@WAYS
def test_what_it_raises_ends_the_attempt_as_a_body_would(app: App, way: Any) -> None:
    class Refusing(Task[Any, Any]):
        def __call__(self, *_: Any, **__: Any) -> Any:
            raise SystemExit("no tenant")

    result = way(app, app.task(name="it", base=Refusing)(plain), 1)
    assert result.state == "FAILURE"
    assert "no tenant" in str(result.result)


@BASES
def test_a_direct_call_goes_through_it_once(app: App, base: Any) -> None:
    task = app.task(name="it", base=base)(plain)
    assert task(1) == (1, "of None")
    assert told == ["opened", "closed"]


@WAYS
def test_a_body_that_calls_another_task_goes_through_that_ones_own(app: App, way: Any) -> None:
    inner = app.task(name="inner", base=BySuper, bind=True)(
        lambda self, n: (n, self.request.called_directly, current_task.name)
    )

    @app.task(base=Wrapped, bind=True)
    def outer(self: Any) -> Any:
        return inner(1), self.request.id, current_task.name

    got = way(app, outer).get(timeout=5)
    assert got == ((1, True, "inner"), "me", outer.name)
    assert told == ["opened", "opened", "closed", "closed"]


def test_coroutine_bodies_that_await_each_other_share_their_loop(app: App) -> None:
    inner = app.task(name="inner", base=Wrapped)(coroutine)

    @app.task(base=Wrapped)
    async def outer() -> Any:
        return await inner(1)

    assert eagerly(app, outer).get() == (1, "of me")


def test_a_coroutine_body_may_await_a_call_of_its_own_task(app: App) -> None:
    @app.task(base=BySuper)
    async def factorial(n: int) -> int:
        return n * int(await factorial(n - 1)) if n else 1

    assert eagerly(app, factorial, 3).get() == 6


def test_a_task_without_one_is_called_as_it_was(app: App) -> None:
    task = app.task(name="it")(plain)
    assert called_by_attempts(task, Task.__call__) == (task.run, False)


# Requests of direct calls, and pushed ones -------------------------------------------------------


def test_a_direct_call_has_a_request_that_says_so_with_its_arguments(app: App) -> None:
    @app.task(bind=True)
    def task(self: Any, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        return request.called_directly, request.args, request.kwargs, self.request is request

    assert task(1, b=2) == (True, (1,), {"b": 2}, True)
    assert task.request.args == ()


def test_a_pushed_request_stands_for_an_attempt(app: App) -> None:
    task: Any = app.task(name="it", bind=True, max_retries=2)(
        lambda self: self.retry(countdown=1, throw=False)
    )
    with pytest.raises(Retry, match="called directly"):
        task.run()
    task.push_request(called_directly=False, id="x", retries=1)
    assert (task.request.id, task.request_stack.top.id) == ("x", "x")
    assert task.run().when == 1
    task.push_request(retries=2)
    with pytest.raises(MaxRetriesExceededError, match=r"\[x\]"):
        task.run()
    assert [task.pop_request().retries, task.pop_request().retries] == [2, 1]
    assert task.request.called_directly
    with pytest.raises(ValueError, match="no request of it was pushed here"):
        task.pop_request()


def test_a_pushed_request_is_not_that_of_an_attempt_that_starts_later(app: App) -> None:
    task: Any = app.task(name="it", bind=True)(lambda self: self.request.id)
    task.push_request(id="pushed")
    assert task.apply(task_id="eager").get() == "eager"
    assert task.run() == "pushed"
    task.pop_request()


def test_a_plain_function_that_returns_a_coroutine_is_told_of_async_def() -> None:
    coroutines: list[Any] = []

    async def later() -> int:
        return 1

    with App("told", broker="sqlite://", set_as_current=False) as app:

        @app.task(name="forgets")
        def forgets() -> Any:
            coroutines.append(later())
            return coroutines[0]

        with pytest.raises(CodecError, match="nobody has awaited: make the body an `async def`"):
            forgets.apply().get()
    coroutines[0].close()  # or Python says that it was never awaited
