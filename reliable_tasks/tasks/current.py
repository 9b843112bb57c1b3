"""`current_app` and `current_task`: proxies that are looked up at each use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core import context

if TYPE_CHECKING:
    from reliable_tasks.tasks.task import Task

__all__ = ["current_app", "current_task"]


def _current_task() -> Task[Any, Any] | None:
    running = context.current_attempt.get()
    return running.task if running else None


current_app = context.Proxy(context.get_current_app)
current_task = context.Proxy(_current_task)
