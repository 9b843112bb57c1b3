"""The store's URL: what is understood, what is refused in words, and how it is shown."""

from collections.abc import Mapping
from typing import Any

import pytest

from reliable_tasks.config.conf import Conf, StoreUrl, check_backend, mask_url, store_url
from reliable_tasks.errors import ConfigError


def error(values: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        Conf(values).settings()
    return str(caught.value)


def url_of(url: str, **options: Any) -> StoreUrl:
    return store_url(Conf({"broker_url": url, "broker_transport_options": options}).settings())


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///tasks.db", "tasks.db"),
        ("sqlite:///a%20b/tasks.db", "a b/tasks.db"),
        ("sqlite:////var/lib/tasks.db", "/var/lib/tasks.db"),
    ],
)
def test_sqlite_urls(url: str, path: str | None) -> None:
    parsed = url_of(url)
    assert (parsed.kind, parsed.scheme, parsed.path) == ("sqlite", "sqlite", path)
    assert parsed.in_memory is (path is None)
    assert (parsed.busy_timeout, parsed.synchronous) == (None, "FULL")


def test_sqlite_options() -> None:
    parsed = url_of("sqlite:///x.db?busy_timeout=2.5&synchronous=normal")
    assert (parsed.busy_timeout, parsed.synchronous) == (2.5, "NORMAL")


@pytest.mark.parametrize(
    ("url", "scheme", "host", "db", "normal"),
    [
        ("redis://", "redis", ("localhost", 6379), 0, "redis://localhost:6379/0"),
        ("redis://127.0.0.1:6379", "redis", ("127.0.0.1", 6379), 0, "redis://127.0.0.1:6379/0"),
        ("REDIS://h:1/3", "redis", ("h", 1), 3, "redis://h:1/3"),
        ("redis://h?db=4&socket_timeout=5", "redis", ("h", 6379), 4, "redis://h:6379/4?socket_timeout=5"),
        ("redis://[::1]:7/2", "redis", ("::1", 7), 2, "redis://[::1]:7/2"),
        ("valkey://h/1", "redis", ("h", 6379), 1, "redis://h:6379/1"),
        ("valkeys://h", "rediss", ("h", 6379), 0, "rediss://h:6379/0"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "rediss", ("h", 6379), 0, "rediss://h:6379/0?ssl_cert_reqs=none"),
    ],
)  # fmt: skip
def test_redis_urls(url: str, scheme: str, host: tuple[str, int], db: int, normal: str) -> None:
    parsed = url_of(url)
    assert (parsed.kind, parsed.scheme, parsed.hosts, parsed.db) == ("redis", scheme, (host,), db)
    assert parsed.url == normal


def test_logins_are_decoded_and_may_hold_an_at_sign() -> None:
    parsed = url_of("redis://me:p%40s/s@w@h:1/0")
    assert (parsed.username, parsed.password) == ("me", "p@s/s@w")
    assert parsed.url == "redis://me:p%40s%2Fs%40w@h:1/0"
    assert url_of("redis://:only@h").username is None


def test_equal_urls_can_stand_for_one_connection() -> None:
    assert len({url_of("redis://h?db=1"), url_of("valkey://h/1"), url_of("redis://h/2")}) == 2


@pytest.mark.parametrize(
    "url", ["unix:///run/r.sock?db=2", "redis+socket:///run/r.sock?virtual_host=2"]
)
def test_socket_urls(url: str) -> None:
    parsed = url_of(url)
    assert (parsed.kind, parsed.scheme, parsed.path, parsed.db) == (
        "redis",
        "unix",
        "/run/r.sock",
        2,
    )
    assert parsed.url == "unix:///run/r.sock?db=2"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("sentinel://:pw@a:1;sentinel://:pw@b/3", {"master_name": "prime"}),
        ("redis+sentinel://:pw@a:1,b/prime/3", {}),
        ("sentinel://:pw@a:1,b/prime?db=3", {"master_name": "other"}),
        ("sentinel://:pw@a:1,b?db=3&master_name=prime", {}),
    ],
)
def test_sentinel_urls(url: str, options: dict[str, str]) -> None:
    parsed = url_of(url, **options)
    assert parsed.hosts == (("a", 1), ("b", 26379))
    assert (parsed.service, parsed.db, parsed.password) == ("prime", 3, "pw")


@pytest.mark.parametrize(
    ("url", "hosts", "normal"),
    [
        ("redis+cluster://:p/w@a:1,b", (("a", 1), ("b", 6379)), "redis+cluster://:p%2Fw@a:1,b:6379"),
        ("valkeys+cluster://[::1]", (("::1", 6379),), "rediss+cluster://[::1]:6379"),
        ("redis://a/0?cluster=yes", (("a", 6379),), "redis+cluster://a:6379"),
        ("rediss://a?cluster=1&client_name=x", (("a", 6379),),
         "rediss+cluster://a:6379?client_name=x"),
    ],
)  # fmt: skip
def test_cluster_urls(url: str, hosts: tuple[tuple[str, int], ...], normal: str) -> None:
    parsed = url_of(url)
    assert (parsed.kind, parsed.scheme, parsed.hosts, parsed.url) == (
        "redis",
        "cluster",
        hosts,
        normal,
    )
    assert parsed.tls is normal.startswith("rediss")
    assert url_of(parsed.url) == parsed
    assert url_of("redis://a?cluster=no").scheme == "redis"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://", "supported: sqlite:///file.db"),
        ("db+sqlite:///x.db", "not supported"),
        ("sqlit:///x.db", "did you mean 'sqlite'"),
        ("x.db", "not supported"),
        ("sqlite://x.db", "write sqlite:///x.db"),
        ("sqlite:///", "name a file"),
        ("sqlite:////tmp/", "name a file"),
        ("sqlite:///x.db?sync=FULL", "'sync' is not an option"),
        ("sqlite:///x.db?busy_timeout=soon", "number of seconds"),
        ("sqlite:///x.db?synchronous=OFF", "FULL or NORMAL"),
        ("redis://h:x", "host and port"),
        ("redis://h:99999", "between 1 and 65535"),
        ("redis://h/tasks", "database is a number"),
        ("redis://a;redis://b", "Sentinel only"),
        ("redis://a,b", "Sentinel only"),
        ("unix://run/r.sock", "absolute path"),
        ("sentinel://a", "name the master"),
    ],
)
def test_a_wrong_url_says_what_is_supported(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        url_of(url)
    assert str(caught.value).startswith("broker_url=")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("broker", "backend"),
    [
        ("redis://localhost:6379/1", "redis://localhost:6379/0"),
        ("redis://127.0.0.1", "redis://localhost/5"),
        ("redis://localhost", "redis"),
        ("valkey://h", "redis://H:6379"),
        ("unix:///run/r.sock", "redis+socket:///run/r.sock?db=3"),
        ("sqlite:///a.db", "sqlite:///./a.db"),
        ("sqlite://", "sqlite://"),
        ("sentinel://a;sentinel://b", "sentinel://b"),
    ],
)
def test_a_backend_on_the_same_server_is_accepted_with_a_note(broker: str, backend: str) -> None:
    note = check_backend(broker, backend)
    assert note is not None
    assert "one atomic step" in note


@pytest.mark.parametrize(
    "backend",
    [
        "rpc",
        "rpc://",
        "cache+memory://",
        "django-db",
        "db+sqlite:///x.db",
        "redis://other",
        "redis://h:1",
        "sqlite:///x.db",
        "sentinel://h:6379",
    ],
)
def test_another_backend_is_refused(backend: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_backend("redis://:hidden@h", backend)
    message = str(caught.value)
    assert message.startswith("result_backend=")
    assert "leave result_backend out" in message
    assert "supported: sqlite" in message
    assert "hidden" not in message


def test_no_backend_needs_no_note() -> None:
    assert check_backend("sqlite://", None) is None
    assert "task_ignore_result" in (check_backend("sqlite://", "disabled://") or "")


# Passwords ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://me:pw@h:1/0", "redis://me:***@h:1/0"),
        ("redis://:p@w/x@h", "redis://:***@h"),
        ("redis://h?password=pw&db=1", "redis://h?password=***&db=1"),
        ("me:pw@h", "me:***@h"),
        ("redis://pw@h/0", "redis://***@h/0"),
        ("redis://:pw", "redis://:***"),
        ("redis://h:pw/0", "redis://h:***"),
        ("sentinel://a:1,[::1]:2;sentinel://b/m", "sentinel://a:1,[::1]:2;sentinel://b/m"),
        ("sentinel://a:1;sentinel://b:pw/m", "sentinel://a:1;sentinel://b:***"),
        ("sqlite:////tmp/a@b:c.db", "sqlite:////tmp/a@b:c.db"),
        ("sqlite://u:pw@/x", "sqlite://u:***@/x"),
        ("sqlite://u:pw", "sqlite://u:***"),
        ("sqlite:///x.db?password=pw", "sqlite:///x.db?password=***"),
        ("me@example.com", "me@example.com"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_no_password_is_shown_anywhere() -> None:
    conf = Conf(
        {
            "broker_url": "redis://me:hidden@h",
            "broker_transport_options": {"sentinel_kwargs": {"password": "hidden"}},
            "ONCE": {"settings": {"url": "redis://:hidden@h"}},
        }
    )
    settings = conf.settings()
    told = [repr(conf), repr(settings), repr(store_url(settings)), *conf.notes]
    told.append(error({"broker_url": "redis://:hidden@h", "BROKER_URL": "redis://:hidden@g"}))
    told.append(error({"audit": "redis://:hidden@h"}))
    told.append(error({"BROKER_PASSWORD": "hidden"}))
    told.append(error({"ONCE": {1: {"url": "redis://:hidden@h"}}}))
    for wrong in ('{"password": "hidden"', '["hidden"'):
        with pytest.raises(ConfigError) as caught:
            conf.load_env({"RELIABLE_TASKS_ONCE": wrong})
        told.append(str(caught.value))
    assert "me" in told[2]
    assert not [text for text in told if "hidden" in text]


@pytest.mark.parametrize("rest", ["u:hidden@/x", "hidden@/x", "u:hidden", "hidden@"])
def test_a_login_in_the_url_of_a_file_is_not_shown(rest: str) -> None:
    with pytest.raises(ConfigError, match="write sqlite:///") as caught:
        url_of(f"sqlite://{rest}")
    assert "hidden" not in str(caught.value)
