"""Publish through kombu: a message is on its way when the broker has confirmed it, not before.

A connection that was kept may have been closed by the broker, so a message may be published twice
when the answer went missing. The bridge stores an id once.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any

import kombu
from amqp import FrameSyntaxError
from kombu.exceptions import EncodeError, OperationalError

from reliable_tasks.config.brokers import is_amqp
from reliable_tasks.config.masks import mask_url
from reliable_tasks.errors import CodecError, StoreError, StoreUnavailable

from .sources import HIGH_FIRST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reliable_tasks.contrib.bridge.outgoing import Outgoing

__all__ = ["Publisher", "connection_to", "errors_of"]

_MOST_IDLE = 10
_FAREWELL_S = 1.0
_inherited: list[Any] = []
"""What a fork took along: closing it would say goodbye on the connection of the parent."""


def connection_to(url: str, options: Mapping[str, Any], patience_s: float) -> kombu.Connection:
    """A connection that is not open yet, whose publishes wait for the broker's word."""
    told = dict(options)
    if is_amqp(url):
        limits = {"read_timeout": patience_s, "write_timeout": patience_s}
        told = {"confirm_publish": True, **limits, **told}
    return kombu.Connection(url, transport_options=told, connect_timeout=patience_s)


def errors_of(connection: kombu.Connection) -> tuple[type[BaseException], ...]:
    """What a broker that is away raises, and one that closes a channel."""
    known = (*connection.connection_errors, *connection.channel_errors)
    return (*known, OperationalError, OSError, TimeoutError)


class _Line:
    """A connection with a channel, and the queues that are known to be there."""

    def __init__(self, connection: kombu.Connection, patience_s: float) -> None:
        self._patience_s = patience_s
        self._connection = connection
        alternatives = len(connection.alt or ()) or 1
        connection.ensure_connection(max_retries=alternatives, interval_start=0, interval_step=0)
        self._known = set[str]()
        self._returned = list[Any]()
        self._open()

    def _open(self) -> None:
        channel = self._connection.channel()
        # Of kombu's transports those without AMQP return nothing, and refuse who asks.
        returns = getattr(channel, "events", None) is not None
        note = (lambda *about: self._returned.append(about)) if returns else None
        self._producer = kombu.Producer(channel, auto_declare=False, on_return=note)

    def send(self, message: Outgoing) -> None:
        for _ in range(2):  # a queue that was there may have been deleted since
            self._declare(message.queue)
            self._returned.clear()
            self._publish(message)
            if not self._returned:
                return
            self._known.discard(message.queue)
        raise StoreError(
            f"the broker takes no message for queue {message.queue!r}: {self._returned[0][0]}"
        )

    def _publish(self, message: Outgoing) -> None:
        try:
            self._producer.publish(
                message.body,
                exchange="",
                routing_key=message.queue,
                serializer=message.serializer,
                headers=dict(message.headers),
                priority=message.priority,
                delivery_mode=2,
                mandatory=True,
                confirm_timeout=self._patience_s,
                **message.properties,
            )
        except (EncodeError, FrameSyntaxError) as unfit:
            what = "arguments" if isinstance(unfit, EncodeError) else "headers"
            raise CodecError(
                f"the {what} of message {message.id} cannot be published as "
                f"{message.serializer}: {unfit}; give plain values, or their text"
            ) from unfit

    def _declare(self, name: str) -> None:
        """Make the queue as Celery does, unless it is there, with whatever arguments it has."""
        if name in self._known:
            return
        queue = kombu.Queue(name, kombu.Exchange(name, type="direct"), routing_key=name)
        if self._connection.transport.driver_type != "amqp" or not self._is_there(queue):
            queue(self._producer.channel).declare()
        self._known.add(name)

    def _is_there(self, queue: Any) -> bool:
        try:
            queue(self._producer.channel).queue_declare(passive=True)
        except self._connection.channel_errors:  # which has closed the channel
            self._open()
            return False
        return True

    def drop(self) -> None:
        """Close it, without waiting for a broker that may be away."""
        self._connection.collect(socket_timeout=_FAREWELL_S)


class Publisher:
    """Publishes from any thread; each takes a connection that nobody uses.

    Args:
        url: of the broker.
        options: kombu's `transport_options`.
        patience_s: how long the broker may take for an answer.
    """

    def __init__(self, url: str, options: Mapping[str, Any], patience_s: float) -> None:
        self._url, self._options, self._patience_s = url, options, patience_s
        self._connection = connection_to(url, options, patience_s)
        self._errors = errors_of(self._connection)
        self._pid = os.getpid()
        self._idle: deque[_Line] = deque()

    @property
    def place(self) -> str:
        """Where the broker is, without secrets."""
        return mask_url(self._url)

    @property
    def high_first(self) -> bool:
        """Whether the broker serves high priorities first; those of the others serve 0 first."""
        return self._connection.transport.driver_type in HIGH_FIRST

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish messages, in order; returns when the broker has confirmed each of them.

        Raises:
            StoreUnavailable: the broker is away. Some of them may have been published.
            CodecError: something in the arguments has no form in this encoding.
            StoreError: the broker refuses a message.
        """
        if self._pid != os.getpid():
            _inherited.extend(self._idle)
            self._idle, self._pid = deque(), os.getpid()
        if self._idle:
            try:
                self._publish(messages)
            except self._errors:  # the broker may have closed those that were kept
                self.close()
            else:
                return
        try:
            self._publish(messages)
        except self._errors as away:
            said = str(away) or type(away).__name__
            raise StoreUnavailable(
                f"the broker {self.place} did not take the message: {said}"
            ) from away

    def _publish(self, messages: Sequence[Outgoing]) -> None:
        line = self._taken()
        usable = False
        try:
            for message in messages:
                line.send(message)
            usable = True
        except (CodecError, StoreError):
            usable = True
            raise
        finally:
            if usable and len(self._idle) < _MOST_IDLE:
                self._idle.append(line)
            else:
                line.drop()

    def _taken(self) -> _Line:
        try:
            return self._idle.popleft()
        except IndexError:
            return _Line(self._connection.clone(), self._patience_s)

    def close(self) -> None:
        """Close the connections that nobody uses; the next publish opens new ones."""
        if self._pid == os.getpid():
            while self._idle:
                self._idle.popleft().drop()
