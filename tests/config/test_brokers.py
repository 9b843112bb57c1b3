"""A broker before the store: which URLs name one, and what they may stand beside."""

import pytest

from reliable_tasks import App
from reliable_tasks.config.backend import named_backend
from reliable_tasks.config.brokers import is_amqp
from reliable_tasks.config.conf import store_text, store_url
from reliable_tasks.config.settings import Settings
from reliable_tasks.errors import ConfigError


def app_of(**settings: object) -> App:
    return App("places", set_as_current=False, **settings)  # type: ignore[arg-type]


def settings_of(**settings: object) -> Settings:
    return app_of(**settings).settings


@pytest.mark.parametrize(
    "broker",
    [
        "amqp://",
        "amqp://guest@localhost//",
        "amqps://h/vhost",
        "pyamqp://h",
        "amqp://a;amqp://b",
        "zookeeper://h:2181",
        "sqs://",
        "SQS://key:secret@",
        "sqla+postgresql://h/db",
        "filesystem://",
    ],
)
@pytest.mark.parametrize("backend", [None, "rpc", "disabled"])
def test_a_broker_stands_before_the_default_store(broker: str, backend: str | None) -> None:
    settings = settings_of(broker=broker, backend=backend)
    assert store_text(settings) == "sqlite:///reliable_tasks.db"
    assert store_url(settings).kind == "sqlite"


@pytest.mark.parametrize(
    "backend",
    [
        "rpc://",
        "cache+memcached://127.0.0.1:11211/",
        "db+postgresql://h/results",
        "db+sqlite:///results.db",
        "redis",
        "redis://elsewhere/3",
        "rediss://elsewhere",
    ],
)
def test_behind_a_broker_a_backend_is_one_of_celerys(backend: str) -> None:
    settings = settings_of(broker="amqp://", backend=backend, store_url="redis://h")
    assert store_url(settings).location == "redis://h:6379/0"


@pytest.mark.parametrize("backend", ["RPC", "Rpc://", "rpc"])
def test_a_scheme_may_have_capitals(backend: str) -> None:
    assert named_backend(backend) == "rpc://"
    assert settings_of(broker="AMQP://h", backend=backend)
    assert [is_amqp(url) for url in ("AMQP://h", "pyamqp://h", "amqp", "sqs://h")] == [
        *(True, True, False, False)
    ]


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("memcached://h", "write cache+memcached://h"),
        ("postgresql://u:hidden@h/db", "write db+postgresql://"),
        ("sqlite:///results.db", "write db+sqlite:///results.db"),
        ("django-db", "one of Celery's: arangodb://"),
        ("db", "one of Celery's"),
        ("nonsense://", "one of Celery's"),
    ],
)
def test_another_backend_is_refused_in_words(backend: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"^result_backend=") as caught:
        settings_of(broker="amqp://", backend=backend)
    assert words in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_there_is_one_store() -> None:
    assert store_text(settings_of(store_url="redis://h")) == "redis://h"
    assert settings_of(broker="redis://h", store_url="redis://h:6379/0")
    with pytest.raises(ConfigError, match=r"^store_url=.*is a store already, and there is one"):
        settings_of(broker="redis://h", store_url="sqlite:///other.db")


def test_a_wrong_store_behind_a_broker_is_called_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"^store_url='amqp://h': this kind of store"):
        store_url(settings_of(broker="amqp://", store_url="amqp://h"))


def test_options_of_the_broker_are_not_those_of_the_store() -> None:
    app = app_of(
        broker="amqp://",
        store_url="redis://h",
        broker_transport_options={"confirm_timeout": 3},
    )
    app.serve()
    assert app.store.location == "redis://h:6379/0"
    app.close()
