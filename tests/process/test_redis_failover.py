"""The master is killed while producers and a worker are at it: what was acknowledged is done."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.core.message import State
from reliable_tasks.errors import StoreError
from reliable_tasks.store.redis import keys
from tests import redis_failover
from tests.process.harness import Place, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.redis_failover import Failover

IMPATIENT = {
    "broker_transport_options": '{"socket_timeout": 2.0, "socket_connect_timeout": 1.0}',
}
LONG_S = 90.0


@pytest.fixture(params=["sentinel", "cluster"])
def servers(request: pytest.FixtureRequest) -> Iterator[Failover]:
    with getattr(redis_failover, request.param)() as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path, servers: Failover) -> Iterator[Place]:
    with contextlib.closing(Place(tmp_path, servers.url)) as opened:
        opened.app.conf.broker_transport_options = {
            "socket_timeout": 2.0,
            "socket_connect_timeout": 1.0,
        }
        yield opened
        opened.app.close()


class Producer:
    """Calls a task without an end, and notes which calls were acknowledged as replicated."""

    def __init__(self, place: Place) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self._place = place
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            try:
                result = self._place.call("add", number, 1, durable="replicas:1", retry=False)
            except StoreError as error:
                self.refused.append(str(error))
                self._over.wait(0.05)
            else:
                self.acknowledged.append(result.id)

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.acknowledged) >= count, f"{count} acknowledged", LONG_S)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.timeout(300)
def test_what_was_acknowledged_outlives_the_master(place: Place, servers: Failover) -> None:
    worker = place.start_worker("--concurrency", "2", settings=IMPATIENT)
    producer = Producer(place)
    try:
        producer.wait_for(50)
        servers.kill_master(keys.prefix("reliable_tasks"))
        wait_until(lambda: producer.refused, "the death is noticed", LONG_S)
        producer.wait_for(len(producer.acknowledged) + 50)
    finally:
        producer.stop()
    ids = producer.acknowledged

    def all_done() -> bool:
        with contextlib.suppress(StoreError):
            found = place.store.read(ids)
            return all(r is not None and r.state == State.SUCCEEDED for r in found)
        return False

    wait_until(all_done, "all that was acknowledged is done", LONG_S)
    assert worker.running
    assert "store.recovered" in worker.log
    assert "child.died" not in worker.log
    assert not [text for text in producer.refused if "Traceback" in text]
