"""What is said of a result that was there and is gone."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, AsyncResult, group
from reliable_tasks.errors import ConfigError, ResultGone, TimeoutError, UnknownResult  # noqa: A004 - Celery's name
from reliable_tasks.testing import bound, run_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def app() -> Iterator[App]:
    app = App("gone", broker="sqlite://", result_expires=60, set_as_current=False)
    with bound(app):
        yield app


@pytest.fixture
def add(app: App) -> Any:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    return add


def _drop(app: App, result: AsyncResult[Any]) -> None:
    run_until_idle(app)
    app.AsyncResult(result.id).forget()


@pytest.mark.parametrize("timeout", [None, 0, 10])
@pytest.mark.parametrize("listens", [False, True])
def test_get_says_that_the_result_is_gone(
    app: App, add: Any, timeout: float | None, listens: bool
) -> None:
    result = add.delay(1, 2)
    _drop(app, result)
    heard = (lambda _: None) if listens else None
    with pytest.raises(ResultGone, match=rf"{result.id}.*result_expires=60"):
        result.get(timeout=timeout, on_message=heard)
    assert issubclass(ResultGone, UnknownResult)


def test_it_goes_while_somebody_waits(app: App, add: Any) -> None:
    result = app.AsyncResult(add.delay(1, 2).id)  # known by its id alone, until it is looked for
    with pytest.raises(ResultGone):
        result.get(on_interval=lambda: _drop(app, result))


def test_a_handle_that_has_the_answer_keeps_it(app: App, add: Any) -> None:
    result = add.delay(1, 2)
    run_until_idle(app)
    assert result.get(timeout=0) == 3
    _drop(app, result)
    assert result.get(timeout=0) == 3
    result.forget()
    with pytest.raises(ResultGone):
        result.get(timeout=0)


def test_an_id_of_which_nothing_was_heard_is_pending(app: App) -> None:
    result = app.AsyncResult("from elsewhere")
    assert result.state == "PENDING"
    result.forget()
    with pytest.raises(TimeoutError, match=r"the store has no message with this id.*exists\(\)"):
        result.get(timeout=0)
    with pytest.raises(TimeoutError, match=r"group .*: message from elsewhere and others had not"):
        app.GroupResult("several", [result]).get(timeout=0)


def test_one_that_is_there_is_not_said_to_be_missing(app: App, add: Any) -> None:
    with pytest.raises(TimeoutError, match=r"had not ended after 0 s$"):
        app.AsyncResult(add.delay(1, 2).id).get(timeout=0)


@pytest.mark.parametrize("timeout", ["3", True, 10**400, float("nan"), [1]], ids=repr)
def test_a_timeout_that_is_none_is_refused(app: App, add: Any, timeout: Any) -> None:
    sent = add.delay(1, 2)
    ways: list[Callable[[], object]] = [
        lambda: sent.get(timeout=timeout),
        lambda: sent.get(timeout=timeout, on_message=print),
        lambda: sent.revoke(wait=True, timeout=timeout),
        lambda: app.GroupResult("one", [sent]).get(timeout=timeout),
        lambda: app.GroupResult("one", [sent]).revoke(timeout=timeout),
        lambda: list(app.GroupResult("one", [sent]).iter_native(timeout=timeout)),
        lambda: add.apply((1, 2)).get(timeout=timeout),
    ]
    for way in ways:
        with pytest.raises(ConfigError, match=r"timeout( must be a number of|=.*is out of bounds)"):
            way()
    run_until_idle(app)
    assert sent.get(timeout=dt.timedelta(seconds=1)) == 3, "no way revoked it"
    assert sent.get(timeout=math.inf) == 3


def test_one_that_was_read_is_known(app: App, add: Any) -> None:
    result = app.AsyncResult(add.delay(1, 2).id)
    assert result.exists()
    _drop(app, result)
    with pytest.raises(ResultGone):
        result.get(timeout=0)


def test_a_group_says_which_one_is_gone(app: App, add: Any) -> None:
    results = group([add.s(1, 1), add.s(2, 2)], app=app).delay()
    _drop(app, results[1])
    with pytest.raises(ResultGone, match=results[1].id):
        results.get()
    assert results[0].get() == 2
