"""A call in the midst of another one of the same thread: from a signal's handler or a `__del__`."""

import gc
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from locks import Lock
from reliable_tasks import App
from tests.interrupting import MOST, amid
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer, redis_server
from tests.store.empty import empty_store

__all__ = ["redis_server"]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    app = App("again", broker=empty_store(request, tmp_path), set_as_current=False)
    app.task(name="t")(lambda x: x)
    yield app
    app.close()


def stored(app: App) -> int:
    return sum(app.store.counts().states.values())


def test_an_enqueue_in_the_midst_of_another_one(app: App) -> None:
    app.send_task("t", (0,))
    for sent, at in enumerate(range(MOST)):
        inner: list[Any] = []
        if not amid(
            lambda: app.send_task("t", ("outer",)),
            at,
            lambda inner=inner: inner.append(app.send_task("t", ("inner",))),  # type: ignore[misc]
        ):
            break
        assert inner[0].args == ("inner",)
        assert stored(app) == 1 + 2 * (sent + 1)
    assert sent > 50


def test_reading_and_closing_in_the_midst_of_an_enqueue(app: App) -> None:
    first = app.send_task("t", (0,))
    in_memory = app.store.location == ":memory:"
    for sent, at in enumerate(range(MOST)):

        def ask() -> None:
            assert first.state == "PENDING"
            if not in_memory:
                app.close()

        if not amid(lambda: app.send_task("t", ("outer",)), at, ask):
            break
        assert stored(app) == 1 + sent + 1


def test_an_enqueue_in_the_midst_of_reading(app: App) -> None:
    first = app.send_task("t", (0,))
    for sent, at in enumerate(range(MOST)):
        said: list[str] = []
        if not amid(lambda: said.append(first.state), at, lambda: app.send_task("t", (1,))):  # noqa: B023
            break
        assert said == ["PENDING"]
        assert stored(app) == 1 + sent + 1


def test_an_enqueue_while_another_one_waits_for_the_file(tmp_path: Path) -> None:
    """It has its own connection, and waits as long; whoever has the file lets it go meanwhile."""
    url = f"sqlite:///{tmp_path}/tasks.db?synchronous=normal"
    app, other = (App("again", broker=url, set_as_current=False) for _ in range(2))
    app.send_task("t", (0,))
    store: Any = other.store
    connection = store._database._ready()
    connection.execute("BEGIN IMMEDIATE")

    def free_and_send() -> None:
        connection.execute("COMMIT")
        app.send_task("t", ("inner",))

    assert amid(lambda: app.send_task("t", ("outer",)), 400, free_and_send)
    assert stored(app) == 3
    app.close()
    other.close()


def test_an_enqueue_of_garbage(app: App) -> None:
    """The collector may run whenever anything is made, also within what is written in C."""
    told = itertools.count(1)

    class Thing:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            app.send_task("t", ("last words",))
            next(told)

    before = gc.get_threshold()
    gc.collect()
    try:
        for threshold in range(15, 45, 3):
            gc.set_threshold(threshold, 2, 2)
            for _ in range(5):
                Thing()
                app.send_task("t", ("first",))
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert next(told) == 51
    assert stored(app) == 100


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_locks_in_the_midst_of_each_other(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store: Any = tmp_path / "locks.db"
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        store = redis.Redis.from_url(server.url)
    names = map("again {}".format, itertools.count())

    def hold() -> None:
        Lock(next(names), store, auto_renew=False).acquire(timeout=PATIENCE_S).release()

    hold()
    for at in range(0, MOST, 3):
        if not amid(hold, at, hold):
            break
