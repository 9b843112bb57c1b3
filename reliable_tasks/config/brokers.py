"""Brokers: what messages may come through on their way to the store, and Celery's result backends.

Neither is a store. A broker cannot find, revoke or deduplicate what it holds, nor end it in one
step with its result; a backend holds results alone. The package's bridge stands at both doors.
"""

from reliable_tasks.config.masks import mask_url
from reliable_tasks.config.url import SCHEMES

__all__ = [
    "BACKENDS",
    "BROKERS",
    "DEFAULT_STORE",
    "backend_url",
    "is_amqp",
    "is_broker",
    "scheme_of",
]

DEFAULT_STORE = "sqlite:///reliable_tasks.db"
"""Where the store is if nobody says."""

BROKERS = frozenset(
    {
        "amqp",
        "amqps",
        "azureservicebus",
        "azurestoragequeues",
        "confluentkafka",
        "consul",
        "etcd",
        "filesystem",
        "gcpubsub",
        "mongodb",
        "pyamqp",
        "pyro",
        "qpid",
        "sqla",
        "sqlalchemy",
        "sqs",
        "zookeeper",
    }
)
"""The schemes of kombu's transports, in lower case, but for those that name a store of ours."""

BACKENDS = frozenset(
    {
        "arangodb",
        "cache",
        "cassandra",
        "consul",
        "couchdb",
        "database",
        "db",
        "dynamodb",
        "elasticsearch",
        "file",
        "mongodb",
        "redis",
        "rediss",
        "rpc",
        "s3",
        "sentinel",
    }
)
"""The schemes of Celery's result backends."""

_MEANT = {
    "memcached": "cache+memcached",
    "memcache": "cache+memcached",
    "postgresql": "db+postgresql",
    "postgres": "db+postgresql",
    "mysql": "db+mysql",
    "sqlite": "db+sqlite",
}
_AMQP = frozenset({"amqp", "amqps", "pyamqp"})
_NO_LOCATION = frozenset({"amqp", "cache", "redis", "rediss", "rpc"})


def is_broker(url: str) -> bool:
    """Whether a URL names a broker; of several, joined by `;`, the first says."""
    return _scheme(url) in BROKERS and scheme_of(url) not in SCHEMES


def is_amqp(url: str) -> bool:
    """Whether a URL names a broker that speaks AMQP 0-9-1: RabbitMQ and its kin."""
    return scheme_of(url) in _AMQP


def backend_url(backend: str) -> str | None:
    """The URL of a result backend as Celery spells it; None where it names none of Celery's.

    Raises:
        ValueError: the scheme is not one of its, and says which was meant.
    """
    url = backend if "://" in backend else f"{backend}://"
    scheme = _scheme(url)
    if scheme in BACKENDS and ("://" in backend or scheme in _NO_LOCATION):
        return f"{scheme_of(url)}://{url.partition('://')[2]}"
    if scheme in _MEANT:
        meant = f"{_MEANT[scheme]}://{url.partition('://')[2]}"
        raise ValueError(f"write {mask_url(meant)}")
    return None


def scheme_of(url: str) -> str:
    """The scheme of a URL, in lower case; "" without one."""
    given, separator, _ = url.partition("://")
    return given.lower() if separator else ""


def _scheme(url: str) -> str:
    """What stands before the `+` of a scheme."""
    return scheme_of(url).partition("+")[0]
