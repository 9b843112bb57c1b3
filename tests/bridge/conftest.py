"""The real systems on either side of the bridge: each starts once in a run of the tests."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import pytest
from kombu.transport.zookeeper import Channel

from tests.bridge.memcached import Memcached
from tests.bridge.rabbitmq import RabbitMQ
from tests.bridge.servers import watch
from tests.bridge.zookeeper import ZooKeeper
from tests.contrib.postgres import Postgres, postgres
from tests.leftovers import no_threads_left
from tests.redis_server import redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kazoo.client import KazooClient

__all__ = ["redis_server"]

# Tests that ask for one of these run in one process of xdist's, so it starts once.
_GROUPS: Final = ("rabbitmq", "zookeeper", "memcached", "postgres_server")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Clients of brokers work in threads, which go on by themselves."""
    with no_threads_left():
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of a server together, those of several with those of the slowest."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        group = next((name for name in _GROUPS if name in names), None)
        if group:
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """The session's RabbitMQ; a test that uses it takes queues of its own names."""
    with RabbitMQ() as server:
        yield server


@pytest.fixture(scope="session")
def zookeeper_server() -> Iterator[ZooKeeper]:
    """The session's ZooKeeper."""
    with ZooKeeper() as server:
        yield server


@pytest.fixture
def zookeeper(zookeeper_server: ZooKeeper, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZooKeeper]:
    """The session's ZooKeeper; a test that uses it takes queues of its own names."""
    clients: list[KazooClient] = []
    opened = Channel._open

    def noted(channel: Channel) -> KazooClient:
        clients.append(opened(channel))
        return clients[-1]

    monkeypatch.setattr(Channel, "_open", noted)
    yield zookeeper_server
    for client in clients:  # kombu closes none: each looks for a server that is away, for ever
        client.stop()
        client.close()


@pytest.fixture(scope="session")
def memcached() -> Iterator[Memcached]:
    """The session's Memcached."""
    with Memcached() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The session's PostgreSQL, in which Celery's result backend makes its own tables."""
    with postgres() as server:
        watcher = watch(server.folder.parent, [server.pid])
        try:
            yield server
        finally:
            os.killpg(watcher.pid, signal.SIGKILL)
            watcher.wait()
