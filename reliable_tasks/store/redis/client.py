"""Make redis-py's client for a URL and the transport options."""

import functools
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry
from redis.sentinel import Sentinel

from reliable_tasks.config.kinds import parse_flag
from reliable_tasks.config.masks import shown
from reliable_tasks.config.url import StoreUrl, parse_store_url
from reliable_tasks.core.version import __version__
from reliable_tasks.errors import ConfigError, suggest
from reliable_tasks.store.redis.server import Server

__all__ = ["client_options", "connect"]

DEFAULTS: Final = {
    "socket_timeout": 10.0,
    "socket_connect_timeout": 5.0,
    "socket_keepalive": True,
    "health_check_interval": 30,
}


def _yes_or_no(value: Any) -> bool:
    return parse_flag(str(value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("give text")
    return value


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def _as_given(value: Any) -> Any:
    return value


OPTIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "client_name": _text,
    "db": int,
    "health_check_interval": int,
    "max_connections": int,
    "password": _text,
    "socket_connect_timeout": _seconds,
    "socket_keepalive": _yes_or_no,
    "socket_keepalive_options": _as_given,
    "socket_timeout": _seconds,
    "ssl_ca_certs": _text,
    "ssl_ca_path": _text,
    "ssl_cert_reqs": _as_given,
    "ssl_certfile": _text,
    "ssl_check_hostname": _yes_or_no,
    "ssl_keyfile": _text,
    "ssl_keyfile_password": _text,
    "username": _text,
}
"""Connection options in the URL or in `broker_transport_options`, and how to read each."""

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
"""Options of Celery's Redis transport; accepted for Celery compatibility and ignored."""
SENTINELS: Final = frozenset({"master_name", "sentinel_kwargs"})


def client_options(url: StoreUrl, transport_options: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a client: defaults, the program's options, and what the URL says.

    Raises:
        ConfigError: an option is not known, or its value is not possible.
    """
    options: dict[str, Any] = dict(DEFAULTS)
    options |= _read("broker_transport_options", transport_options, OPTIONS.keys() | SENTINELS)
    options |= _read("broker_url", url.options, OPTIONS.keys())
    options["db"] = url.db or options.get("db", 0)
    for name in ("username", "password"):
        value = getattr(url, name)
        if value is not None:
            options[name] = value
    of_tls = sorted(name for name in options if name.startswith("ssl_"))
    if of_tls and not url.tls:
        raise ConfigError(
            f"{of_tls[0]} is about TLS, and {url.location} is spoken to without: write "
            "rediss:// (or rediss+sentinel://, rediss+cluster://)"
        )
    if "ssl_keyfile_password" in options:
        options["ssl_password"] = options.pop("ssl_keyfile_password")
    return options


def _read(where: str, given: Mapping[str, Any], known: AbstractSet[str]) -> dict[str, Any]:
    read = {}
    for name, value in given.items():
        if name in CELERYS or name in SENTINELS & known:
            continue
        if name not in OPTIONS:
            raise ConfigError(f"{where} has no option {name!r}{suggest(name, known)}")
        try:
            read[name] = OPTIONS[name](value)
        except (TypeError, ValueError):
            kind = OPTIONS[name].__name__.strip("_").replace("_", " ")
            raise ConfigError(
                f"{where} has {name}={shown(value, name)}, which is not of its kind ({kind})"
            ) from None
    return read


def _introduction() -> dict[str, Any]:
    """Name us in `CLIENT LIST`: by default redis-py looks up its own version in files."""
    if hasattr(redis, "DriverInfo"):
        return {"driver_info": redis.DriverInfo(name="reliable_tasks", lib_version=__version__)}
    return {"lib_name": "reliable_tasks", "lib_version": __version__}


def connect(url: str, transport_options: Mapping[str, Any]) -> Server:
    """A server by its URL; nothing is sent before the first use.

    Raises:
        ConfigError: the URL or an option is not valid.
    """
    service = transport_options.get("master_name")
    place = parse_store_url(url, service=None if service is None else str(service))
    if place.kind != "redis":
        raise ConfigError(f"{place.scheme}:// is not the URL of a Redis or Valkey server")
    options = client_options(place, transport_options)
    make = functools.partial(
        _client, place, options, dict(transport_options.get("sentinel_kwargs") or {})
    )
    return Server(
        make,
        place.location,
        float(options["socket_timeout"] or DEFAULTS["socket_timeout"]),
        options.get("max_connections"),
        is_cluster=place.scheme == "cluster",
    )


def _client(place: StoreUrl, options: dict[str, Any], of_sentinels: dict[str, Any]) -> Any:
    # redis-py never repeats a call: only the verb knows whether it may be repeated.
    options = options | {"retry": Retry(NoBackoff(), 0), "protocol": 2}
    if place.tls:
        options["ssl"] = True
    if place.scheme == "cluster":
        options.pop("db")
        nodes = [ClusterNode(host, port) for host, port in place.hosts]  # type: ignore[no-untyped-call]
        return redis.RedisCluster(startup_nodes=nodes, **options)
    options |= _introduction()
    if place.scheme == "sentinel":
        inherited = ("socket_timeout", "socket_connect_timeout")
        kept = {n: o for n, o in options.items() if n in inherited or n.startswith("ssl")}
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
            list(place.hosts), sentinel_kwargs=kept | of_sentinels
        )
        return sentinel.master_for(place.service, **options)
    if place.scheme == "unix":
        options = {n: o for n, o in options.items() if not n.startswith("socket_keepalive")}
        return redis.Redis(unix_socket_path=place.path, **options)
    host, port = place.hosts[0]
    return redis.Redis(host=host, port=port, **options)
