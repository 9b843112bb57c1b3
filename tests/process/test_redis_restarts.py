"""Redis is killed and started again, with and without its files, while workers work."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.core.message import State
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.store.values import AuditQuery
from tests.patience import PATIENCE_S
from tests.process.harness import Place, wait_until
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

    from reliable_tasks.results.result import AsyncResult

PATIENT = {"max_retries": 60, "interval_start": 0.05, "interval_step": 0.05, "interval_max": 0.5}


def test_a_server_that_forgot_everything_gets_new_sessions_and_new_work(tmp_path: Path) -> None:
    with RedisServer() as server, contextlib.closing(Place(tmp_path, server.url)) as place:
        worker = place.start_worker("--concurrency", "2", settings={"heartbeat_interval": 0.2})
        place.call("wait_for", "go")
        place.wait_effect("waits")
        before = {s.id for s in place.store.sessions()}
        server.kill9()
        place.write("go", "")
        place.wait_effect("goes on")
        server.restart()
        wait_until(lambda: len(place.store.sessions()) == 2, "it opens new sessions")
        assert before.isdisjoint(s.id for s in place.store.sessions())
        assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2
        assert worker.running
        counts = place.store.counts()
        assert counts.states == {State.SUCCEEDED: 1}, "a stale commit brings nothing back"


def test_an_enqueue_is_tried_again_until_the_server_is_back(tmp_path: Path) -> None:
    with (
        RedisServer(appendonly=True) as server,
        contextlib.closing(Place(tmp_path, server.url)) as place,
    ):
        server.kill9()
        with pytest.raises(StoreUnavailable):
            place.call("add", 1, 1, retry=False)
        server.restart()
        result = place.call("add", 1, 1, retry_policy=PATIENT)
        place.start_worker("--concurrency", "1")
        assert result.get(timeout=PATIENCE_S) == 2


@pytest.mark.xdist_group("timing")
def test_two_thousand_messages_outlive_a_worker_and_two_deaths_of_redis(tmp_path: Path) -> None:
    with (
        RedisServer(appendonly=True, appendfsync="always") as server,
        contextlib.closing(Place(tmp_path, server.url)) as place,
    ):
        settings = {"audit": "all", "session_lease": 2}
        workers = [place.start_worker("--concurrency", "2", settings=settings) for _ in range(2)]
        results = _enqueue(place, 1000)
        _until_succeeded(place, 200)
        workers[0].kill_tree()
        for death in (1, 2):
            _until_succeeded(place, 400 * death)
            in_the_middle = False
            while not in_the_middle:
                server.kill9()
                server.restart()
                in_the_middle = bool(place.store.counts().queues)
                results += _enqueue(place, 500)
        for result in results:
            result.get(timeout=PATIENCE_S)
        counts = place.store.counts()
        assert counts.states == {State.SUCCEEDED: len(results)}
        assert counts.dead == 0
        rows = place.store.audit(AuditQuery(event="succeeded", limit=10_000))
        assert Counter(r.id for r in rows) == Counter(r.id for r in results), "each committed once"
        assert workers[1].running


def _enqueue(place: Place, count: int) -> list[AsyncResult[int]]:
    return place.app.enqueue_many(place.app.tasks["nap"].s(0.002) for _ in range(count))


def _until_succeeded(place: Place, count: int) -> None:
    wait_until(
        lambda: place.store.counts().states.get(State.SUCCEEDED, 0) >= count,
        f"{count} messages have succeeded",
    )
