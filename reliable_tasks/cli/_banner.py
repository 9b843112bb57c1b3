"""The banner that a worker prints when it starts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reliable_tasks import __version__
from reliable_tasks.errors import StoreFull, StoreUnavailable
from reliable_tasks.store.values import Health

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliable_tasks.app import App
    from reliable_tasks.store.protocol import Store
    from reliable_tasks.worker import WorkerOptions

__all__ = ["banner", "health_of"]

_MOST_TASKS = 30


def banner(app: App, options: WorkerOptions, *, beat: bool) -> str:
    """Where it works, on what, with what, and what does not hold there."""
    store = app.store
    health = health_of(store)
    limits = [
        f"{name} {value:g} s"
        for name, value in (("soft", options.soft_time_limit), ("hard", options.time_limit))
        if value
    ]
    lines = [
        f"reliable-tasks {__version__}: worker {options.hostname} (process {os.getpid()})",
        "",
        f"  app        {app.main or app!r}",
        f"  store      {store.location}",
        *_block("guarantees", health.holds),
        f"  pool       {options.pool}, {options.concurrency} at once",
        f"  queues     {', '.join(options.queues)}",
    ]
    if limits:
        lines.append(f"  limits     {', '.join(limits)}")
    if beat:
        lines.append(f"  beat       {len(app.settings.beat_schedule)} entries")
    lines += _block("tasks", _tasks(app))
    lines += _block("WARNING", health.warnings)
    lines += _block("notes", app.conf.notes)
    return "\n".join([*lines, ""])


def health_of(store: Store) -> Health:
    """The store's guarantees and warnings, or that it is unavailable; the worker starts anyway."""
    try:
        return store.health()
    except (StoreUnavailable, StoreFull) as error:
        return Health(warnings=(f"{error}", "waiting for it"))


def _tasks(app: App) -> list[str]:
    names = sorted(name for name in app.tasks if not name.startswith("reliable_tasks."))
    if not names:
        return ["none: is the module with your tasks imported? (include=[…] or -I MODULE)"]
    more = len(names) - _MOST_TASKS
    return names[:_MOST_TASKS] + ([f"and {more} more"] if more > 0 else [])


def _block(title: str, lines: Iterable[str]) -> list[str]:
    """Lines under one title, the first beside it."""
    shown = list(lines)
    return [f"  {title if i == 0 else '':<10} {text}" for i, text in enumerate(shown)]
