"""How the Redis store reads URLs and options: without a server."""

import traceback
from typing import Any

import pytest
import redis

from reliable_tasks import App, errors
from reliable_tasks.config.url import parse_store_url
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore, acl_rules
from reliable_tasks.store.redis.client import client_options, connect


def options_of(url: str, **transport: Any) -> dict[str, Any]:
    return client_options(parse_store_url(url), transport)


@pytest.mark.parametrize(
    ("url", "client", "location"),
    [
        ("redis://h:1/2", redis.Redis, "redis://h:1/2"),
        ("valkey://h", redis.Redis, "redis://h:6379/0"),
        ("redis+valkey://h", redis.Redis, "redis://h:6379/0"),
        ("valkeys://u:p@h/1", redis.Redis, "rediss://h:6379/1"),
        ("unix:///a.sock?db=3", redis.Redis, "unix:///a.sock?db=3"),
        ("redis+socket:///a.sock?virtual_host=3", redis.Redis, "unix:///a.sock?db=3"),
        ("redis+sentinel://u:p@h1,[::1]:8/main?db=3", redis.Redis,
         "redis+sentinel://h1:26379,[::1]:8/main/3"),
    ],
)  # fmt: skip
def test_a_url_opens_a_store_in_all_its_forms(url: str, client: type, location: str) -> None:
    app = App(broker=url, set_as_current=False)
    assert isinstance(app.store, RedisStore)
    assert isinstance(app.store._server.client, client)
    assert app.store.location == location
    app.close()


def test_what_a_url_and_the_options_say_reaches_the_connection() -> None:
    server = connect(
        "rediss://u:p%40/@h:1/2?socket_timeout=3&ssl_check_hostname=no&ssl_cert_reqs=CERT_NONE",
        {"socket_timeout": 7, "socket_connect_timeout": "1.5", "ssl_keyfile_password": "k"},
    )
    given = server.client.connection_pool.connection_kwargs
    wanted = {
        "host": "h",
        "port": 1,
        "db": 2,
        "username": "u",
        "password": "p@/",
        "socket_timeout": 3.0,
        "socket_connect_timeout": 1.5,
        "ssl_check_hostname": False,
        "ssl_cert_reqs": "none",
        "ssl_password": "k",
    }
    assert {name: given[name] for name in wanted} == wanted
    assert server.client.connection_pool.connection_class is redis.SSLConnection
    assert server.call_seconds == 3.0


def test_sentinels_are_asked_with_tls_and_timeouts_like_the_master() -> None:
    server = connect("rediss+sentinel://:p@h1,h2:7/main?ssl_ca_certs=ca.pem", {})
    pool = server.client.connection_pool
    assert pool.connection_kwargs["password"] == "p"
    (first, second) = pool.sentinel_manager.sentinels
    asked = first.connection_pool.connection_kwargs
    assert (asked["host"], asked["port"]) == ("h1", 26379)
    assert second.connection_pool.connection_kwargs["port"] == 7
    assert asked["ssl_ca_certs"] == "ca.pem"
    assert asked["socket_timeout"] == 10.0
    assert asked["password"] is None, "sentinels have logins of their own: sentinel_kwargs"


def test_an_option_names_the_master_to_ask_sentinels_for() -> None:
    assert connect("sentinel://h/2", {"master_name": "prime"}).location.endswith("/prime/2")


def test_nothing_is_asked_before_the_first_use() -> None:
    connect("redis+cluster://nowhere.invalid:1,[::1]:2", {})
    app = App(broker="redis://nowhere.invalid?cluster=yes", set_as_current=False)
    with pytest.raises(errors.StoreUnavailable, match=r"redis\+cluster://nowhere"):
        app.store.counts()
    app.close()


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("rediz://h", {}, "did you mean 'redis'"),
        ("sqlite://", {}, "not the URL of a Redis"),
        ("sentinel://h1,h2", {}, "name the master"),
        ("redis://h", {"socket_timout": 1}, "did you mean 'socket_timeout'"),
        ("redis://h?socket_timout=1", {}, "broker_url has no option 'socket_timout'"),
        ("redis://h", {"socket_timeout": "soon"}, "socket_timeout='soon', which is not of its"),
        ("redis://h?socket_keepalive=often", {}, "not of its kind"),
        ("redis://h?ssl_ca_certs=x", {}, "is about TLS"),
        ("unix:///s", {"ssl_ca_certs": "x"}, "is about TLS"),
        ("redis+cluster://h/1", {}, "the database 0 only"),
        ("redis://h?cluster=perhaps", {}, "cluster is yes or no"),
    ],
)
def test_what_is_wrong_with_a_url_is_told(url: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.ConfigError, match=words):
        RedisStore(url, v.StoreOptions(), transport_options=options)


def test_celerys_own_transport_options_do_no_harm() -> None:
    assert "visibility_timeout" not in options_of("redis://h", visibility_timeout=1)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3c/r3t@h:1/0",
        "redis://:s3c?r3t@h:1/0",
        "redis://:s3c#r3t@h:1/0",
        "redis://u:1234?s3cr3t@h",
        "redis://u:s3c@r3t@h:x",
        "redis://:s3cr3t",
        "redis://s3cr3t@h:x",
        "redis://h:s3cr3t",
        "redis://h?password=s3cr3t&sock=1",
        "redis+cluster://:s3cr3t@h:x,b",
        "redis+cluster://:s3c/r3t@h/7",
        "redis+sentinel://:s3cr3t@h:x/main",
        "redis+sentinel://:s3c?r3t@h/main",
        "sentinel://:s3c;r3t@h/main",
        "unix://:s3cr3t@tmp/s",
        "redis://:s3cr3t@h?cluster=perhaps",
        "rediz://:s3cr3t@h",
        "redis://:s3cr3t@h?nothing=1",
        "redis://:s3cr3t@h?socket_timeout=x",
    ],
)
def test_no_error_of_a_url_tells_the_password(url: str) -> None:
    try:
        app = App(broker=url, set_as_current=False)
        told = [app.store.location, repr(app.conf), repr(app.settings)]
    except errors.ConfigError as error:
        told = traceback.format_exception(error)
    assert not [text for text in told if "s3c" in text or "r3t" in text]


def test_rules_name_the_namespace_alone() -> None:
    rules = acl_rules("a*b").split()
    assert rules[:4] == [r"~{a\*b}:*", "resetchannels", r"&{a\*b}:*", "-@all"]
    assert "+client" in rules, "what the oldest server takes"
    assert "+client|unblock" in acl_rules("a", (7, 0)).split()
    assert "+waitaof" not in acl_rules("a", (7, 0)).split()
    assert "+waitaof" in acl_rules("a", (7, 2)).split()
