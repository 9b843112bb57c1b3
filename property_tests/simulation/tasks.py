"""The tasks that simulated workers run: their bodies note their effects and never sleep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.app import App
from reliable_tasks.errors import Ignore, Reject

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PoisonError", "make_app"]


class PoisonError(BaseException):
    """The process that runs this body dies of it."""


def make_app(effect: Callable[[str, int, int], None], charge: Callable[[str], None]) -> App:
    """An app whose bodies call `effect(id, attempt, fence)`; a step calls `charge(id)`."""
    app = App("sim", broker="sqlite://", set_as_current=False, audit="all")
    app.conf.beat_schedule = {"often": {"task": "tick", "schedule": 1.0, "catch_up": "all"}}

    def note(task: Any) -> None:
        effect(task.request.id, task.request.attempt, task.request.fence)

    _tasks_that_end_well(app, note, charge)
    _tasks_that_do_not(app, note)
    return app


def _tasks_that_end_well(
    app: App, note: Callable[[Any], None], charge: Callable[[str], None]
) -> None:
    @app.task(bind=True, name="plain")
    def plain(self: Any, value: int) -> int:
        note(self)
        return value

    @app.task(bind=True, name="flaky", max_retries=5)
    def flaky(self: Any, value: int, times: int) -> int:
        note(self)
        if self.request.retries < times:
            raise self.retry(countdown=1.0)
        return value

    @app.task(bind=True, name="once_plain", once={"keys": ["key"]})
    def once_plain(self: Any, key: int, value: int) -> int:
        note(self)
        return value

    @app.task(bind=True, name="stepping", max_retries=5)
    def stepping(self: Any, value: int) -> int:
        note(self)
        self.step("charge", lambda: charge(self.request.id))
        return value

    @app.task(bind=True, name="tick")
    def tick(self: Any) -> None:
        note(self)

    @app.task(bind=True, name="total")
    def total(self: Any, values: list[int]) -> int:
        note(self)
        return sum(values)


def _tasks_that_do_not(app: App, note: Callable[[Any], None]) -> None:
    @app.task(bind=True, name="failing", max_retries=0)
    def failing(self: Any, value: int) -> int:
        note(self)
        raise ValueError(value)

    @app.task(bind=True, name="poison")
    def poison(self: Any, value: int) -> int:
        note(self)
        raise PoisonError(value)

    @app.task(bind=True, name="ignoring")
    def ignoring(self: Any, value: int) -> int:
        note(self)
        raise Ignore(str(value))

    @app.task(bind=True, name="rejecting")
    def rejecting(self: Any, value: int) -> int:
        note(self)
        raise Reject(str(value))
