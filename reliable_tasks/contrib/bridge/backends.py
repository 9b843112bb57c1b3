"""Celery's result backends, by its own classes: the only place that imports Celery."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery import exceptions as celery_exceptions
from celery.utils.serialization import ensure_serializable
from kombu.exceptions import EncodeError

from reliable_tasks.config.brokers import is_amqp
from reliable_tasks.config.masks import mask_url
from reliable_tasks.core import clock
from reliable_tasks.core.readable import readable
from reliable_tasks.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reliable_tasks.config.conf import Conf, Settings

    from .tells import About

__all__ = ["Kept", "Request", "Unfit", "backend_options", "celery_app", "is_celerys", "store"]

Unfit = EncodeError
"""What a result raises that has no form in the backend's encoding."""

_OF_BACKENDS = (
    *("cache_", "cassandra_", "database_", "elasticsearch_", "mongodb_", "redis_"),
    *("result_backend_", "s3_"),
)
_FIRST_S, _LONGEST_S = 0.02, 0.5
_NOTICE_S = 0.05


def backend_options(conf: Conf) -> dict[str, Any]:
    """Celery's settings of its result backends, as the program has set them."""
    return {
        name: conf[name]
        for name in conf.given()
        if name.startswith(_OF_BACKENDS) and conf[name] is not None
    }


def celery_app(
    url: str,
    settings: Settings,
    options: Mapping[str, Any],
    broker: str = "",
    *,
    keeps_connections: bool = False,
) -> Any:
    """An app of Celery's that has nothing but a result backend.

    Args:
        url: of the backend.
        settings: of ours: how results are encoded, and how long they are kept.
        options: Celery's own settings of its backends, as the program has set them.
        broker: where `rpc://` answers.
        keeps_connections: to a database, between two writes; not where the process may fork.

    Raises:
        ConfigError: a library that the backend needs is not installed.
    """
    # A name for each use: Celery keeps one app a process as the current one, and this is not it.
    app = Celery("reliable_tasks", backend=url, set_as_current=False, fixups=(), autofinalize=True)
    app.conf.update(
        broker_url=broker or "memory://",
        broker_transport_options={"confirm_publish": True} if is_amqp(broker) else {},
        result_expires=settings.result_expires,
        result_serializer=settings.result_serializer,
        accept_content=["json", "msgpack"],
        result_persistent=True,
        # They are made at the first write; at the start the database may be away.
        **{**options, "database_create_tables_at_setup": False},
    )
    try:
        sessions = getattr(app.backend, "session_manager", None)
        if sessions is not None:  # of SQL: the driver of this database; nothing connects yet
            sessions.get_engine(app.backend.url)
            sessions.forked = keeps_connections  # what Celery does in its workers' children
    except Exception as lacking:  # no library, or no such URL: nothing connects yet
        raise ConfigError(
            f"the result backend {mask_url(url)!r} cannot be used: {lacking}; "
            "pip install 'reliable-tasks[bridge]' has what Memcached, SQL and Redis need"
        ) from lacking
    return app


def is_celerys(name: str) -> bool:
    """Whether an exception of this name is one of Celery's."""
    return hasattr(celery_exceptions, name)


def store(
    app: Any, message_id: str, status: str, result: Any, traceback: str | None, request: Any
) -> None:
    """Write how a message ended, as Celery's worker does.

    Raises:
        Unfit: the result has no form in the backend's encoding.
        Exception: whatever the backend's driver raises while the backend is away.
    """
    if status in app.backend.EXCEPTION_STATES:
        args = ensure_serializable(result["exc_message"], app.backend.encode)
        result = {**result, "exc_message": args}
    app.backend.store_result(message_id, result, status, traceback=traceback, request=request)


class Request:
    """What Celery's backends ask of a task's request.

    Args:
        about: what is known of the message.
        children: what its body has started, as Celery nests ids.
    """

    chord = chain = None
    ignore_result = False

    def __init__(self, about: About, children: Sequence[Any]) -> None:
        self.id = about.id
        self.task = about.task
        self.reply_to, self.correlation_id = about.reply_to, about.correlation_id or about.id
        self.group, self.parent_id = about.group, about.parent_id
        linked = [((child, None), None) for child in about.children]
        self.children = [_Child(each) for each in (*linked, *children)]


class _Child:
    """A result of which only its place in the tree is known."""

    def __init__(self, nested: Any) -> None:
        self._nested = nested

    def as_tuple(self) -> Any:
        return self._nested


class Kept:
    """Reads results from a backend that keeps them: Memcached, a database, Redis.

    Args:
        url: of the backend.
        settings: of our app.
        options: Celery's own settings of its backends, as the program has set them.
    """

    def __init__(self, url: str, settings: Settings, options: Mapping[str, Any]) -> None:
        self._url = url
        self._app = celery_app(url, settings, options)
        self._local = threading.local()

    @property
    def _backend(self) -> Any:
        """Of this thread; failures come as they are kept, and no class is looked up for them."""
        backend = self._app.backend
        backend.exception_to_python = lambda told: told
        return backend

    def address(self) -> str:
        """Nobody has to answer."""
        return ""

    def meta(self, message_id: str) -> dict[str, Any]:
        """What is kept of a message.

        Raises:
            StoreUnavailable: the backend is away.
        """
        try:
            found: dict[str, Any] = self._backend.get_task_meta(message_id)
        except Exception as away:  # each driver has its own errors
            raise StoreUnavailable(
                f"the result backend {mask_url(self._url)} did not answer: {away}"
            ) from away
        return found

    def wait(self, seen: Sequence[str], timeout_s: float, wake_fd: int = -1) -> None:
        """Ask again and again until something has changed: nothing tells of it by itself."""
        until, pause_s = clock.monotonic() + timeout_s, _FIRST_S * max(1, len(seen))
        before = [self._state(message_id) for message_id in seen]
        while before == [self._state(message_id) for message_id in seen]:
            left = until - clock.monotonic()
            if left <= 0:
                return
            pause_s = min(pause_s, _LONGEST_S, left)
            if wake_fd < 0:
                clock.sleep(pause_s)
            elif readable(wake_fd, pause_s):
                return
            pause_s *= 1.5

    def _state(self, message_id: str) -> tuple[Any, Any]:
        meta = self.meta(message_id)
        return meta.get("status"), meta.get("result")

    def forget(self, message_id: str) -> bool:
        """Drop what is kept of a message."""
        self._backend.forget(message_id)
        return True

    def close(self) -> None:
        """Close the connections."""
        self._app.close()
