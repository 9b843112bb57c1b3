"""Results live with the messages: check that `result_backend` does not ask for more."""

import posixpath

from reliable_tasks.config.masks import mask_url
from reliable_tasks.config.url import SCHEMES, SUPPORTED, StoreUrl, parse_store_url, wrong_url

__all__ = ["check_backend"]

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
    if result_backend in {"disabled", "disabled://"}:
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
