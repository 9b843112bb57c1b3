"""Reads queues of RabbitMQ and its kin: `KombuSource`, with less work for each message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.config.brokers import scheme_of
from reliable_tasks.contrib.bridge.frames import Arrival, SSLTransport, Transport
from reliable_tasks.contrib.bridge.kombu_source import KombuSource
from reliable_tasks.contrib.bridge.sources import Delivery

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AmqpSource"]


class AmqpSource(KombuSource):
    """Queues of one broker that speaks AMQP; see `KombuSource`."""

    def __init__(self, url: str, queues: Sequence[str], **options: Any) -> None:
        self._transport = SSLTransport if scheme_of(url) == "amqps" else Transport
        self._consumed: dict[str, str] = {}
        super().__init__(url, queues, **options)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge them by one command, since they came in this order."""
        with self._translated():
            if deliveries:
                self._channel.basic_ack(deliveries[-1].tag, multiple=True)

    def close(self) -> None:
        """Disconnect; the broker delivers again what is not acknowledged."""
        super().close()
        self._consumed.clear()

    def _consume(self, queue: Any, prefetch: int) -> None:
        self._channel.basic_qos(0, prefetch, False)
        self._consumed[self._channel.basic_consume(queue.name)] = queue.name

    def _received(self, seconds: float) -> bool:
        reader = self._connection.connection
        try:
            reader.take(seconds)
        except TimeoutError:
            return False
        arrivals, reader.arrivals = reader.arrivals, []
        self._held += map(self._arrived, arrivals)
        return True

    def _arrived(self, arrival: Arrival) -> Delivery:
        properties = arrival.properties
        return Delivery(
            self._consumed[arrival.consumer],
            arrival.body,
            properties.get("content_type"),
            properties.get("content_encoding"),
            properties.get("application_headers") or {},
            properties,
            arrival.fault,
            arrival.tag,
            (self._named, arrival.tag),
        )
