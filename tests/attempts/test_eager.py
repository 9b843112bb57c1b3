"""Calls that run here and now."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import tenacity

from reliable_tasks import App, Ignore, RetryPolicy, Task, chain, group
from reliable_tasks.errors import CodecError, MaxRetriesExceededError, MessageTooLarge, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def app() -> Iterator[App]:
    with App("eager", broker="sqlite://", set_as_current=False) as made:
        yield made


def test_apply_runs_the_body_here_and_gives_an_ended_handle(app: App) -> None:
    @app.task(name="add", bind=True)
    def add(self: Task[Any, Any], x: int, y: int) -> tuple[int, bool, str | None]:
        return x + y, self.request.is_eager, self.request.id

    result = add.apply((2,), {"y": 3}, task_id="mine")
    assert result.get() == (5, True, "mine")
    assert (result.state, result.ready(), result.successful()) == ("SUCCESS", True, True)
    assert result.app is app
    assert app.store.counts().states == {}, "the store was not asked"


def test_a_failure_is_kept_in_the_handle_or_raised_if_asked(app: App) -> None:
    @app.task(name="fail")
    def fail() -> None:
        raise KeyError("k")

    result = fail.apply()
    assert result.failed()
    assert isinstance(result.result, KeyError)
    assert "KeyError: 'k'" in (result.traceback or "")
    assert isinstance(result.get(propagate=False), KeyError)
    with pytest.raises(KeyError):
        result.get()
    with pytest.raises(KeyError):
        fail.apply(throw=True)
    app.conf.task_eager_propagates = True
    with pytest.raises(KeyError):
        fail.apply()


def test_retries_follow_each_other_without_their_delays(app: App) -> None:
    @app.task(name="again", bind=True, max_retries=3)
    def again(self: Task[Any, Any], failures: int) -> int:
        if self.request.retries < failures:
            raise self.retry(countdown=3600)
        return self.request.retries

    assert again.apply((2,)).get() == 2
    assert isinstance(again.apply((9,)).result, MaxRetriesExceededError)


def test_automatic_retries_run_as_often_as_the_policy_says(app: App) -> None:
    runs: list[int] = []

    @app.task(name="fails", autoretry_for=(KeyError,), retry_backoff=True, max_retries=2)
    def fails() -> None:
        runs.append(1)
        raise KeyError("k")

    assert isinstance(fails.apply().result, KeyError)
    assert len(runs) == 3


def test_a_retry_may_change_the_arguments(app: App) -> None:
    @app.task(name="again", bind=True)
    def again(self: Task[Any, Any], n: int) -> int:
        if n < 3:
            raise self.retry(args=(n + 1,), countdown=0)
        return n

    assert again.apply((1,)).get() == 3


def test_hooks_are_called_in_celerys_order(app: App) -> None:
    called: list[str] = []

    class Told(Task[Any, Any]):
        def before_start(self, *_: Any) -> None:
            called.append("before_start")

        def on_success(self, *_: Any) -> None:
            called.append("on_success")

        def on_retry(self, *_: Any) -> None:
            called.append("on_retry")

        def on_failure(self, *_: Any) -> None:
            called.append("on_failure")

        def after_return(self, status: str, *_: Any) -> None:
            called.append(f"after_return {status}")

    @app.task(name="told", base=Told, bind=True, max_retries=1)
    def told(self: Task[Any, Any], works: bool) -> None:
        if not works:
            raise self.retry(exc=KeyError("k"), countdown=1)

    told.apply((True,))
    assert called == ["before_start", "on_success", "after_return SUCCESS"]
    called.clear()
    told.apply((False,))
    assert called == [
        "before_start",
        "on_retry",
        "before_start",
        "on_failure",
        "after_return FAILURE",
    ]


def test_coroutines_are_run_to_their_end(app: App) -> None:
    @app.task(name="co")
    async def co(n: int) -> int:
        return n + 1

    assert app.tasks["co"].apply((1,)).get() == 2


def test_ignore_ends_without_a_result(app: App) -> None:
    @app.task(name="ignored", bind=True)
    def ignored(self: Task[Any, Any]) -> None:
        self.update_state(state="SKIPPED", meta={"why": "old"})
        raise Ignore

    result = ignored.apply()
    assert (result.state, result.result) == ("SKIPPED", {"why": "old"})


def test_with_always_eager_delay_runs_the_body_where_it_is_called(app: App) -> None:
    app.conf.task_always_eager = True
    add: Any = app.task(name="add")(lambda x, y: x + y)
    assert add.delay(2, 3).get() == 5
    assert add.apply_async((2, 3), countdown=60, queue="q").get() == 5
    assert app.store.counts().states == {}


def test_links_are_applied_with_the_result_and_error_links_with_the_id(app: App) -> None:
    got: list[Any] = []
    add: Any = app.task(name="add")(lambda x, y: x + y)
    note: Any = app.task(name="note")(got.append)

    @app.task(name="fail")
    def fail() -> None:
        raise KeyError("k")

    add.apply((2, 3), link=[note.s()], link_error=note.s())
    assert got == [5]
    result = fail.apply(link=note.s(), link_error=note.s())
    assert got == [5, result.id]


def test_steps_simply_run(app: App) -> None:
    @app.task(name="steps", bind=True)
    def steps(self: Task[Any, Any]) -> int:
        return int(self.step("one", lambda n: n + 1, 1))

    assert steps.apply().get() == 2


def test_what_an_ended_handle_offers_beyond_reading(app: App) -> None:
    add: Any = app.task(name="add")(lambda: 5)
    result = add.apply()
    assert result.revoke() == "ended"
    result.forget()
    got: list[Any] = []
    assert result.maybe_throw(callback=lambda *told: got.append(told)) == 5
    assert got == [(result.id, 5)]
    assert repr(result) == f"<EagerResult: {result.id}>"


def test_a_failure_with_details_of_the_bodys_own_is_raised_as_they_say(app: App) -> None:
    @app.task(bind=True)
    def declines(self: Task[Any, Any]) -> None:
        told = {"exc_type": "ValueError", "exc_message": "declined"}
        self.update_state(state="FAILURE", meta=told)
        raise Ignore

    result = declines.apply()
    assert result.state == "FAILURE"
    with pytest.raises(ValueError, match="declined"):
        result.get()


ANYTHING = RetryPolicy(max_retries=5)


@pytest.mark.parametrize("exc", [None, KeyError("k")], ids=["none of its own", "of its own"])
def test_no_policy_retries_what_a_retry_without_end_came_to(
    app: App, exc: Exception | None
) -> None:
    runs: list[int] = []

    @app.task(name="gives-up", bind=True, retry_policy=ANYTHING)
    def gives_up(self: Task[Any, Any]) -> None:
        runs.append(1)
        raise self.retry(exc=exc, max_retries=1, countdown=0)

    expected = MaxRetriesExceededError if exc is None else KeyError
    assert isinstance(gives_up.apply().result, expected)
    assert len(runs) == 2


@pytest.mark.parametrize(
    "options", [{"max_retries": 2}, {"retry_policy": RetryPolicy(max_retries=2)}]
)
def test_a_retry_that_a_body_makes_itself_ends_at_the_limit(
    app: App, options: dict[str, Any]
) -> None:
    runs: list[int] = []

    @app.task(name="raw", **options)
    def raw() -> None:
        runs.append(1)
        raise Retry("once more")

    result = raw.apply()
    assert isinstance(result.result, MaxRetriesExceededError)
    assert "max_retries=2" in str(result.result)
    assert len(runs) == 3


def test_a_policy_sees_results_and_nothing_of_before_start(app: App) -> None:
    class Refusing(Task[Any, Any]):
        def before_start(self, *_: Any) -> None:
            runs.append(1)
            raise KeyError("k")

    runs: list[int] = []
    odd = RetryPolicy(retry=tenacity.retry_if_result(lambda n: n % 2 == 1), max_retries=3)

    @app.task(name="counts", retry_policy=odd, bind=True)
    def counts(self: Task[Any, Any]) -> int:
        return self.request.retries + 1

    @app.task(name="refuses", base=Refusing, retry_policy=ANYTHING)
    def refuses() -> None:
        pass

    assert counts.apply().result == 2
    assert isinstance(refuses.apply().result, KeyError)
    assert len(runs) == 1


@pytest.mark.parametrize("how", ["delay", "apply", "chain", "group", "many"])
def test_eager_canvases_run_with_what_a_worker_would_get(how: str) -> None:
    with App("eager", broker="sqlite://", task_always_eager=True) as app:

        @app.task(name="kind")
        def kind(value: Any) -> str:
            return type(value).__name__

        calls: dict[str, Callable[[Any], Any]] = {
            "delay": lambda x: kind.s(x).delay(),
            "apply": lambda x: kind.s(x).apply(),
            "chain": lambda x: chain(kind.si("text"), kind.si(x)).delay(),
            "group": lambda x: group(kind.s(x)).delay().results[0],
            "many": lambda x: app.enqueue_many([kind.s(x)])[0],
        }
        assert calls[how]({"a", "b"}).get() == kind.delay({"a", "b"}).get()
        with pytest.raises(CodecError):
            calls[how](threading.Lock())
        with pytest.raises(MessageTooLarge):
            calls[how]("x" * 2_000_000)
