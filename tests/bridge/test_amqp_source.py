"""The reader of AMQP brokers, on a real RabbitMQ."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import amqp
import pytest

from reliable_tasks.contrib.bridge.amqp_source import AmqpSource
from reliable_tasks.contrib.bridge.sources import BrokerUnavailable, Delivery
from reliable_tasks.errors import ConfigError
from tests.patience import PATIENCE_S
from tests.tls import Authority, tls_door

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.bridge.rabbitmq import RabbitMQ


class Queue:
    """A queue of a test's own."""

    def __init__(self, server: RabbitMQ) -> None:
        self.name = f"q-{uuid.uuid4().hex}"
        self._server = server
        with server.connect() as connection:
            connection.channel().queue_declare(self.name, durable=True, auto_delete=False)

    def send(self, *bodies: bytes, **properties: Any) -> None:
        with self._server.connect() as connection:
            channel = connection.channel()
            for body in bodies:
                message = amqp.Message(body, delivery_mode=2, **properties)
                channel.basic_publish(message, routing_key=self.name)

    @contextlib.contextmanager
    def source(self, *others: Queue, prefetch: int = 100) -> Iterator[AmqpSource]:
        names = [self.name, *(other.name for other in others)]
        source = AmqpSource(self._server.url, names, prefetch=prefetch)
        with contextlib.closing(source):
            yield source

    def left(self) -> int:
        with self._server.connect() as connection:
            return int(connection.channel().queue_delete(self.name))


@pytest.fixture
def queue(rabbitmq: RabbitMQ) -> Queue:
    return Queue(rabbitmq)


def bodies(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [delivery.body for delivery in deliveries]


def take(source: AmqpSource, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    while len(found) < count:
        found += source.batch(count - len(found), PATIENCE_S)
    return found


def test_a_message_is_read_whole(queue: Queue) -> None:
    headers = {"id": "x", "retries": 1, "timelimit": [None, 2.5], "stamps": {"a": [True]}}
    queue.send(
        b"body", application_headers=headers, content_type="text/plain", priority=3, reply_to="r"
    )
    with queue.source() as source:
        (delivery,) = take(source, 1)
        source.ack([delivery])
    assert (delivery.queue, delivery.body, delivery.fault) == (queue.name, b"body", None)
    assert (delivery.content_type, delivery.content_encoding) == ("text/plain", None)
    assert delivery.headers == headers
    assert (delivery.properties["priority"], delivery.properties["reply_to"]) == (3, "r")
    assert queue.left() == 0


def test_more_than_one_frame_and_more_than_one_batch(queue: Queue) -> None:
    sent = [b"", b"x" * 1_000_000, *(b"%d" % number for number in range(50))]
    queue.send(*sent)
    with queue.source(prefetch=7) as source:
        found: list[bytes] = []
        while len(found) < len(sent):
            batch = source.batch(5, PATIENCE_S)
            source.ack(batch)
            found += bodies(batch)
    assert found == sent
    assert queue.left() == 0


def test_what_is_not_acknowledged_is_delivered_again(queue: Queue) -> None:
    queue.send(b"1", b"2", b"3")
    with queue.source() as source:
        found = take(source, 3)
        source.ack(found[:1])
        source.close()
        again = take(source, 2)
        assert bodies(again) == [b"2", b"3"]
        assert len({delivery.name for delivery in found + again}) == 5  # AMQP names none
    assert queue.left() == 2


def test_several_queues(rabbitmq: RabbitMQ, queue: Queue) -> None:
    other = Queue(rabbitmq)
    queue.send(b"1")
    other.send(b"2")
    with queue.source(other) as source:
        found = {delivery.queue: delivery.body for delivery in take(source, 2)}
    assert found == {queue.name: b"1", other.name: b"2"}
    assert (queue.left(), other.left()) == (1, 1)


def test_a_queue_that_is_deleted_is_declared_anew(queue: Queue) -> None:
    with queue.source() as source:
        assert source.batch(1, 0.01) == []
        queue.left()
        with pytest.raises(BrokerUnavailable):
            source.batch(1, PATIENCE_S)
        assert source.batch(1, 0.01) == []
        queue.send(b"1")
        assert bodies(take(source, 1)) == [b"1"]
    assert queue.left() == 1


def test_a_lost_connection_is_made_anew(rabbitmq: RabbitMQ, queue: Queue) -> None:
    queue.send(b"1", b"2")
    with queue.source() as source:
        held = take(source, 2)
        source._connection.connection.transport.sock.close()
        with pytest.raises(BrokerUnavailable):
            source.ack(held)
        source.ack(take(source, 2))
    assert queue.left() == 0
    refused = AmqpSource(rabbitmq.url.replace("guest:guest", "guest:wrong"), ["q"], prefetch=1)
    with contextlib.closing(refused), pytest.raises(ConfigError, match="refuses the bridge") as no:
        refused.batch(1, 0)
    assert "wrong" not in str(no.value)


def test_tls(rabbitmq: RabbitMQ, queue: Queue, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    sent = [b"x" * 300_000, *(b"%d" % number for number in range(30))]
    queue.send(*sent)
    with tls_door(authority.context(clients=False), rabbitmq.port) as port:
        url = f"amqps://guest:guest@127.0.0.1:{port}//"
        options = {"ssl": {"ca_certs": str(authority.ca)}}
        source = AmqpSource(url, [queue.name], prefetch=100, options=options)
        with contextlib.closing(source):
            deliveries = take(source, len(sent))
            assert bodies(deliveries) == sent
            assert source.batch(1, 0.01) == []
            source.ack(deliveries)
    assert queue.left() == 0
