"""The tasks of a soak, in two versions of the program.

A body marks its beginning and its end in the file of effects. Its result is `[fence, number]`: the
fence says whose claim the result is of, and the number is one that the checks can foretell.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reliable_tasks import App, OnceTask
from reliable_tasks.contrib.guards import SqlGuard
from reliable_tasks.errors import StoreError
from tests.process.effects import mark
from tests.soak import hostile

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHILD", "ONCE", "RESOURCES", "SCHEDULE", "make_app", "open_resources"]

Said = list[int]
"""A fence and a number."""

CHILD = "-child"
"""Ends the id of a message that a body enqueues."""

ONCE: dict[str, dict[str, Any]] = {
    "until_executed": {"graceful": True},
    "until_executing": {"graceful": True},
    "while_executing": {"on_conflict": "reschedule"},
    "until_and_while_executing": {"on_conflict": "reschedule"},
    "until_expired": {"timeout": 2.0, "on_conflict": "return"},
}
"""The scopes of once-tasks, and what a second call meets."""

RESOURCES = "resources.db"
"""The database that bodies write to, guarded by their fences; beside the file of effects."""

SCHEDULE: dict[str, dict[str, Any]] = {
    "every second": {"task": "tick", "schedule": 1.0, "catch_up": "all"},
    "every second that is met": {"task": "tick", "schedule": 1.0, "catch_up": "skip"},
}


def make_app(url: str, version: int) -> App:
    """The program on a store; version 2 has one more task, and another body of `greet`."""
    app = App("soak", broker=url, set_as_current=False)
    app.conf.beat_schedule = SCHEDULE
    _plain(app, version)
    _trying_again(app)
    _once(app)
    _with_effects(app)
    _deadly(app)
    hostile.register(app, marked)
    return app


def marked(function: Callable[..., int]) -> Callable[..., Said]:
    """A body that marks its beginning, with whose results it was given, and its end."""

    @functools.wraps(function)
    def body(self: Any, *args: Any) -> Said:
        mark("begin", at_ms=_now_ms(), task=self.name, given=_fences_of(args))
        said = [self.request.fence, function(self, *args)]
        mark("end", at_ms=_now_ms(), task=self.name, said=said)
        return said

    return body


def _now_ms() -> int:
    return round(time.time() * 1000)


def _fences_of(args: Any) -> list[int]:
    """The fences in what parents handed on: one result, or a chord's list of them."""
    if not args or not isinstance(args[0], list):
        return []
    first: list[Any] = args[0]
    return [said[0] for said in first] if isinstance(first[0], list) else first[:1]


def _plain(app: App, version: int) -> None:
    @app.task(name="plain", bind=True)
    @marked
    def plain(self: Any, number: int, seconds: float = 0.0) -> int:
        time.sleep(seconds)
        return number

    @app.task(name="add", bind=True)
    @marked
    def add(self: Any, said: Said, number: int) -> int:
        time.sleep(0.02)
        return said[1] + number

    @app.task(name="total", bind=True)
    @marked
    def total(self: Any, said: list[Said]) -> int:
        return sum(number for _, number in said)

    @app.task(name="tick", bind=True)
    @marked
    def tick(self: Any) -> int:
        return 0

    @app.task(name="greet", bind=True)
    @marked
    def greet(self: Any) -> int:
        mark(f"version {version}")
        return version

    if version >= 2:

        @app.task(name="newcomer", bind=True)
        @marked
        def newcomer(self: Any, number: int) -> int:
            return number


def _trying_again(app: App) -> None:
    @app.task(name="failing", bind=True)
    @marked
    def failing(self: Any, number: int) -> int:
        raise ValueError(number)

    @app.task(name="flaky", bind=True, max_retries=5)
    @marked
    def flaky(self: Any, number: int, failures: int) -> int:
        if self.request.retries < failures:
            raise self.retry(countdown=0.3)
        return number


def _once(app: App) -> None:
    for scope, options in ONCE.items():

        @app.task(
            name=scope, bind=True, base=OnceTask, once={"keys": ["key"], "scope": scope, **options}
        )
        @marked
        def body(self: Any, key: int, number: int, seconds: float) -> int:
            time.sleep(seconds)
            return number


def _with_effects(app: App) -> None:
    # The store may be away while a body asks it for something, or a later claim may have written to
    # the resource: the attempt is then made again.
    patient: dict[str, Any] = {
        "autoretry_for": (StoreError, sqlite3.OperationalError),
        "retry_kwargs": {"countdown": 0.5, "max_retries": 1000},
    }

    @app.task(name="stepping", bind=True, **patient)
    @marked
    def stepping(self: Any, number: int, failures: int) -> int:
        paid: int = self.step("charge", _charge, number)
        if self.request.retries < failures:
            raise self.retry(countdown=0.2)
        return paid

    @app.task(name="spawning", bind=True, **patient)
    @marked
    def spawning(self: Any, number: int) -> int:
        app.tasks["plain"].apply_async((number,), task_id=f"{self.request.id}{CHILD}")
        time.sleep(0.05)
        return number

    @app.task(name="guarded", bind=True, **patient)
    @marked
    def guarded(self: Any, name: str, number: int) -> int:
        time.sleep(0.3)  # in which it may be stopped, and come back too late
        path = Path(os.environ["EFFECTS"]).with_name(RESOURCES)
        with contextlib.closing(open_resources(path)) as database, database:
            SqlGuard().check(database, name, self.request.fence)
            database.execute(
                "INSERT INTO history (resource, id, fence) VALUES (?, ?, ?)",
                (name, self.request.id, self.request.fence),
            )
        return number


def _charge(number: int) -> int:
    time.sleep(0.02)
    mark("charge", at_ms=_now_ms())
    return number


def open_resources(path: Path) -> sqlite3.Connection:
    """The guarded database, made where it is not there."""
    database = sqlite3.connect(path, timeout=20)
    SqlGuard().create(database)
    database.execute("CREATE TABLE IF NOT EXISTS history (resource, id, fence)")
    return database


def _deadly(app: App) -> None:
    @app.task(name="poison", bind=True)
    @marked
    def poison(self: Any, number: int, deaths: int) -> int:
        if self.request.delivery <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    @app.task(name="too_long", bind=True, time_limit=0.5)
    @marked
    def too_long(self: Any) -> int:
        time.sleep(60)
        return 0
