"""What the bridge reads from: queues of a broker, whose deliveries come until acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from reliable_tasks.errors import ReliableTasksError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["HIGH_FIRST", "BrokerUnavailable", "Delivery", "Source"]

HIGH_FIRST: Final = frozenset({"amqp", "mongodb", "qpid", "zookeeper"})
"""kombu's drivers that serve the highest priority first; all others serve 0 first."""


class BrokerUnavailable(ReliableTasksError, ConnectionError):
    """The broker does not answer; try again later."""


class Delivery(msgspec.Struct, frozen=True):
    """One message as the broker has it.

    Attributes:
        queue: the broker's queue that it came from.
        body: the raw body, still in its serializer's and compression's form.
        content_type, content_encoding: as the producer set them.
        headers, properties: of the message; the names are AMQP's.
        fault: why not even these could be read; the body is then all that the broker gave.
        tag: the source's own, to acknowledge it by.
        name: what tells it from others that look alike. It is the same at each delivery where the
            broker has such a name for it, else of this delivery alone.
    """

    queue: str
    body: bytes
    content_type: str | None = None
    content_encoding: str | None = None
    headers: Mapping[str, Any] = msgspec.field(default_factory=dict)
    properties: Mapping[str, Any] = msgspec.field(default_factory=dict)
    fault: str | None = None
    tag: Any = None
    name: Any = None


class Source(Protocol):
    """Queues of one broker, read by one thread. It connects when it is first asked, and again.

    Every call raises `BrokerUnavailable`. What was delivered and is not acknowledged comes again,
    after `close` or after a lost connection, here or in another bridge.
    """

    def batch(self, limit: int, seconds: float) -> list[Delivery]:
        """Up to `limit` deliveries; while there are none, waits `seconds` for the first."""
        ...

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker that these are stored, so that it forgets them."""
        ...

    def close(self) -> None:
        """Give back what is not acknowledged and disconnect; never raises."""
        ...
