"""`self.step`: its names, coroutines, and where there is no worker."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.errors import (
    ConfigError,
)
from reliable_tasks.testing import bound, run_until_idle


@pytest.fixture
def app() -> Iterator[App]:
    app = App("steps", broker="sqlite://", set_as_current=False)
    with bound(app):
        yield app


@pytest.mark.parametrize("name", ["", None, 7, "charge (try 2)"])
def test_a_name_that_is_not_possible(app: App, name: Any) -> None:
    @app.task(bind=True, name="order")
    def order(self: Any) -> None:
        self.step(name, int)

    result = order.delay()
    run_until_idle(app)
    assert isinstance(result.result, Exception)
    assert "ConfigError" in type(result.result).__name__


def test_outside_of_a_body_there_is_no_step(app: App) -> None:
    @app.task(bind=True, name="order")
    def order(self: Any) -> None:
        self.step("charge", int)

    with pytest.raises(ConfigError, match="inside the body"):
        order.step("charge", int)
    assert order.request.fence == 0
    assert order.request.idempotency_key is None


def test_an_eager_run_just_calls(app: App) -> None:
    calls: list[int] = []

    @app.task(bind=True, name="order")
    def order(self: Any) -> int:
        for _ in range(2):
            self.step("charge", calls.append, 1)
        return len(calls)

    assert order.apply().get() == 2


def test_a_coroutine_function_is_a_step_to_be_awaited(app: App) -> None:
    calls: list[int] = []

    async def charge(attempt: int) -> str:
        await asyncio.sleep(0)
        calls.append(attempt)
        if attempt == 1:
            raise ConnectionError
        return f"paid at {attempt}"

    @app.task(bind=True, name="order", autoretry_for=(ConnectionError,), max_retries=3)
    async def order(self: Any) -> str:
        paid = await self.step("charge", charge, self.request.attempt)
        if self.request.attempt < 3:
            raise self.retry(countdown=1)
        return str(paid)

    result = order.delay()
    run_until_idle(app)
    assert calls == [1, 2]
    assert result.result == "paid at 2"
