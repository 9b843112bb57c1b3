"""The proxy does what it is told, once, and leaves nothing behind."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.proxy import Proxy, first_command
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer, default_server
from tests.store.redis_factories import server_of


@pytest.fixture
def server() -> RedisServer:
    return server_of(default_server())


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port) as opened:
        yield opened


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(proxy.url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0)) as opened:
        opened.delete("n", "big")
        yield opened


def test_everything_passes_until_it_is_told_otherwise(client: redis.Redis, proxy: Proxy) -> None:
    big = bytes(range(256)) * 4000
    client.set("big", big)
    assert client.get("big") == big
    with client.pipeline(transaction=False) as pipe:
        for _ in range(50):
            pipe.incr("n")
        assert pipe.execute() == list(range(1, 51))
    assert proxy.seen.count("INCRBY") == 50


def test_a_lost_reply_is_of_a_request_that_was_applied(client: redis.Redis, proxy: Proxy) -> None:
    fault = proxy.lose_next_reply("INCRBY", skip=1)
    assert client.incr("n") == 1
    with pytest.raises(redis.ConnectionError):
        client.incr("n")
    fault.wait()
    assert client.incr("n") == 3


def test_a_cut_request_is_not_applied(client: redis.Redis, proxy: Proxy) -> None:
    proxy.cut_next_request("INCRBY")
    with pytest.raises(redis.ConnectionError):
        client.incr("n")
    assert client.incr("n") == 1


def test_a_held_request_comes_when_nobody_waits_for_it(client: redis.Redis, proxy: Proxy) -> None:
    fault = proxy.hold_next_request("INCRBY")
    with pytest.raises(redis.ConnectionError):
        client.incr("n")
    assert client.get("n") is None
    fault.deliver()
    assert client.get("n") == b"1"


def test_a_delayed_request_is_overtaken_on_another_connection(
    client: redis.Redis, proxy: Proxy
) -> None:
    delayed = proxy.delay_next_request("APPEND", PATIENCE_S)
    with redis.Redis.from_url(proxy.url, socket_timeout=PATIENCE_S) as patient:
        slow = threading.Thread(target=patient.append, args=("n", "slow"))
        slow.start()
        while "APPEND" not in proxy.seen:
            time.sleep(0.001)
        patient.set("n", "fast ")
        delayed.released.set()
        slow.join()
    assert client.get("n") == b"fast slow"


def test_an_answer_comes_in_the_place_of_the_servers(client: redis.Redis, proxy: Proxy) -> None:
    proxy.answer_next("LOADING the dataset", "INCRBY")
    with pytest.raises(redis.exceptions.BusyLoadingError):
        client.incr("n")
    assert client.incr("n") == 1


def test_a_blackhole_takes_and_gives_nothing(client: redis.Redis, proxy: Proxy) -> None:
    client.incr("n")
    proxy.blackhole()
    for _ in range(2):  # on the connection that was there, and on a new one
        with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
            client.incr("n")
    proxy.restore()
    assert client.incr("n") == 2, "what was swallowed never arrives"


def test_refused_connections_are_refused_and_others_go_on(
    client: redis.Redis, proxy: Proxy
) -> None:
    client.incr("n")
    proxy.refuse()
    assert client.incr("n") == 2
    client.connection_pool.disconnect()
    with pytest.raises(redis.ConnectionError, match="refused"):
        client.incr("n")
    proxy.restore()
    assert client.incr("n") == 3


def test_a_reset_hits_every_connection(client: redis.Redis, proxy: Proxy) -> None:
    client.incr("n")
    with socket.create_connection(("127.0.0.1", proxy.port)) as idle:
        idle.settimeout(5)
        idle.sendall(b"*1\r\n$4\r\nPING\r\n")
        assert idle.recv(16) == b"+PONG\r\n"
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            idle.recv(1)
    assert proxy.connections == 0
    assert client.incr("n") == 2, "on a new connection"


def test_replies_come_late_for_as_long_as_it_is_told(client: redis.Redis, proxy: Proxy) -> None:
    client.incr("n")
    proxy.delay(0.1)
    begun = time.monotonic()
    client.incr("n")
    assert time.monotonic() - begun >= 0.1
    proxy.delay(PATIENCE_S)
    proxy.restore()
    begun = time.monotonic()
    client.incr("n")
    assert time.monotonic() - begun < PATIENCE_S


def test_a_server_that_is_away_ends_the_connection() -> None:
    with (
        Proxy(1) as nowhere,
        redis.Redis.from_url(nowhere.url) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()


def test_nothing_is_left_of_a_closed_proxy(server: RedisServer) -> None:
    before = {t for t in threading.enumerate() if t.name.startswith("proxy")}
    with Proxy(server.port) as proxy:
        port = proxy.port
        links = [redis.Redis.from_url(proxy.url) for _ in range(5)]
        assert all(link.ping() for link in links)
        assert proxy.connections == 5
    for link in links:
        link.close()
    after = {t for t in threading.enumerate() if t.name.startswith("proxy")}
    assert after <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_request_is_read_however_it_comes(cut: int) -> None:
    request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n$1\r\n"
    assert len(request) == 30
    assert first_command(request[:cut]) is None
    assert first_command(request + b"*1") == (30, [b"SET", b"k", b"\r\n$1"])
