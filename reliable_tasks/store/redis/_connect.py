"""How the server is reached: URLs in all their forms, clients, and connections of one's own."""

import collections
import os
import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from reliable_tasks.clock import monotonic
from reliable_tasks.errors import ConfigError, suggest

__all__ = ["Line", "Server", "connect"]

DEFAULTS: Final = {
    "socket_timeout": 10.0,
    "socket_connect_timeout": 5.0,
    "socket_keepalive": True,
    "health_check_interval": 30,
}
OPTIONS: Final = frozenset(DEFAULTS) | {
    "client_name",
    "db",
    "max_connections",
    "password",
    "socket_keepalive_options",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_keyfile_password",
    "username",
}
CELERYS: Final = frozenset(
    {
        "fanout_patterns",
        "fanout_prefix",
        "global_keyprefix",
        "priority_steps",
        "queue_order_strategy",
        "retry_on_timeout",
        "sep",
        "socket_read_size",
        "unacked_key",
        "visibility_timeout",
    }
)
"""Options of Celery's Redis transport that have no meaning here; a program may still give them."""
SENTINELS: Final = frozenset({"master_name", "sentinel_kwargs"})
_SCHEMES: Final = {
    "redis": "redis",
    "valkey": "redis",
    "rediss": "rediss",
    "valkeys": "rediss",
    "unix": "unix",
    "redis+socket": "unix",
    "valkey+socket": "unix",
    "redis+unix": "unix",
    "redis+sentinel": "sentinel",
    "valkey+sentinel": "sentinel",
    "sentinel": "sentinel",
    "redis+cluster": "cluster",
    "valkey+cluster": "cluster",
    "rediss+cluster": "cluster",
    "valkeys+cluster": "cluster",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL says.

    Attributes:
        kind: "redis", "rediss", "unix", "sentinel" or "cluster".
        location: the URL without password and query.
        url: as redis-py takes it (not for "sentinel").
        hosts: of the sentinels.
        service: the sentinels' name of the master.
        options: keyword arguments of the client.
    """

    kind: str
    location: str
    url: str
    hosts: tuple[tuple[str, int], ...]
    service: str
    options: dict[str, Any]


def parse(url: str, transport_options: Mapping[str, Any]) -> Target:
    """Read a URL and the transport options.

    Raises:
        ConfigError: one of them is not known or not complete.
    """
    parts = urlsplit(url)
    kind = _SCHEMES.get(parts.scheme)
    if kind is None:
        raise ConfigError(
            f"{parts.scheme}:// is not a Redis URL{suggest(parts.scheme, _SCHEMES)}; "
            f"known are {', '.join(sorted(_SCHEMES))}"
        )
    query = dict(parse_qsl(parts.query))
    if query.pop("cluster", "").lower() in {"1", "true", "yes"}:
        kind = "cluster"
    options = _options(transport_options)
    service = str(transport_options.get("master_name", ""))
    if kind == "sentinel":
        return _sentinel(parts, query, options, service)
    if kind == "unix" and "virtual_host" in query:
        query["db"] = query.pop("virtual_host")
    scheme = kind
    if kind == "cluster":
        scheme = "rediss" if parts.scheme.startswith(("rediss", "valkeys")) else "redis"
    clean = f"{scheme}://{parts.netloc}{parts.path}"
    return Target(
        kind=kind,
        location=_location(parts),
        url=clean + (f"?{urlencode(query)}" if query else ""),
        hosts=(),
        service="",
        options=options,
    )


def _location(parts: SplitResult) -> str:
    """The URL without what may be secret."""
    user, _, hosts = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return f"{parts.scheme}://{name + '@' if name else ''}{hosts}{parts.path}"


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    known = OPTIONS | CELERYS | SENTINELS
    for name in given:
        if name not in known:
            raise ConfigError(
                f"broker_transport_options has no option {name!r}{suggest(name, known)}"
            )
    return DEFAULTS | {name: value for name, value in given.items() if name in OPTIONS}


def _sentinel(
    parts: SplitResult, query: dict[str, str], options: dict[str, Any], service: str
) -> Target:
    user, _, hosts = parts.netloc.rpartition("@")
    path_service, _, db = parts.path.strip("/").partition("/")
    service = path_service or query.get("service", "") or service
    if not service:
        raise ConfigError(
            f"{_location(parts)} names no service; write redis+sentinel://host1,host2/service"
        )
    name, _, password = user.partition(":")
    if name:
        options["username"] = unquote(name)
    if password:
        options["password"] = unquote(password)
    options["db"] = int(query.get("db") or db or options.get("db", 0))
    return Target(
        kind="sentinel",
        location=_location(parts),
        url="",
        hosts=tuple(_host(host) for host in hosts.split(",")),
        service=service,
        options=options,
    )


def _host(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), 26379
    return host.strip("[]"), int(port)


def connect(url: str, transport_options: Mapping[str, Any]) -> "Server":
    """A server by its URL; nothing is sent yet (a cluster is asked for its nodes).

    Raises:
        ConfigError: the URL or an option is not valid.
    """
    target = parse(url, transport_options)
    # A call is never repeated down there: whether it may be is known by the verb alone.
    options = target.options | {"retry": Retry(NoBackoff(), 0), "protocol": 2}
    client: Any
    if target.kind == "sentinel":
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
            list(target.hosts),
            sentinel_kwargs=transport_options.get("sentinel_kwargs")
            or {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")},
        )
        client = sentinel.master_for(target.service, **options)
    elif target.kind == "cluster":
        options.pop("db", None)
        client = redis.RedisCluster.from_url(target.url, **options)
    else:
        if target.kind == "unix":
            options = {n: o for n, o in options.items() if not n.startswith("socket_keepalive")}
        client = redis.Redis.from_url(target.url, **options)
    return Server(client, target.location, target.options)


class Server:
    """A client for calls, and connections that one user at a time has for itself.

    Attributes:
        client: for calls; safe between threads and across a fork.
        location: where it is, without secrets.
        call_seconds: how long a call may take.
    """

    def __init__(self, client: Any, location: str, options: Mapping[str, Any]) -> None:
        self.client = client
        self.location = location
        self.call_seconds = float(options["socket_timeout"] or DEFAULTS["socket_timeout"])
        # Appending and popping are atomic: no lock that a fork could copy while it is held.
        self._lines: collections.deque[Line] = collections.deque(maxlen=16)

    @property
    def is_cluster(self) -> bool:
        """Whether this is a Redis Cluster."""
        return isinstance(self.client, redis.RedisCluster)

    def node(self, key: str) -> redis.Redis:
        """The client of the node that has the key."""
        if not self.is_cluster:
            return cast("redis.Redis", self.client)
        node = self.client.get_node_from_key(key)
        return cast("redis.Redis", self.client.get_redis_connection(node))

    @contextmanager
    def line(self, key: str) -> Iterator["Line"]:
        """A connection for oneself to the node of a key; closed where the use of it failed."""
        line = self._spare() or self._new_line(key)
        try:
            yield line
        except BaseException:
            line.close()
            raise
        self._lines.append(line)

    def _new_line(self, key: str) -> "Line":
        # Not by the pool's `make_connection`: it counts what it made, and is never told of the end.
        pool = self.node(key).connection_pool
        return Line(pool.connection_class(**pool.connection_kwargs))

    def _spare(self) -> "Line | None":
        while self._lines:
            line = self._lines.pop()
            if line.is_mine:
                return line
            line.close()
        return None

    def close(self) -> None:
        """Close all connections; the next call opens them again."""
        while self._lines:
            self._lines.pop().close()
        self.client.close()


class Line:
    """One connection, on which replies come when they come."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._pid = os.getpid()
        self.unread = 0
        """How many channels the last use has left, without reading the server's answers."""
        self._number: int | None = None
        connection.connect()

    @property
    def is_mine(self) -> bool:
        """Whether this process made it: a forked one must leave its parent's alone."""
        return self._pid == os.getpid()

    def send(self, *args: Any) -> None:
        """Send a command."""
        self._connection.send_command(*args, check_health=False)

    def receive(self) -> Any:
        """Read one reply."""
        return self._connection.read_response()

    def ask(self, *args: Any) -> Any:
        """Send a command and read its reply, after what is still unread."""
        self.drain()
        self.send(*args)
        return self.receive()

    execute_command = ask

    @property
    def number(self) -> int:
        """The server's number of this connection."""
        if self._number is None:
            self._number = int(self.ask("CLIENT", "ID"))
        return self._number

    def drain(self) -> None:
        """Read what the last use left unread."""
        while self.unread:
            if self.receive()[0] == b"unsubscribe":
                self.unread -= 1

    def ready(self, timeout: float, wake_fd: int = -1) -> tuple[bool, bool]:
        """Wait for a reply or for `wake_fd`; returns (reply there, wake_fd readable)."""
        if self._connection.can_read(timeout=0):
            return True, False
        poll = select.poll()
        fd = self._connection._sock.fileno()  # noqa: SLF001 - redis-py has no public way to it
        poll.register(fd, select.POLLIN)
        if wake_fd >= 0:
            poll.register(wake_fd, select.POLLIN)
        deadline = monotonic() + timeout
        events = dict(poll.poll(max(0.0, deadline - monotonic()) * 1000))
        return fd in events, wake_fd in events

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()
