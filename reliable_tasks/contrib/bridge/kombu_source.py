"""Reads queues of any broker that kombu knows: RabbitMQ, Redis, SQS, files and others."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import kombu
from kombu.exceptions import KombuError

from reliable_tasks.config.masks import mask_url
from reliable_tasks.contrib.bridge.sources import HIGH_FIRST, BrokerUnavailable, Delivery
from reliable_tasks.core import clock, ids
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["KombuSource"]

_GATHER_S: Final = 0.02
"""How long a batch waits for more, once it has one."""
_HEARTBEAT_S: Final = 60
_CONNECT_S: Final = 10
_REFUSALS: Final = frozenset({403, 530})
"""AMQP's codes for: no rights, and no such virtual host."""


class KombuSource:
    """Queues of one broker, as a `Source`.

    Args:
        url: as Celery's `broker_url` has it.
        queues: their names. One that is not there is declared as Celery declares it.
        prefetch: how many messages the broker sends ahead of their acknowledgement.
        options: kombu's `transport_options`.
        drain: an empty batch means that there is none, and not that none came meanwhile.

    Raises:
        ConfigError: there is no such transport, or a library for it is missing.
    """

    _transport: Any = None  # the one that the URL names

    def __init__(
        self,
        url: str,
        queues: Sequence[str],
        *,
        prefetch: int,
        options: Mapping[str, Any] | None = None,
        drain: bool = False,
    ) -> None:
        self._url, self._shown = url, mask_url(url)
        self._names, self._prefetch = tuple(queues), prefetch
        self._options, self._drain = dict(options or {}), drain
        self._connection: Any = None
        self._channel: Any = None
        self._bound: list[Any] = []
        self._held: list[Delivery] = []
        self._named = ""  # of the connection: AMQP's tags count from 1 in each
        try:
            with self._fresh() as probe:
                self._driver = str(probe.transport.driver_type)
                self._pulls = drain and self._driver != "amqp"
        except (ImportError, KeyError, ValueError, KombuError) as error:
            raise ConfigError(
                f"{self._shown} names no broker: {error}; see kombu's transports, and install the "
                "library that this one needs"
            ) from error

    @property
    def high_first(self) -> bool:
        """Whether the broker serves high priorities first."""
        return self._driver in HIGH_FIRST

    def batch(self, limit: int, seconds: float) -> list[Delivery]:
        """Up to `limit` deliveries; while there are none, waits `seconds` for the first."""
        with self._translated():
            self._connect()
            if self._pulls:
                return self._pulled(limit)
            if not self._held:
                self._received(seconds)
            while self._drain and not self._held and self._ready():
                self._received(seconds)
            until = clock.monotonic() + _GATHER_S
            while self._held and len(self._held) < limit:
                left_s = until - clock.monotonic()
                if left_s <= 0 or not self._received(left_s):
                    break
            self._connection.heartbeat_check()
            found, self._held = self._held[:limit], self._held[limit:]
            return found

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge; at AMQP's brokers by one command, since they came in this order."""
        with self._translated():
            if deliveries and self._driver == "amqp":
                deliveries[-1].tag.ack(multiple=True)
                return
            for delivery in deliveries:
                delivery.tag.ack()

    def close(self) -> None:
        """Disconnect; the broker delivers again what is not acknowledged."""
        connection, channel = self._connection, self._channel
        self._connection = self._channel = None
        self._held, self._bound = [], []
        # Whatever it is, the connection is gone afterwards.
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.release()
            with contextlib.suppress(Exception):  # Redis: it gives back what is not acknowledged
                channel._disconnect_pools()  # noqa: SLF001 - over a connection that nobody closes

    # Connecting -----------------------------------------------------------------------------------

    def _fresh(self) -> Any:
        return kombu.Connection(
            self._url,
            transport=self._transport,
            transport_options=self._options,
            connect_timeout=_CONNECT_S,
            heartbeat=_HEARTBEAT_S,
        )

    def _connect(self) -> None:
        if self._connection is not None:
            return
        self._connection = self._fresh()
        self._connection.connect()
        self._named = ids.new_id()
        self._channel = self._opened()
        queues = [self._declared(name) for name in self._names]
        self._bound = [queue(self._channel) for queue in queues]
        for queue in () if self._pulls else self._bound:
            self._consume(queue, max(1, self._prefetch // len(self._bound)))

    def _consume(self, queue: Any, prefetch: int) -> None:
        kombu.Consumer(
            self._channel,
            [queue],
            on_message=partial(self._on_message, queue.name),
            auto_declare=False,
            prefetch_count=prefetch,
        ).consume()

    def _opened(self) -> Any:
        channel = self._connection.channel()
        channel.Message = _raw(channel.Message)
        return channel

    def _declared(self, name: str) -> Any:
        """The queue; it may have arguments that nobody here knows, so it is asked for first."""
        exchange = kombu.Exchange(name, type="direct")
        queue = kombu.Queue(name, exchange, routing_key=name)
        if self._driver == "amqp":
            try:
                queue(self._channel).queue_declare(passive=True)
            except self._connection.channel_errors as error:
                if getattr(error, "code", None) in _REFUSALS:
                    raise
                self._channel = self._opened()  # the refusal has closed the other one
            else:
                return queue
        queue(self._channel).declare()
        return queue

    # Receiving ------------------------------------------------------------------------------------

    def _received(self, seconds: float) -> bool:
        try:
            self._connection.drain_events(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def _ready(self) -> int:
        """How many messages wait in the queues; what was on its way to us has come by then."""
        return sum(queue.queue_declare(passive=True).message_count for queue in self._bound)

    def _pulled(self, limit: int) -> list[Delivery]:
        found: list[Delivery] = []
        for queue in self._bound:
            while len(found) < limit:
                message = self._channel.basic_get(queue.name, no_ack=False)
                if message is None:
                    break
                found.append(self._delivery(queue.name, self._as_message(message)))
        return found

    def _as_message(self, message: Any) -> Any:
        convert = getattr(self._channel, "message_to_python", None)
        return convert(message) if convert else message

    def _on_message(self, queue: str, message: Any) -> None:
        self._held.append(self._delivery(queue, message))

    def _delivery(self, queue: str, message: Any) -> Delivery:
        # The producer has named what a virtual transport delivers; AMQP's server numbers it.
        of_connection = self._named if self._driver == "amqp" else ""
        return _delivery(queue, message, (of_connection, message.delivery_tag))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (ConfigError, BrokerUnavailable):
            raise
        except Exception as error:  # transports raise what their libraries do, and what they like
            self.close()
            if getattr(error, "code", None) in _REFUSALS:
                raise ConfigError(
                    f"{self._shown} refuses the bridge: {error}; check user, password and virtual "
                    f"host, and the rights to declare and read {', '.join(self._names)}"
                ) from error
            said = f"{type(error).__name__}: {error}"
            raise BrokerUnavailable(f"{self._shown} does not answer: {said}") from error


_as_it_came: dict[type[Any], type[Any]] = {}


def _raw(cls: type[Any]) -> type[Any]:
    """A channel's class of messages, whose bodies stay as the broker has them.

    kombu expands compressed ones at once, however large that makes them.
    """
    if cls not in _as_it_came:

        class Raw(cls):  # type: ignore[misc]
            errors: Any = ("not read yet",)  # with errors, kombu leaves the body alone

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.errors = []

        _as_it_came[cls] = _as_it_came[Raw] = Raw
    return _as_it_came[cls]


def _delivery(queue: str, message: Any, name: object) -> Delivery:
    body, fault = message.body, None
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    try:
        body = b"" if body is None else bytes(body)
    except (TypeError, ValueError):
        body, fault = repr(body).encode(), "its body is neither bytes nor text"
    return Delivery(
        queue,
        body,
        message.content_type,
        message.content_encoding,
        message.headers or {},
        message.properties or {},
        fault,
        message,
        name,
    )
