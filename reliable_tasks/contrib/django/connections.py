"""Connections to databases and caches: none that is old for a body, none shared with a fork."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

__all__ = ["after_fork", "around_hooks", "before_forks", "renew", "renew_async"]

_abandoned: list[Any] = []
"""Connections of a parent process: nothing may run their clean-up in this one."""


def renew() -> None:
    """Close this thread's connections that are of no more use, as Django does around a request.

    Those are past `CONN_MAX_AGE` (at once where that is 0), or have had errors and do not answer.
    One inside `atomic()` is left alone: the transaction is its caller's.
    """
    from django.conf import settings  # noqa: PLC0415 - Django is loaded when it is used
    from django.core.cache import close_caches  # noqa: PLC0415
    from django.db import Error, connections, reset_queries  # noqa: PLC0415

    if not settings.configured:
        return
    reset_queries()
    for connection in connections.all(initialized_only=True):
        try:
            connection.close_if_unusable_or_obsolete()
        except Error:
            # It cannot even be closed: the next query opens another. What a body came to stands.
            with contextlib.suppress(Error):
                connection.close()
    close_caches()


async def renew_async() -> None:
    """The same for a coroutine, in the thread where `sync_to_async` lets it use the database."""
    from asgiref.sync import sync_to_async  # noqa: PLC0415 - comes with Django

    await sync_to_async(renew, thread_sensitive=True)()


def around_hooks(sender: Any, **_: Any) -> None:
    """Renew them for the hooks of an attempt as well; `task_prerun` and `task_postrun` call it."""
    if sender is None or sender.request.is_eager:
        return  # the connections are the caller's
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        renew()
    # In a loop's thread Django refuses to use a database, so that there is nothing to close.


def before_forks(**_: Any) -> None:
    """Close every connection of a worker, whose children get none of them; pools as well."""
    from django.core.cache import close_caches  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    for connection in connections.all(initialized_only=True):
        connection.close()
        if connection.settings_dict.get("OPTIONS", {}).get("pool"):
            connection.close_pool()
    close_caches()


def after_fork(**_: Any) -> None:
    """Let go of connections that a receiver or a module has opened in the parent meanwhile.

    Closing them would end the parent's sessions at the database. From here on an open one is
    asked whether it still answers before a body's first query: the database may have been
    restarted since (Django's `CONN_HEALTH_CHECKS`).
    """
    from django.core.cache import close_caches  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            _abandoned.append(connection)
            _cut(connection.connection)
            del connections[connection.alias]
    for alias in connections:
        connections.settings[alias]["CONN_HEALTH_CHECKS"] = True
    close_caches()


def _cut(raw: Any) -> None:
    """Put /dev/null in the place of the socket: whatever is written goes nowhere."""
    try:
        number = raw.fileno()
    except Exception:  # noqa: BLE001 - each driver has its own errors, SQLite's has no such method
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        os.dup2(nowhere, number)
    finally:
        os.close(nowhere)
