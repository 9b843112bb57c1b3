"""Reads the queues that kombu keeps in ZooKeeper, and deletes a message only once it is stored.

kombu stores each message as a child of `/<vhost>/<queue>` whose name begins with `entry-` and the
inverted priority, so names in order are messages in order. Its own consumer deletes a node, and
then works on it: a kill loses what it held. Here a node is read, stored in our store under its
message's id, and deleted last. Several bridges may read one queue: what two of them read is stored
once, and who deletes second finds it gone. The bridge needs the right to read and to delete.
"""

from __future__ import annotations

import contextlib
import logging
import posixpath
import threading
from base64 import b64decode
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
from kazoo import exceptions as kz
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError

from reliable_tasks.config.masks import mask_url
from reliable_tasks.contrib.bridge.sources import BrokerUnavailable, Delivery
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ZooKeeperSource", "parse_url", "read_node"]

_log = logging.getLogger("reliable_tasks.kazoo")
_log.setLevel(logging.ERROR)  # of each attempt to connect it warns; the bridge tells once
_PORT: Final = 2181
_PREFIX: Final = "entry-"
_PER_LIST: Final = 1000
"""How many messages are taken by one list of a queue that has changed since: until then, one that
came with a higher priority waits."""


class _Envelope(msgspec.Struct, rename="kebab"):
    """What kombu's virtual transports write."""

    body: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None


class _Queue:
    """One queue's path, and the names of its nodes as last listed."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.names: deque[str] = deque()
        self.taken = 0
        self.held: set[str] = set()
        self.stale = True

    @property
    def wants_list(self) -> bool:
        return self.stale and (not self.names or self.taken >= _PER_LIST)

    def listed(self, names: Sequence[str]) -> None:
        """Take a new list, without what is delivered already."""
        self.names = deque(sorted(n for n in names if n.startswith(_PREFIX) and n not in self.held))
        self.taken = 0

    def take(self, limit: int) -> list[str]:
        names = [self.names.popleft() for _ in range(min(limit, len(self.names)))]
        self.taken += len(names)
        self.held.update(names)
        return names


class ZooKeeperSource:
    """Queues of one ZooKeeper, as a `Source`.

    Args:
        url: `zookeeper://host:port/vhost`, as Celery's `broker_url` has it. More hosts follow after
            a comma, or as further URLs after a semicolon; `user:password@` is sent as a digest.
        queues: their names.
        answer_s: how long to wait for one answer before the server counts as unavailable.

    Raises:
        ConfigError: the URL, or missing rights.
    """

    def __init__(self, url: str, queues: Sequence[str], *, answer_s: float = 10.0) -> None:
        self._answer_s = answer_s
        self._url = mask_url(url)
        self._hosts, vhost, self._login = parse_url(url)
        self._queues = deque(_Queue(name, posixpath.join(vhost, name)) for name in queues)
        self._changed = threading.Event()
        self._client: KazooClient | None = None

    def batch(self, limit: int, seconds: float) -> list[Delivery]:
        """Up to `limit` deliveries; while there are none, waits `seconds` for a change."""
        with self._translated():
            client = self._connected()
            self._changed.clear()
            found = self._collect(client, limit)
            if not found and self._changed.wait(seconds):
                found = self._collect(client, limit)
            return found

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Delete the nodes; one that is gone already was deleted by another bridge."""
        with self._translated():
            try:
                self._delete([f"{queue.path}/{name}" for queue, name in _tags(deliveries)])
            except BaseException:  # they are delivered again, and stored once all the same
                for queue, _ in _tags(deliveries):
                    queue.stale = True
                raise
            finally:
                for queue, name in _tags(deliveries):
                    queue.held.discard(name)

    def close(self) -> None:
        """Disconnect; what is not acknowledged was never away from its queue."""
        client, self._client = self._client, None
        for queue in self._queues:
            queue.held.clear()
            queue.names.clear()
            queue.stale = True
        if client is not None:
            with contextlib.suppress(kz.KazooException, KazooTimeoutError, OSError):
                client.stop()
            client.close()

    def _connected(self) -> KazooClient:
        """The client; it reconnects by itself, and follows an expired session by a new one."""
        if self._client is None:
            login = [("digest", self._login)] if self._login else None
            client = KazooClient(self._hosts, auth_data=login, logger=_log)
            client.add_listener(self._on_state)
            try:
                client.start(self._answer_s)
            except BaseException:
                client.stop()
                client.close()
                raise
            self._client = client
        if not self._client.connected:
            raise BrokerUnavailable(f"the connection with {self._url} is lost; it is being renewed")
        return self._client

    def _on_state(self, _state: object) -> None:
        """A connection is lost or found: of what happened in between no watch may tell."""
        for queue in self._queues.copy():
            queue.stale = True
        self._changed.set()

    def _collect(self, client: KazooClient, limit: int) -> list[Delivery]:
        """Read from each queue in turn, beginning with another one each time."""
        found: list[Delivery] = []
        self._queues.rotate(-1)
        for queue in self._queues.copy():
            if queue.wants_list:
                self._list(client, queue)
            while len(found) < limit and queue.names:
                found += self._read(client, queue, limit - len(found))
        return found

    def _list(self, client: KazooClient, queue: _Queue) -> None:
        def changed(_event: object) -> None:
            queue.stale = True
            self._changed.set()

        queue.stale = False
        try:
            names = client.get_children_async(queue.path, watch=changed).get(timeout=self._answer_s)
        except kz.NoNodeError:  # until somebody sends to it
            if client.exists_async(queue.path, watch=changed).get(timeout=self._answer_s):
                queue.stale = True
            names = []
        except BaseException:
            queue.stale = True
            raise
        queue.listed(names)

    def _read(self, client: KazooClient, queue: _Queue, limit: int) -> list[Delivery]:
        names = queue.take(limit)
        found = []
        try:
            replies = [client.get_async(f"{queue.path}/{name}") for name in names]
            for name, reply in zip(names, replies, strict=True):
                try:
                    data, _ = reply.get(timeout=self._answer_s)
                except kz.NoNodeError:  # another bridge, or a Celery worker, was faster
                    queue.held.discard(name)
                else:
                    found.append(read_node(queue.name, data, (queue, name), name))
        except BaseException:
            queue.held.difference_update(names)
            queue.stale = True
            queue.names.clear()
            raise
        return found

    def _delete(self, paths: Sequence[str]) -> None:
        """Delete all at once; where that cannot be, one by one."""
        client = self._connected()
        transaction = client.transaction()
        for path in paths:
            transaction.delete(path)
        outcomes = transaction.commit_async().get(timeout=self._answer_s)
        if not any(isinstance(outcome, Exception) for outcome in outcomes):
            return
        for reply in [client.delete_async(path) for path in paths]:
            # With a node below it, which is not kombu's doing, a message stays; it is stored once.
            with contextlib.suppress(kz.NoNodeError, kz.NotEmptyError):
                reply.get(timeout=self._answer_s)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (kz.NoAuthError, kz.AuthFailedError) as error:
            raise ConfigError(
                f"{self._url} refuses the bridge: {error!r}; give its user the rights to read the "
                f"queues and to delete in them: {', '.join(sorted(q.path for q in self._queues))}"
            ) from error
        except (kz.KazooException, KazooTimeoutError, OSError) as error:
            if isinstance(error, BrokerUnavailable):
                raise
            raise BrokerUnavailable(f"{self._url} does not answer: {error!r}") from error


def _tags(deliveries: Sequence[Delivery]) -> list[tuple[_Queue, str]]:
    return [delivery.tag for delivery in deliveries]


def read_node(queue: str, data: bytes, tag: object, name: str = "") -> Delivery:
    """Open kombu's envelope; one that cannot be opened is a delivery that says why."""
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        properties = envelope.properties or {}
        body = _body(envelope.body, properties.get("body_encoding"))
    except (ValueError, TypeError, RecursionError) as error:
        return Delivery(
            queue, data, fault=f"this is no message of kombu's: {error}", tag=tag, name=name
        )
    return Delivery(
        queue,
        body,
        envelope.content_type,
        envelope.content_encoding,
        envelope.headers or {},
        properties,
        tag=tag,
        name=name,
    )


def _body(text: str | None, encoding: object) -> bytes:
    if encoding == "base64":
        return b64decode(text or "", validate=True)
    if encoding:
        raise ValueError(f"body_encoding {encoding!r} is unknown")
    return (text or "").encode()


def parse_url(url: str) -> tuple[str, str, str | None]:
    """The hosts as kazoo takes them, the path above the queues, and `user:password`."""
    hosts, paths, logins = [], [], []
    for part in url.split(";"):
        try:
            split = urlsplit(part if "://" in part else f"zookeeper://{part}")
        except ValueError as error:
            raise _wrong(url, str(error)) from error
        login, _, names = split.netloc.rpartition("@")
        logins.append(unquote(login))
        paths.append(unquote(split.path).strip("/"))
        hosts += [_host(name, url) for name in names.split(",")]
    vhost = next(filter(None, paths), "")
    return ",".join(hosts), f"/{vhost}", next(filter(None, logins), None)


def _host(name: str, url: str) -> str:
    host, colon, port = name.rpartition(":")
    if not colon or name.endswith("]"):
        host, port = name, str(_PORT)
    if not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise _wrong(url, f"{name!r} is no host and port")
    return f"{host or '127.0.0.1'}:{port}"


def _wrong(url: str, why: str) -> ConfigError:
    return ConfigError(
        f"{mask_url(url)!r} names no ZooKeeper: {why}; write zookeeper://host:2181/vhost"
    )
