"""Connections of the Redis store: kept, noticed to be gone, bounded."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from reliable_tasks import errors
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from reliable_tasks.store.redis import server as _server
from tests.redis_server import RedisServer

WANT = v.ClaimRequest(queues=("celery",), limit=1)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as opened:
        yield opened


def _connections(server: RedisServer) -> int:
    """How many there are beside the one that asks."""
    with server.client() as client:
        return int(client.info("clients")["connected_clients"]) - 1


def _at_once(store: RedisStore, number: int) -> list[bool]:
    """Wait for a result in so many threads at once."""
    began, answers = threading.Barrier(number), list[bool]()

    def wait() -> None:
        began.wait()
        answers.append(store.wait({"nobody": -1}, 0.3))

    threads = [threading.Thread(target=wait) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_one_thread_needs_one_connection(server: RedisServer) -> None:
    store = RedisStore(server.url, v.StoreOptions())
    for _ in range(5):
        store.counts()
    assert _connections(server) == 1
    store.close()


def test_a_connection_that_was_cut_while_unused_is_not_used(server: RedisServer) -> None:
    store = RedisStore(server.url, v.StoreOptions())
    store.counts()
    server.kill9()
    server.restart()
    assert store.exchange("unknown", (), WANT).lost, "which is not repeated after an error"
    store.close()


def test_a_connection_to_what_is_a_master_no_more_is_given_up(server: RedisServer) -> None:
    store = RedisStore(server.url, v.StoreOptions())
    store.counts()
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(errors.StoreError):
            store.open_session(v.SessionInfo(id="s", worker="w"), 1000)
        assert not store._server._spare, "the name may lead to another server by now"
        client.replicaof("NO", "ONE")
    store.close()


def test_what_befell_one_connection_is_expected_of_the_others(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisStore(server.url, v.StoreOptions())
    assert _at_once(store, 3) == [False] * 3
    assert len(store._server._spare) > 1

    def silent(*_: object) -> None:
        raise redis.TimeoutError("no answer")

    monkeypatch.setattr(_server.Line, "call", silent)
    with pytest.raises(errors.StoreUnavailable):
        store.exchange("unknown", (), WANT)
    assert not store._server._spare
    store.close()


def test_no_more_connections_are_kept_than_are_of_use(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_server, "KEPT", 2)
    store = RedisStore(server.url, v.StoreOptions())
    assert _at_once(store, 6) == [False] * 6
    assert _connections(server) <= 2
    store.close()


def test_calls_beyond_max_connections_are_refused_in_words(server: RedisServer) -> None:
    options = {"max_connections": 1}
    store = RedisStore(server.url, v.StoreOptions(), transport_options=options)
    taken = threading.Event()
    other = RedisStore(server.url, v.StoreOptions())

    def pause() -> None:
        with other._server.line("") as line:
            line.send("CLIENT", "PAUSE", 300, "ALL")
            line.receive()
        taken.set()
        store.counts()

    thread = threading.Thread(target=pause)
    thread.start()
    taken.wait()
    while not store._server._calling:
        assert thread.is_alive()
    with pytest.raises(errors.StoreUnavailable, match="all of max_connections=1 are in use"):
        store.counts()
    thread.join()
    assert store.counts() == v.Counts(), "there is room again"
    store.close()
    other.close()


def test_connections_say_whose_they_are() -> None:
    with RedisServer() as server:
        store = RedisStore(server.url, v.StoreOptions())
        store.counts()
        told: Any = server.client().client_list()
        assert "reliable_tasks" in {client["lib-name"] for client in told}
        store.close()
