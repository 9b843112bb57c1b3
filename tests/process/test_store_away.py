"""The store goes away for a while, and everything goes on by itself."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

import apsw
import pytest

from reliable_tasks.core.message import State
from tests.patience import PATIENCE_S
from tests.process.harness import Place, wait_until
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def locked_by_somebody(path: Path) -> Iterator[None]:
    """Hold SQLite's write lock, as a backup or a careless operator does."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(10_000)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def test_pain_46_a_worker_goes_on_after_its_database_was_locked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with contextlib.closing(Place(tmp_path, url)) as place:
        worker = place.start_worker("-c", "2", settings={"store_busy_timeout": 0.2})
        running = place.call("wait_for", "go")
        waiting = [place.call("nap", 0.001) for _ in range(30)]
        place.wait_effect("waits")
        with locked_by_somebody(tmp_path / "store.db"):
            place.write("go", "")
            place.wait_effect("goes on")
            wait_until(lambda: "store.unavailable" in worker.log, "it says so")
            assert not running.ready()
        assert running.get(timeout=PATIENCE_S) == "go", "the outcome was kept, and said again"
        for result in waiting:
            result.get(timeout=PATIENCE_S)
        wait_until(lambda: "store.recovered" in worker.log, "it says that as well")
        assert len(place.effects("waits")) == 1


@pytest.fixture
def durable_server() -> Iterator[RedisServer]:
    with RedisServer(appendonly=True) as server:
        yield server


def test_pain_4_workers_consume_again_after_each_restart_of_redis(
    tmp_path: Path, durable_server: RedisServer
) -> None:
    with contextlib.closing(Place(tmp_path, durable_server.url)) as place:
        worker = place.start_worker("--concurrency", "2")
        for n in range(3):
            running = place.call("wait_for", f"go-{n}")
            scheduled = place.call("add", n, 1, countdown=0.5)
            place.wait_effect("waits", n + 1)
            durable_server.kill9()
            place.write(f"go-{n}", "")
            place.wait_effect("goes on", n + 1)
            durable_server.restart()
            assert running.get(timeout=PATIENCE_S) == f"go-{n}"
            kept = scheduled.get(timeout=PATIENCE_S)
            assert kept == n + 1, "pain 16: what was delayed is still there"
            assert place.call("add", n, n).get(timeout=PATIENCE_S) == 2 * n
        wait_until(lambda: "store.recovered" in worker.log, "it says so")
        assert len(place.effects("waits")) == 3, "no body ran twice"


def test_pain_22_get_outlives_a_restart_of_redis(
    tmp_path: Path, durable_server: RedisServer
) -> None:
    with contextlib.closing(Place(tmp_path, durable_server.url)) as place:
        place.start_worker("--concurrency", "1")
        result = place.call("wait_for", "go")
        place.wait_effect("waits")
        got: list[str] = []
        waits = threading.Event()

        def wait() -> None:
            got.append(result.get(timeout=PATIENCE_S, on_interval=waits.set))

        waiter = threading.Thread(target=wait)
        waiter.start()
        assert waits.wait(PATIENCE_S)
        durable_server.kill9()
        durable_server.restart()
        place.write("go", "")
        waiter.join(PATIENCE_S)
        assert got == ["go"]


def test_a_worker_that_starts_while_its_store_is_away_waits_for_it(
    tmp_path: Path, durable_server: RedisServer
) -> None:
    with contextlib.closing(Place(tmp_path, durable_server.url)) as place:
        durable_server.kill9()
        worker = place.start_worker("--concurrency", "1", ready=False)
        wait_until(lambda: "store.unavailable" in worker.log, "it says so")
        assert "waiting for it" in worker.log, "the banner does, too"
        durable_server.restart()
        assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2
        assert worker.stop() == 0


def test_a_worker_whose_store_is_gone_still_stops_when_told(tmp_path: Path) -> None:
    with RedisServer() as server, contextlib.closing(Place(tmp_path, server.url)) as place:
        worker = place.start_worker("--concurrency", "1")
        server.kill9()
        wait_until(lambda: "store.unavailable" in worker.log, "it has noticed")
        worker.signal(signal.SIGQUIT)
        assert worker.wait() == 0


def test_two_workers_share_a_store_and_take_over_what_another_machine_left(place: Place) -> None:
    gone = place.start_worker("--concurrency", "1", settings={"session_lease": 1})
    result = place.call("nap_until", "dawn")
    place.wait_effect("nap")
    place.freeze(gone)  # alive for all that this machine can see, and silent
    place.write("dawn", "")
    place.start_worker("--concurrency", "1")
    assert result.get(timeout=PATIENCE_S) == place.effects("woke")[-1].pid
    assert place.record(result).state == State.SUCCEEDED
    assert place.record(result).delivery == 2
