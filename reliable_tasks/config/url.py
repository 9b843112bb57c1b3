"""The URL of the store: what is accepted, what it means, and how it is shown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from reliable_tasks.config.kinds import parse_flag
from reliable_tasks.config.masks import mask_url
from reliable_tasks.errors import ConfigError, suggest

__all__ = ["SCHEMES", "SUPPORTED", "StoreUrl", "parse_store_url", "wrong_url"]

SUPPORTED = (
    "sqlite:///file.db, sqlite:// (in memory), redis://host:port/db, rediss:// (TLS), "
    "unix:///socket (also redis+socket), sentinel://host:port;sentinel://host:port (also "
    "redis+sentinel), redis+cluster://host:port (also redis://…?cluster=yes), and valkey in the "
    "place of redis"
)

Scheme = Literal["sqlite", "redis", "rediss", "unix", "sentinel", "cluster"]

SCHEMES: dict[str, tuple[Scheme, bool]] = {
    "sqlite": ("sqlite", False),
    "redis": ("redis", False),
    "rediss": ("rediss", True),
    "valkey": ("redis", False),
    "valkeys": ("rediss", True),
    "redis+valkey": ("redis", False),
    "unix": ("unix", False),
    "redis+socket": ("unix", False),
    "valkey+socket": ("unix", False),
    "redis+unix": ("unix", False),
    "valkey+unix": ("unix", False),
    "sentinel": ("sentinel", False),
    "redis+sentinel": ("sentinel", False),
    "redis-sentinel": ("sentinel", False),
    "valkey+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "valkeys+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "valkey+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "valkeys+cluster": ("cluster", True),
}
"""Every scheme that is understood, for settings and stores alike: its meaning, and whether TLS."""
_PORT = 6379
_SENTINEL_PORT = 26379
_LAST_PORT = 65535
_SQLITE_OPTIONS = ("busy_timeout", "synchronous")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUrl:
    """What a store's URL says. Its `repr` covers the password.

    Attributes:
        scheme: "sqlite", "redis", "rediss" (TLS), "unix" (a socket), "sentinel" or "cluster".
        url: the URL in its plainest spelling (for Sentinel, as it was given).
        path: the database file or the socket; None for a store in memory and for hosts.
        hosts: host and port of the server, or of each Sentinel or node that is named.
        tls: whether connections are encrypted.
        db: number of the Redis database.
        service: name of the master that Sentinels are asked for.
        username: name to log in with.
        password: password to log in with.
        busy_timeout: SQLite: how long to wait for a lock, in seconds; None for the setting's.
        synchronous: SQLite: "FULL" or "NORMAL".
        options: Redis: the further options of the query, as they were given.
    """

    scheme: Scheme
    url: str = field(repr=False)
    path: str | None = None
    hosts: tuple[tuple[str, int], ...] = ()
    tls: bool = False
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

    @property
    def location(self) -> str:
        """Where a server is, for messages: nothing of a login, and no options."""
        if self.path is not None:
            return f"unix://{self.path}?db={self.db}"
        hosts = ",".join(_place(host, port) for host, port in self.hosts)
        secure = "rediss" if self.tls else "redis"
        if self.scheme == "sentinel":
            return f"{secure}+sentinel://{hosts}/{self.service or ''}/{self.db}"
        if self.scheme == "cluster":
            return f"{secure}+cluster://{hosts}"
        return f"{secure}://{hosts}/{self.db}"


def wrong_url(name: str, url: str, remedy: str) -> ConfigError:
    """The error for a URL that is not valid, which tells nothing of its login."""
    if "@" in url.partition("?")[2]:
        # It may be the one behind a password: then no part of the URL is what it seems, and what
        # the remedy would quote may be a part of the secret.
        remedy = (
            "percent-encode what is special in the user and password before the @: ? is %3F, "
            "/ is %2F, # is %23, @ is %40, : is %3A (urllib.parse.quote(…, safe='') does it)"
        )
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
    scheme, tls = SCHEMES.get(given.lower(), (None, False))
    if not separator or scheme is None:
        near = suggest(given.lower(), SCHEMES)
        raise wrong_url(
            name, url, f"this kind of store is not supported{near}; supported: {SUPPORTED}"
        )
    body, _, query = rest.partition("?")
    parts = _Parts(name, url, body, dict(parse_qsl(query, keep_blank_values=True)), tls)
    if any("@" in option for option in parts.options):
        raise parts.wrong("")
    match scheme:
        case "sqlite":
            return parts.sqlite()
        case "unix":
            return parts.socket()
        case "sentinel":
            return parts.sentinel(service, need_service=need_service)
        case "cluster":
            return parts.cluster()
    return parts.cluster() if parts.says_cluster() else parts.server()


@dataclass(frozen=True, slots=True)
class _Parts:
    """A URL that is being read, taken apart; `name` is what errors call it."""

    name: str
    url: str
    body: str
    options: dict[str, str]
    tls: bool

    def wrong(self, remedy: str) -> ConfigError:
        return wrong_url(self.name, self.url, remedy)

    # SQLite ---------------------------------------------------------------------------------------

    def sqlite(self) -> StoreUrl:
        for option in self.options:
            if option not in _SQLITE_OPTIONS:
                near = suggest(option, _SQLITE_OPTIONS)
                raise self.wrong(f"{option!r} is not an option of a SQLite store{near}")
        busy = self.options.get("busy_timeout")
        if busy is not None and not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", busy):
            raise self.wrong("busy_timeout is a number of seconds")
        synchronous = self.options.get("synchronous", "FULL").upper()
        if synchronous not in {"FULL", "NORMAL"}:
            raise self.wrong("synchronous is FULL or NORMAL")
        return StoreUrl(
            scheme="sqlite",
            url=self.url,
            path=self._file(),
            busy_timeout=None if busy is None else float(busy),
            synchronous="NORMAL" if synchronous == "NORMAL" else "FULL",
        )

    def _file(self) -> str | None:
        body = self.body
        if body in {"", "/:memory:"}:
            return None
        if not body.startswith("/"):
            file = "file.db" if "@" in body else mask_url(f"sqlite://{body}").partition("://")[2]
            raise self.wrong(
                f"write sqlite:///{file} for a file in the working directory, sqlite:////… for "
                "another"
            )
        path = unquote(body[1:])
        if not path or path.endswith("/") or "\0" in path:
            raise self.wrong("name a file: sqlite:///file.db; sqlite:// is a store in memory")
        return path

    # Redis ----------------------------------------------------------------------------------------

    def server(self) -> StoreUrl:
        if ";" in self.body or "," in self.body.rpartition("@")[2]:
            raise self.wrong(
                "several servers are understood for Sentinel only, and for a cluster; give one"
            )
        return self._hosts("rediss" if self.tls else "redis")

    def cluster(self) -> StoreUrl:
        """Read `redis+cluster://h:p,h:p`: some of the nodes, which tell of the others."""
        found = self._hosts("cluster")
        if found.db:
            raise self.wrong("a cluster has the database 0 only; leave the number out")
        return found

    def says_cluster(self) -> bool:
        try:
            return parse_flag(self.options.pop("cluster", "") or "no")
        except ValueError:
            raise self.wrong("cluster is yes or no") from None

    def _hosts(self, scheme: Scheme) -> StoreUrl:
        """Read `user:password@h:p,h:p/db`."""
        user, password, place = _login(self.body)
        where, _, path = place.partition("/")
        hosts = tuple(dict.fromkeys(self._host(host, _PORT) for host in where.split(",")))
        db = self._database(path.strip("/") or self.options.pop("db", ""))
        options = _checked(self.options)
        written = ("rediss" if self.tls else "redis") + "+cluster" * (scheme == "cluster")
        nodes = ",".join(_place(host, port) for host, port in hosts)
        number = "" if scheme == "cluster" else f"/{db}"
        query = f"?{urlencode(options)}" if options else ""
        return StoreUrl(
            scheme=scheme,
            url=f"{written}://{_credentials(user, password)}{nodes}{number}{query}",
            hosts=hosts,
            tls=self.tls,
            db=db,
            username=user,
            password=password,
            options=options,
        )

    def socket(self) -> StoreUrl:
        user, password, path = _login(self.body)
        path = unquote(path)
        if not path.startswith("/") or path.endswith("/"):
            raise self.wrong("name the socket by its absolute path: unix:///run/redis.sock")
        options = self.options
        db = self._database(options.pop("virtual_host", options.pop("db", "")).strip("/"))
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

    def sentinel(self, service: str | None, *, need_service: bool) -> StoreUrl:
        """Read `sentinel://h:p;sentinel://h:p/db` (Celery's) or `redis+sentinel://h:p,h:p/name/db`."""
        hosts: list[tuple[str, int]] = []
        user: str | None = None
        password: str | None = None
        path = ""
        for part in self.body.split(";"):
            one_user, one_password, place = _login(part.rpartition("://")[2])
            user, password = user or one_user, password or one_password
            where, _, one_path = place.partition("/")
            path = path or one_path.strip("/")
            hosts.extend(self._host(host, _SENTINEL_PORT) for host in where.split(","))
        named, _, db = path.rpartition("/")
        if not named and not db.isdigit():
            named, db = db, ""
        options = self.options
        spelled = [options.pop(word, "") for word in ("master_name", "service_name", "service")]
        service = named or next(filter(None, spelled), None) or service or None
        number = self._database(db or options.pop("db", ""))
        if need_service and service is None:
            raise self.wrong(
                "name the master: sentinel://host:port/NAME/0, or "
                "broker_transport_options={'master_name': 'NAME'}"
            )
        return StoreUrl(
            scheme="sentinel",
            url=self.url,
            hosts=tuple(dict.fromkeys(hosts)),
            tls=self.tls,
            db=number,
            service=service,
            username=user,
            password=password,
            options=_checked(options),
        )

    def _database(self, text: str) -> int:
        if not re.fullmatch(r"\d{0,5}", text):
            raise self.wrong(f"the database is a number, not {text!r}")
        return int(text or 0)

    def _host(self, place: str, port: int) -> tuple[str, int]:
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(\d{0,5}))?", place)
        if match is None:
            # What follows the colon may be a password whose @ is missing.
            host = place.partition(":")[0]
            raise self.wrong(f"{host}:*** is not a host and port, write host:{port}")
        number = int(match[2] or port)
        if not 0 < number <= _LAST_PORT:
            raise self.wrong(f"port {number} is not between 1 and {_LAST_PORT}")
        return match[1].strip("[]") or "localhost", number


def _login(body: str) -> tuple[str | None, str | None, str]:
    """Split `user:password@place`; the last `@` divides, so that a password may hold one."""
    login, _, place = body.rpartition("@")
    user, _, password = login.partition(":")
    return unquote(user) or None, unquote(password) or None, place


def _checked(options: dict[str, str]) -> dict[str, str]:
    """Spell TLS requirements as redis-py does; Celery's URLs have the names of Python's ssl."""
    need = options.get("ssl_cert_reqs")
    if need is not None:
        options["ssl_cert_reqs"] = need.lower().removeprefix("cert_")
    return options


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _credentials(user: str | None, password: str | None) -> str:
    if user is None and password is None:
        return ""
    secret = "" if password is None else f":{quote(password, safe='')}"
    return f"{quote(user or '', safe='')}{secret}@"
