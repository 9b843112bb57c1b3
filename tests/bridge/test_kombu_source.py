"""Queues of kombu's transports as the bridge reads them: RabbitMQ, Redis, files and memory."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import kombu
import pytest

from reliable_tasks.contrib.bridge.kombu_source import KombuSource
from reliable_tasks.contrib.bridge.sources import BrokerUnavailable
from reliable_tasks.errors import ConfigError
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bridge.rabbitmq import RabbitMQ
    from tests.redis_server import RedisServer


class Place:
    """A queue of its own at one of the brokers."""

    def __init__(self, url: str, **options: Any) -> None:
        self.url, self.options = url, options
        self.queue = f"q-{uuid.uuid4().hex}"

    def connection(self) -> Any:
        return kombu.Connection(self.url, transport_options=self.options)

    def send(self, *bodies: Any, **how: Any) -> None:
        with self.connection() as connection, connection.SimpleQueue(self.queue) as queue:
            for body in bodies:
                queue.put(body, **how)

    @contextlib.contextmanager
    def source(self, **options: Any) -> Iterator[KombuSource]:
        given = {"prefetch": 300, "options": self.options, **options}
        with contextlib.closing(KombuSource(self.url, [self.queue], **given)) as source:
            yield source

    def left(self) -> int:
        """How many messages the next reader finds."""
        with self.source(drain=True) as source:
            return len(source.batch(1000, 0.0))


@pytest.fixture(params=["memory", "filesystem", "redis", "rabbitmq"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return Place("memory://")
    if request.param == "filesystem":
        folder = str(tmp_path / "queue")
        options = {"data_folder_in": folder, "data_folder_out": folder}
        options |= {"control_folder": str(tmp_path / "control")}
        (tmp_path / "queue").mkdir()
        return Place("filesystem://", **options)
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return Place(server.url)
    rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
    return Place(rabbitmq.url, confirm_publish=True)


def received(source: KombuSource, number: int, limit: int = 100) -> list[Any]:
    found: list[Any] = []
    while len(found) < number:
        found += source.batch(limit, PATIENCE_S)
    return found


@pytest.mark.parametrize("drain", [False, True])
def test_what_is_acknowledged_is_gone(place: Place, drain: bool) -> None:
    place.send(*range(250))
    with place.source(drain=drain) as source:
        found = received(source, 250)
        assert sorted(int(delivery.body) for delivery in found) == [*range(250)]
        assert {(d.queue, d.content_type) for d in found} == {(place.queue, "application/json")}
        assert len({delivery.name for delivery in found}) == 250
        source.ack(found[:100])
        source.ack(found[100:])
        assert source.batch(10, 0.0) == []
    assert place.left() == 0


@pytest.mark.parametrize("place", ["redis", "rabbitmq"], indirect=True)  # others forget it
def test_what_is_not_acknowledged_comes_again(place: Place) -> None:
    place.send(*range(30))
    with place.source() as source:
        found = received(source, 30)
        source.ack(found[:10])
    with place.source(drain=True) as source:
        again = received(source, 20)
        assert sorted(d.body for d in again) == sorted(b"%d" % n for n in range(10, 30))
        names = {d.name for d in again}
        assert names == {d.name for d in found[10:]} or names.isdisjoint(d.name for d in found)
        source.ack(again)
    assert place.left() == 0


def test_a_batch_has_no_more_than_it_may(place: Place) -> None:
    place.send(*range(25))
    with place.source() as source:
        found = [source.batch(10, PATIENCE_S) for _ in range(2)]
        assert all(len(batch) <= 10 for batch in found)


def test_bodies_come_as_the_broker_has_them(place: Place) -> None:
    place.send("x" * 1000, compression="gzip")
    place.send(b"\x00\xff\xfe", serializer="raw")
    with place.source() as source:
        # Of two files of one millisecond either may come first.
        raw, packed = sorted(received(source, 2), key=lambda d: "compression" in d.headers)
    assert packed.headers["compression"] == "application/x-gzip"
    assert len(packed.body) < 100
    assert raw.body == b"\x00\xff\xfe"


def test_several_queues_are_told_apart(place: Place) -> None:
    other = Place(place.url, **place.options)
    place.send("a")
    other.send("b")
    queues = [place.queue, other.queue]
    with contextlib.closing(
        KombuSource(place.url, queues, prefetch=10, options=place.options)
    ) as source:
        found = {d.queue: d.body for d in received(source, 2)}
    assert found == {place.queue: b"a", other.queue: b"b"}


def test_an_absent_queue_is_declared(place: Place) -> None:
    with place.source() as source:
        assert source.batch(1, 0.0) == []
        place.send("late")
        (delivery,) = received(source, 1)
        source.ack([delivery])
    assert delivery.body == b"late"


def test_nobody_answers() -> None:
    for url in ("amqp://guest:hidden@127.0.0.1:1//", "redis://:hidden@127.0.0.1:1/0"):
        with contextlib.closing(KombuSource(url, ["q"], prefetch=1)) as source:
            for _ in range(2):
                with pytest.raises(BrokerUnavailable, match=r"127.0.0.1:1") as raised:
                    source.batch(1, 0.0)
                assert "hidden" not in str(raised.value)


# RabbitMQ alone ----------------------------------------------------------------------------------


def test_queues_with_arguments_of_their_own_are_read(rabbitmq: RabbitMQ) -> None:
    place = Place(rabbitmq.url)
    with place.connection() as connection:
        arguments = {"x-max-priority": 10, "x-message-ttl": 3_600_000}
        queue = kombu.Queue(place.queue, durable=False, auto_delete=True, queue_arguments=arguments)
        queue(connection.default_channel).declare()
        producer = connection.Producer()
        for priority in (1, 9):
            producer.publish(str(priority), routing_key=place.queue, priority=priority)
        with place.source() as source:
            assert source.high_first
            found = received(source, 2)
            assert [d.properties["priority"] for d in found] == [9, 1]
            source.ack(found)


def test_no_more_is_held_than_prefetched(rabbitmq: RabbitMQ) -> None:
    place = Place(rabbitmq.url, confirm_publish=True)
    place.send(*range(50))
    with place.source(prefetch=7) as source, place.connection() as connection:
        found = received(source, 7)
        assert len(found) == 7
        assert source.batch(10, 0.0) == []
        channel = connection.default_channel
        declared = kombu.Queue(place.queue)(channel).queue_declare(passive=True)
        assert declared.message_count == 43
        source.ack(found)
        assert len(received(source, 7)) == 7


def test_a_lost_connection_is_renewed(rabbitmq: RabbitMQ) -> None:
    place = Place(rabbitmq.url, confirm_publish=True)
    place.send("a", "b")
    with place.source() as source:
        found = received(source, 2)
        source._connection.transport.close_connection(source._connection.connection)
        with pytest.raises(BrokerUnavailable):
            source.ack(found)
        source.ack(received(source, 2))
    assert place.left() == 0


@pytest.mark.parametrize("url", ["amqp://nobody:hidden@{0}//", "amqp://guest:guest@{0}/nowhere"])
def test_a_broker_that_refuses_is_told(rabbitmq: RabbitMQ, url: str) -> None:
    place = Place(url.format(f"127.0.0.1:{rabbitmq.port}"))
    with place.source() as source, pytest.raises(ConfigError, match="refuses the bridge") as raised:
        source.batch(1, 0.0)
    assert "hidden" not in str(raised.value)
