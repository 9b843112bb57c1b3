"""A body that waits for another result might wait for its own worker: that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.patience import PATIENCE_S
from tests.worker.pooled import POOLS, Running

if TYPE_CHECKING:
    from reliable_tasks import App


@pytest.mark.parametrize("eager", [False, True], ids=["the body", "an eager call in the body"])
@pytest.mark.parametrize("name", POOLS)
def test_no_body_waits_for_the_result_of_another(app: App, name: str, eager: bool) -> None:
    add: Any = app.task(name="add")(lambda x, y: x + y)

    @app.task(name="inner")
    def inner() -> str:
        try:
            return f"got {add.delay(1, 2).get(timeout=1)}"
        except RuntimeError as exc:
            return str(exc)

    @app.task(name="outer")
    def outer() -> str:
        return str(inner.apply().get())

    with Running(app, name):
        said = (outer if eager else inner).delay().get(timeout=PATIENCE_S)
    assert said.startswith("Never call result.get() within a task!")
