"""Results live with the messages: check that `result_backend` does not ask for more.

Behind a broker it may: what ends is told to one of Celery's backends as well.
"""

import posixpath

from reliable_tasks.config.brokers import BACKENDS, DEFAULT_STORE, backend_url, is_broker
from reliable_tasks.config.masks import mask_url
from reliable_tasks.config.url import SCHEMES, SUPPORTED, StoreUrl, parse_store_url, wrong_url

__all__ = ["check_backend", "check_places", "named_backend"]

_NONE = frozenset({"disabled", "disabled://"})
_BEHIND_A_BROKER = ", ".join(f"{scheme}://" for scheme in sorted(BACKENDS))

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


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
    if result_backend in _NONE:
        return "result_backend='disabled' is not needed: task_ignore_result=True keeps no results"
    backend = f"{result_backend}://" if result_backend in {"redis", "rediss"} else result_backend
    remedy = (
        "results live with the messages, so that a commit is one atomic step: leave "
        f"result_backend out, or name the server of broker_url={mask_url(broker_url)!r}"
    )
    if backend.partition("://")[0].lower() not in SCHEMES:
        raise wrong_url("result_backend", backend, f"{remedy}; supported: {SUPPORTED}")
    there = parse_store_url(backend, name="result_backend", need_service=False)
    here = parse_store_url(broker_url, need_service=False)
    sentinels = "sentinel" in {here.scheme, there.scheme} and here.scheme != there.scheme
    if here.kind != there.kind or sentinels or _servers(here).isdisjoint(_servers(there)):
        raise wrong_url("result_backend", backend, f"{remedy}; supported: {SUPPORTED}")
    return (
        f"result_backend={mask_url(backend)!r} is on the server of broker_url: results are kept "
        "with the messages, so that a commit is one atomic step"
    )


def named_backend(result_backend: str | None, *, name: str = "result_backend") -> str | None:
    """The URL of a result backend of Celery's, as Celery spells it; None for none.

    Args:
        result_backend: as it was given.
        name: what to call it in an error.

    Raises:
        ConfigError: Celery has no such backend.
    """
    if not result_backend or result_backend in _NONE:
        return None
    remedy = f"behind a broker the backend is one of Celery's: {_BEHIND_A_BROKER}"
    try:
        url = backend_url(result_backend)
    except ValueError as meant:
        remedy, url = str(meant), None
    if url is None:
        raise wrong_url(name, result_backend, remedy)
    return url


def check_places(broker_url: str, store_url: str | None, result_backend: str | None) -> str | None:
    """Check that broker, store and backend fit together, and return a note for the log.

    Raises:
        ConfigError: there are two stores, or the backend is of no use with this broker.
    """
    if is_broker(broker_url):
        named_backend(result_backend)
        return None
    if store_url and broker_url != DEFAULT_STORE:
        here = parse_store_url(broker_url, need_service=False)
        there = parse_store_url(store_url, name="store_url", need_service=False)
        if here.url != there.url:
            raise wrong_url(
                "store_url",
                store_url,
                f"broker_url={mask_url(broker_url)!r} is a store already, and there is one; leave "
                "store_url out, or let broker_url name a broker (amqp://…, zookeeper://…)",
            )
    return check_backend(store_url or broker_url, result_backend)
