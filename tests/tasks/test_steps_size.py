"""How large a value of `self.step` may be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.errors import MessageTooLarge, StepOutcomeUnknown
from reliable_tasks.testing import bound, run_until_idle


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_value_larger_than_a_result_is_refused_at_the_step(asynchronous: bool) -> None:
    app = App("steps", broker="sqlite://", max_result_bytes=2000, set_as_current=False)
    seen, words = list[type[BaseException] | int](), list[str]()

    def make(size: int) -> str:
        return "x" * size

    async def make_later(size: int) -> str:
        return make(size)

    def run(order: Any, name: str, size: int) -> str:
        if asynchronous:
            return str(asyncio.run(order.step(name, make_later, size)))
        return str(order.step(name, make, size))

    @app.task(bind=True, name="order")
    def order(self: Any) -> None:
        seen.append(len(run(self, "fits", 1998)))
        try:
            run(self, "large", 1999)
        except (MessageTooLarge, StepOutcomeUnknown) as exc:
            seen.append(type(exc))
            words.append(str(exc))
        if self.request.retries == 0:
            raise self.retry(countdown=1)

    with bound(app):
        order.delay()
        run_until_idle(app)
    assert seen == [1998, MessageTooLarge, 1998, StepOutcomeUnknown]
    assert words[0].startswith("the value of step 'large' of ")
    assert "has 2,001 bytes, more than max_result_bytes=2,000" in words[0]
