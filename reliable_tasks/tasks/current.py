"""`current_app` and `current_task`: proxies that are looked up at each use."""

from __future__ import annotations

from reliable_tasks.bodies.requests import innermost_task
from reliable_tasks.core import context

__all__ = ["current_app", "current_task"]


current_app = context.Proxy(context.get_current_app)
current_task = context.Proxy(innermost_task)
