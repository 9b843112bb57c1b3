"""The URL of the store: what is accepted, what it means, and how it is shown."""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from .errors import ConfigError, suggest

__all__ = [
    "SUPPORTED",
    "StoreUrl",
    "check_backend",
    "mask_url",
    "masked",
    "parse_store_url",
    "shown",
]

SUPPORTED = (
    "sqlite:///file.db, sqlite:// (in memory), redis://host:port/db, rediss:// (TLS), "
    "unix:///socket (also redis+socket), sentinel://host:port;sentinel://host:port (also "
    "redis+sentinel), valkey:// and valkeys://"
)

_SCHEMES: dict[str, str] = {
    "sqlite": "sqlite",
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "redis+valkey": "redis",
    "unix": "unix",
    "redis+socket": "unix",
    "valkey+socket": "unix",
    "sentinel": "sentinel",
    "redis+sentinel": "sentinel",
    "redis-sentinel": "sentinel",
    "valkey+sentinel": "sentinel",
}
_PORT = 6379
_SENTINEL_PORT = 26379
_LAST_PORT = 65535
_SQLITE_OPTIONS = ("busy_timeout", "synchronous")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SECRET = re.compile(r"(?i)pass(word|wd)?$|secret|token")
_SECRET_OPTION = re.compile(r"(?i)([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUrl:
    """What a store's URL says. Its `repr` covers the password.

    Attributes:
        scheme: "sqlite", "redis", "rediss" (TLS), "unix" (a socket) or "sentinel".
        url: the URL in the spelling that redis-py reads (for Sentinel, as it was given).
        path: the database file or the socket; None for a store in memory and for hosts.
        hosts: host and port of the server, or of each Sentinel.
        db: number of the Redis database.
        service: name of the master that Sentinels are asked for.
        username: name to log in with.
        password: password to log in with.
        busy_timeout: SQLite: how long to wait for a lock, in seconds; None for the setting's.
        synchronous: SQLite: "FULL" or "NORMAL".
        options: Redis: the further options of the query, as they were given.
    """

    scheme: Literal["sqlite", "redis", "rediss", "unix", "sentinel"]
    url: str = field(repr=False)
    path: str | None = None
    hosts: tuple[tuple[str, int], ...] = ()
    db: int = 0
    service: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    busy_timeout: float | None = None
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    options: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    @property
    def kind(self) -> Literal["sqlite", "redis"]:
        """Which store it names."""
        return "sqlite" if self.scheme == "sqlite" else "redis"

    @property
    def in_memory(self) -> bool:
        """Whether it names a SQLite store that lives in this process only."""
        return self.scheme == "sqlite" and self.path is None


def mask_url(url: str) -> str:
    """Return `url` with passwords covered by `***`.

    What is not a URL is covered on the safe side: everything that might be a password goes.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    login, at, place = rest.rpartition("@")
    if at and ":" in login:
        rest = f"{login.partition(':')[0]}:***@{place}"
    return _SECRET_OPTION.sub(r"\1***", f"{scheme}{separator}{rest}")


def masked(value: object, key: str = "") -> object:
    """Return `value` as it may be shown: with the secrets in URLs and mappings covered."""
    if isinstance(value, str):
        if value and _SECRET.search(key):
            return "***"
        return mask_url(value) if "@" in value or "://" in value else value
    if isinstance(value, Mapping):
        return {k: masked(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return (
            type(value)([masked(v, key) for v in value]) if type(value) in {list, tuple} else value
        )
    return value


def shown(value: object, key: str = "") -> str:
    """Return the `repr` of `value` for a message, with secrets covered and of a bounded length."""
    text = repr(masked(value, key))
    limit = 200
    return text if len(text) <= limit else f"{text[:limit]}…"


def _wrong(name: str, url: str, remedy: str) -> ConfigError:
    return ConfigError(f"{name}={mask_url(url)!r}: {remedy}")


def parse_store_url(
    url: str,
    *,
    name: str = "broker_url",
    service: str | None = None,
    need_service: bool = True,
) -> StoreUrl:
    """Read a store's URL.

    Args:
        url: the URL, or several Sentinels' joined by `;`.
        name: what to call it in an error.
        service: the master to ask Sentinels for, where the URL does not name it.
        need_service: whether a Sentinel URL without one is an error.

    Raises:
        ConfigError: another kind of URL, or a part of it is not valid.
    """
    given, separator, rest = url.partition("://")
    scheme = _SCHEMES.get(given.lower())
    if not separator or scheme is None:
        near = suggest(given.lower(), _SCHEMES)
        raise _wrong(
            name, url, f"this kind of store is not supported{near}; supported: {SUPPORTED}"
        )
    body, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if scheme == "sqlite":
        return _sqlite(name, url, body, options)
    if scheme == "unix":
        return _socket(name, url, body, options)
    if scheme == "sentinel":
        found = _sentinel(name, url, body, options, service)
        if need_service and found.service is None:
            raise _wrong(
                name,
                url,
                "name the master: sentinel://host:port/NAME/0, or "
                "broker_transport_options={'master_name': 'NAME'}",
            )
        return found
    if ";" in body or "," in body.rpartition("@")[2]:
        raise _wrong(name, url, "several servers are understood for Sentinel only; give one")
    return _server(name, url, "rediss" if scheme == "rediss" else "redis", body, options)


# SQLite -------------------------------------------------------------------------------------------


def _sqlite(name: str, url: str, body: str, options: dict[str, str]) -> StoreUrl:
    for option in options:
        if option not in _SQLITE_OPTIONS:
            near = suggest(option, _SQLITE_OPTIONS)
            raise _wrong(name, url, f"{option!r} is not an option of a SQLite store{near}")
    busy = options.get("busy_timeout")
    if busy is not None and not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", busy):
        raise _wrong(name, url, "busy_timeout is a number of seconds")
    synchronous = options.get("synchronous", "FULL").upper()
    if synchronous not in {"FULL", "NORMAL"}:
        raise _wrong(name, url, "synchronous is FULL or NORMAL")
    return StoreUrl(
        scheme="sqlite",
        url=url,
        path=_file(name, url, body),
        busy_timeout=None if busy is None else float(busy),
        synchronous="NORMAL" if synchronous == "NORMAL" else "FULL",
    )


def _file(name: str, url: str, body: str) -> str | None:
    if body in {"", "/:memory:"}:
        return None
    if not body.startswith("/"):
        remedy = (
            f"write sqlite:///{body} for a file in the working directory, sqlite:////… for another"
        )
        raise _wrong(name, url, remedy)
    path = unquote(body[1:])
    if not path or path.endswith("/") or "\0" in path:
        raise _wrong(name, url, "name a file: sqlite:///file.db; sqlite:// is a store in memory")
    return path


# Redis --------------------------------------------------------------------------------------------


def _login(body: str) -> tuple[str | None, str | None, str]:
    """Split `user:password@place`; the last `@` divides, so that a password may hold one."""
    login, _, place = body.rpartition("@")
    user, _, password = login.partition(":")
    return unquote(user) or None, unquote(password) or None, place


def _database(name: str, url: str, text: str) -> int:
    if not re.fullmatch(r"\d{0,5}", text):
        raise _wrong(name, url, f"the database is a number, not {text!r}")
    return int(text or 0)


def _host(name: str, url: str, place: str, port: int) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(\d{0,5}))?", place)
    if match is None:
        raise _wrong(name, url, f"{place!r} is not a host and port, write host:{port}")
    number = int(match[2] or port)
    if not 0 < number <= _LAST_PORT:
        raise _wrong(name, url, f"port {number} is not between 1 and {_LAST_PORT}")
    return match[1].strip("[]") or "localhost", number


def _checked(options: dict[str, str]) -> dict[str, str]:
    """Spell TLS requirements as redis-py does; Celery's URLs have the names of Python's ssl."""
    need = options.get("ssl_cert_reqs")
    if need is not None:
        options["ssl_cert_reqs"] = need.lower().removeprefix("cert_")
    return options


def _server(
    name: str, url: str, scheme: Literal["redis", "rediss"], body: str, options: dict[str, str]
) -> StoreUrl:
    user, password, place = _login(body)
    where, _, path = place.partition("/")
    host, port = _host(name, url, where, _PORT)
    db = _database(name, url, path.strip("/") or options.pop("db", ""))
    options = _checked(options)
    shown_host = f"[{host}]" if ":" in host else host
    query = f"?{urlencode(options)}" if options else ""
    return StoreUrl(
        scheme=scheme,
        url=f"{scheme}://{_credentials(user, password)}{shown_host}:{port}/{db}{query}",
        hosts=((host, port),),
        db=db,
        username=user,
        password=password,
        options=options,
    )


def _credentials(user: str | None, password: str | None) -> str:
    if user is None and password is None:
        return ""
    secret = "" if password is None else f":{quote(password, safe='')}"
    return f"{quote(user or '', safe='')}{secret}@"


def _socket(name: str, url: str, body: str, options: dict[str, str]) -> StoreUrl:
    user, password, path = _login(body)
    path = unquote(path)
    if not path.startswith("/") or path.endswith("/"):
        raise _wrong(name, url, "name the socket by its absolute path: unix:///run/redis.sock")
    db = _database(name, url, options.pop("virtual_host", options.pop("db", "")).strip("/"))
    query = urlencode({"db": db} | options)
    return StoreUrl(
        scheme="unix",
        url=f"unix://{_credentials(user, password)}{quote(path)}?{query}",
        path=path,
        db=db,
        username=user,
        password=password,
        options=options,
    )


def _sentinel(
    name: str, url: str, body: str, options: dict[str, str], service: str | None
) -> StoreUrl:
    """Read `sentinel://h:p;sentinel://h:p/db` (Celery's) or `redis+sentinel://h:p,h:p/name/db`."""
    hosts: list[tuple[str, int]] = []
    user: str | None = None
    password: str | None = None
    path = ""
    for part in re.split(r";", body):
        one_user, one_password, place = _login(part.rpartition("://")[2])
        user, password = user or one_user, password or one_password
        where, _, one_path = place.partition("/")
        path = path or one_path.strip("/")
        hosts.extend(_host(name, url, host, _SENTINEL_PORT) for host in where.split(","))
    named, _, db = path.rpartition("/")
    if not named and not db.isdigit():
        named, db = db, ""
    service = named or options.pop("master_name", options.pop("service_name", "")) or service
    return StoreUrl(
        scheme="sentinel",
        url=url,
        hosts=tuple(dict.fromkeys(hosts)),
        db=_database(name, url, db or options.pop("db", "")),
        service=service or None,
        username=user,
        password=password,
        options=_checked(options),
    )


# Results ------------------------------------------------------------------------------------------


def _servers(url: StoreUrl) -> frozenset[tuple[str, int]]:
    """Where it lives, so that two spellings of one place are equal."""
    if url.path is not None:
        return frozenset({(posixpath.normpath(url.path), 0)})
    if url.in_memory:
        return frozenset({(":memory:", 0)})
    return frozenset(
        ("localhost" if host in _LOOPBACK else host.lower(), port) for host, port in url.hosts
    )


def check_backend(broker_url: str, result_backend: str | None) -> str | None:
    """Check that results can live where the messages do, and return a note for the log.

    Raises:
        ConfigError: the backend is another server or another kind of store.
    """
    if not result_backend:
        return None
    if result_backend in {"disabled", "disabled://"}:
        return "result_backend='disabled' is not needed: task_ignore_result=True keeps no results"
    backend = f"{result_backend}://" if result_backend in {"redis", "rediss"} else result_backend
    remedy = (
        "results live with the messages, so that a commit is one atomic step: leave "
        f"result_backend out, or name the server of broker_url={mask_url(broker_url)!r}"
    )
    if _SCHEMES.get(backend.partition("://")[0].lower()) is None:
        raise _wrong("result_backend", backend, f"{remedy}; supported: {SUPPORTED}")
    there = parse_store_url(backend, name="result_backend", need_service=False)
    here = parse_store_url(broker_url, need_service=False)
    sentinels = "sentinel" in {here.scheme, there.scheme} and here.scheme != there.scheme
    if here.kind != there.kind or sentinels or _servers(here).isdisjoint(_servers(there)):
        raise _wrong("result_backend", backend, f"{remedy}; supported: {SUPPORTED}")
    return (
        f"result_backend={mask_url(backend)!r} is on the server of broker_url: results are kept "
        "with the messages, so that a commit is one atomic step"
    )
