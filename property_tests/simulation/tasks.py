"""The tasks that simulated workers run: their bodies note their effects and never sleep."""

from __future__ import annotations

import functools
from typing import Any

from property_tests.simulation import hostile
from property_tests.simulation.witness import PoisonError, Witness
from reliable_tasks.app import App
from reliable_tasks.errors import Ignore, Reject, StepOutcomeUnknown, StoreError
from reliable_tasks.tasks.task import Task

__all__ = ["HARD_LIMIT_S", "SOFT_LIMIT_S", "app_of"]

SOFT_LIMIT_S, HARD_LIMIT_S = 0.4, 0.6


class _Relay:
    """Tells the witness of the present world: apps take longer to make than worlds to run."""

    witness: Witness

    def effect(self, task: Any) -> None:
        self.witness.effect(task)

    def charge(self, message_id: str) -> None:
        self.witness.charge(message_id)

    def charged(self, message_id: str) -> None:
        self.witness.charged(message_id)

    def unknown(self, message_id: str) -> None:
        self.witness.unknown(message_id)

    def misbehaves(self, place: str, deed: str) -> None:
        self.witness.misbehaves(place, deed)


_relay = _Relay()


def app_of(store: Any, witness: Witness, *, old: bool = False) -> App:
    """An app whose bodies report to `witness`; an old version lacks the task `novel`.

    One world at a time: the next one gets the same app.
    """
    app = _made(old)
    app.store = store
    _relay.witness = witness
    return app


@functools.cache
def _made(old: bool) -> App:
    app = App("sim", broker="sqlite://", set_as_current=False, audit="all", unknown_task_delay=0.5)
    app.conf.beat_schedule = {"often": {"task": "tick", "schedule": 1.0, "catch_up": "all"}}
    _tasks_that_end_well(app, _relay, old=old)
    _tasks_that_do_not(app, _relay)
    _tasks_with_more_to_do(app, _relay)
    hostile.register(app, _relay, HARD_LIMIT_S)
    return app


def _tasks_that_end_well(app: App, witness: Witness, *, old: bool) -> None:
    @app.task(bind=True, name="plain")
    def plain(self: Any, value: int) -> int:
        witness.effect(self)
        return value

    @app.task(bind=True, name="flaky", max_retries=5)
    def flaky(self: Any, value: int, times: int) -> int:
        witness.effect(self)
        if self.request.retries < times:
            raise self.retry(countdown=1.0)
        return value

    @app.task(bind=True, name="once_plain", once={"keys": ["key"]})
    def once_plain(self: Any, key: int, value: int) -> int:
        witness.effect(self)
        return value

    @app.task(bind=True, name="tick")
    def tick(self: Any) -> None:
        witness.effect(self)

    @app.task(bind=True, name="total")
    def total(self: Any, values: list[int]) -> int:
        witness.effect(self)
        return sum(values)

    if not old:

        @app.task(bind=True, name="novel")
        def novel(self: Any, value: int) -> int:
            witness.effect(self)
            return value


class _Exits(Task[Any, Any]):
    """Its hook raises SystemExit, which must cost neither its message nor another one anything."""

    abstract = True

    def on_failure(self, *_: Any) -> None:
        raise SystemExit(0)


def _tasks_that_do_not(app: App, witness: Witness) -> None:
    @app.task(bind=True, name="failing", max_retries=0, base=_Exits)
    def failing(self: Any, value: int) -> int:
        witness.effect(self)
        raise ValueError(value)

    @app.task(bind=True, name="poison")
    def poison(self: Any, value: int) -> int:
        witness.effect(self)
        raise PoisonError(value)

    @app.task(bind=True, name="ignoring")
    def ignoring(self: Any, value: int) -> int:
        witness.effect(self)
        raise Ignore(str(value))

    @app.task(bind=True, name="rejecting")
    def rejecting(self: Any, value: int) -> int:
        witness.effect(self)
        raise Reject(str(value))

    @app.task(bind=True, name="requeuing")
    def requeuing(self: Any, value: int) -> int:
        witness.effect(self)
        raise Reject(str(value), requeue=True)


def _tasks_with_more_to_do(app: App, witness: Witness) -> None:
    again = {"autoretry_for": (StoreError,), "max_retries": 30, "default_retry_delay": 1.0}

    @app.task(bind=True, name="stepping", **again)
    def stepping(self: Any, value: int) -> int:
        witness.effect(self)
        try:
            self.step("charge", witness.charge, self.request.id)
        except StepOutcomeUnknown:
            witness.unknown(self.request.id)
            return -value
        witness.charged(self.request.id)
        return value

    @app.task(bind=True, name="spawning", **again)
    def spawning(self: Any, value: int) -> int:
        witness.effect(self)
        app.tasks["plain"].apply_async((value,), task_id=f"{self.request.id}+1")
        return value

    @app.task(bind=True, name="replacing", **again)
    def replacing(self: Any, value: int) -> Any:
        witness.effect(self)
        raise self.replace(app.tasks["plain"].s(value))

    @app.task(bind=True, name="limited", time_limit=HARD_LIMIT_S)
    def limited(self: Any, value: int) -> int:
        witness.effect(self)
        return value

    @app.task(bind=True, name="softly", soft_time_limit=SOFT_LIMIT_S)
    def softly(self: Any, value: int) -> int:
        witness.effect(self)
        return value
