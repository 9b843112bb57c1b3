"""Log lines, and where they go.

`TaskContext` is a filter for handlers of your own, `get_task_logger` gives a logger for a task.
"""

from __future__ import annotations

from typing import Any

__all__ = ["TaskContext", "TaskLogger", "configure", "get_logger", "get_task_logger", "level_of"]


def __getattr__(name: str) -> Any:
    """Load what is asked for, when it is: rooms below need its lines and no more."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import setup  # noqa: PLC0415 - see above

    return getattr(setup, name)
