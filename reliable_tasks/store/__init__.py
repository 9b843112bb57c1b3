"""The stores: where messages, results, locks, schedules and audit live together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from reliable_tasks.config.brokers import is_broker
from reliable_tasks.config.conf import store_text
from reliable_tasks.errors import ConfigError

from .values import StoreOptions

if TYPE_CHECKING:
    from reliable_tasks.config.conf import Settings, StoreUrl
    from reliable_tasks.store.protocol import Store

__all__ = ["open_store", "store_options"]


def store_options(settings: Settings) -> StoreOptions:
    """What a store is to know of the settings."""
    return StoreOptions(
        namespace=settings.store_namespace,
        audit=settings.audit,
        audit_ttl_ms=_ms(settings.audit_expires),
        max_audit_rows=settings.max_audit_rows or 0,
        max_audit_bytes=settings.max_audit_bytes or 0,
        max_message_bytes=settings.max_message_bytes,
        max_input_bytes=settings.max_input_bytes,
        max_batch=settings.max_batch,
        max_rows=settings.max_query_rows,
        stage_ttl_ms=_ms(settings.stage_expires),
        busy_timeout_ms=_ms(settings.busy_seconds),
        durable=settings.durable,
    )


def _ms(seconds: float | None) -> int:
    return 0 if seconds is None else round(seconds * 1000)


def open_store(url: StoreUrl, settings: Settings) -> Store:
    """The store at a URL. Only the libraries of the one that is asked for are loaded.

    Raises:
        ConfigError: `durable` asks for more than it can give.
        StoreError: it cannot be opened.
    """
    options = store_options(settings)
    if url.kind == "sqlite":
        from .sqlite import SqliteStore, lacking  # noqa: PLC0415 - only the chosen store is loaded

        if url.busy_timeout is not None:
            options = msgspec.structs.replace(options, busy_timeout_ms=_ms(url.busy_timeout))
        reason = lacking(settings.durable, url.synchronous, in_memory=url.in_memory)
        if reason is not None:
            raise ConfigError(reason)
        mode = int(settings.store_file_mode, 8)
        return SqliteStore(url.path, options, synchronous=url.synchronous, file_mode=mode)
    from .redis import RedisStore  # noqa: PLC0415 - only the chosen store is loaded

    patience = settings.socket_seconds
    transport = {
        "socket_timeout": patience,
        "socket_connect_timeout": min(5.0, patience),
        **({} if is_broker(settings.broker_url) else settings.broker_transport_options),
    }
    return RedisStore(store_text(settings), options, transport_options=transport)
