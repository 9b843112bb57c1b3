"""How a server is found: URLs in all their forms, and the transport options."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from reliable_tasks import __version__
from reliable_tasks.errors import ConfigError, suggest

from ._server import Server

__all__ = ["connect"]

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


def _introduction() -> dict[str, Any]:
    """What `CLIENT LIST` says of our connections: redis-py looks its own version up in files."""
    if hasattr(redis, "DriverInfo"):
        return {"driver_info": redis.DriverInfo(name="reliable_tasks", lib_version=__version__)}
    return {"lib_name": "reliable_tasks", "lib_version": __version__}


def connect(url: str, transport_options: Mapping[str, Any]) -> Server:
    """A server by its URL; nothing is sent yet (a cluster is asked for its nodes).

    Raises:
        ConfigError: the URL or an option is not valid.
    """
    target = parse(url, transport_options)
    # A call is never repeated down there: whether it may be is known by the verb alone.
    options = target.options | {"retry": Retry(NoBackoff(), 0), "protocol": 2}
    client: Any
    if target.kind != "cluster":
        options |= _introduction()
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
    call_seconds = float(options["socket_timeout"] or DEFAULTS["socket_timeout"])
    return Server(client, target.location, call_seconds, options.get("max_connections"))
