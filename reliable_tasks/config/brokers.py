"""Brokers: what messages may come through on their way to the store, and Celery's result backends.

Neither is a store. A broker cannot find, revoke or deduplicate what it holds, nor end it in one
step with its result; a backend holds results alone. The package's bridge stands at both doors.
"""

from reliable_tasks.config.masks import mask_url
from reliable_tasks.config.url import SCHEMES

__all__ = ["BACKENDS", "BROKERS", "DEFAULT_STORE", "backend_url", "broker_url_of", "is_broker"]

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
_NO_LOCATION = frozenset({"amqp", "cache", "redis", "rediss", "rpc"})


def is_broker(url: str) -> bool:
    """Whether a URL names a broker; of several, joined by `;`, the first says."""
    return _scheme(url) in BROKERS and _whole_scheme(url) not in SCHEMES


def broker_url_of(url: str) -> str:
    """The URL as kombu spells it."""
    scheme, separator, rest = url.partition("://")
    return f"{'SQS' if scheme.lower() == 'sqs' else scheme}{separator}{rest}"


def backend_url(backend: str) -> str | None:
    """The URL of a result backend as Celery spells it; None where it names none of Celery's.

    Raises:
        ValueError: the scheme is not one of its, and says which was meant.
    """
    url = backend if "://" in backend else f"{backend}://"
    scheme = _scheme(url)
    if scheme in BACKENDS and ("://" in backend or scheme in _NO_LOCATION):
        return url
    if scheme in _MEANT:
        meant = f"{_MEANT[scheme]}://{url.partition('://')[2]}"
        raise ValueError(f"write {mask_url(meant)}")
    return None


def _whole_scheme(url: str) -> str:
    given, separator, _ = url.partition("://")
    return given.lower() if separator else ""


def _scheme(url: str) -> str:
    """What stands before the `+` of a scheme."""
    return _whole_scheme(url).partition("+")[0]
