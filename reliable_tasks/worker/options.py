"""What a worker is told on its command line."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import msgspec

from reliable_tasks.core import checks, texts
from reliable_tasks.errors import ConfigError

from .pools import pool_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.context import AppContext

__all__ = ["WorkerOptions", "check_options", "expand_hostname"]


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one worker.

    Attributes:
        hostname: the worker's name, `name@host`.
        queues: what it consumes.
        concurrency: how many bodies run at once.
        pool: "prefork", "threads", "asyncio" or "solo".
        max_tasks_per_child: replace a child after so many messages.
        max_memory_per_child_kib: replace a child that has used so much memory.
        time_limit, soft_time_limit: seconds, for tasks without limits of their own.
        shutdown_timeout: seconds that a warm shutdown may take.
        companions: functions to run in processes of their own beside the children (beat).
    """

    hostname: str
    queues: tuple[str, ...] = ("celery",)
    concurrency: int = 1
    pool: str = "prefork"
    max_tasks_per_child: int | None = None
    max_memory_per_child_kib: int | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    shutdown_timeout: float = 30.0
    companions: tuple[Callable[[], int], ...] = ()


def expand_hostname(name: str | None) -> str:
    """A worker's full name: `%h` is the host, `%n` its first part, `%d` the rest, `%p` the pid."""
    host = texts.printable(socket.gethostname())
    first, _, rest = host.partition(".")
    name = name or "worker@%h"
    for mark, value in (("%h", host), ("%n", first), ("%d", rest), ("%p", str(os.getpid()))):
        name = name.replace(mark, value)
    return name if "@" in name else f"{name}@{host}"


def check_options(app: AppContext, options: WorkerOptions) -> None:
    """Refuse what would silently not hold.

    Raises:
        ConfigError: an option is not possible, or a pool cannot enforce a limit that is set.
    """
    for name in ("concurrency", "max_tasks_per_child", "max_memory_per_child_kib"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}")
    if not options.queues:
        raise ConfigError("a worker needs at least one queue: --queues celery")
    for name in ("soft_time_limit", "time_limit", "shutdown_timeout"):
        value = getattr(options, name)
        if value is not None:
            checks.limit(name, value)
    checks.text("the name of a worker", options.hostname)
    for queue in options.queues:
        checks.queue("queue", queue)
    soft, hard = options.soft_time_limit, options.time_limit
    checks.limits_fit(soft, hard)
    pool = pool_class(options.pool)
    if pool.enforces_limits:
        return
    if soft or hard or options.max_memory_per_child_kib:
        raise ConfigError(
            f"the pool {options.pool!r} cannot enforce time or memory limits; use --pool prefork"
        )
    limited = sorted(t.name for t in app.tasks.values() if t.time_limit or t.soft_time_limit)
    if limited:
        raise ConfigError(
            f"the pool {options.pool!r} cannot enforce the time limit of task {limited[0]!r}; "
            "use --pool prefork, or give that task a queue of its own"
        )
