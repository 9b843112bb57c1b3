"""For tests of your own tasks: a store in memory, virtual time, and deaths at every step.

A pytest plugin gives the fixtures `task_app`, `virtual_time` and `run_until_idle`. What they are
made of can be used without pytest:

- `bound(app)`: within the block, `app` works on an empty store in memory, in virtual time.
- `run_until_idle(app)`: a worker in this thread, until nothing is left to do.
- `background_worker(app)`: within the block, a worker in a thread.
- `crash_matrix(task, *args)`: what a task leaves behind when its worker dies at each point.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .background import BackgroundWorker, background_worker
    from .binding import bound
    from .crashes import CrashPoint, CrashReport, assert_idempotent, crash_matrix
    from .time import VirtualTime
    from .worker import NotIdle, Ran, run_until_idle

__all__ = [
    "BackgroundWorker",
    "CrashPoint",
    "CrashReport",
    "NotIdle",
    "Ran",
    "VirtualTime",
    "assert_idempotent",
    "background_worker",
    "bound",
    "crash_matrix",
    "run_until_idle",
]

_HOMES = {
    "BackgroundWorker": "background",
    "CrashPoint": "crashes",
    "CrashReport": "crashes",
    "NotIdle": "worker",
    "Ran": "worker",
    "VirtualTime": "time",
    "assert_idempotent": "crashes",
    "background_worker": "background",
    "bound": "binding",
    "crash_matrix": "crashes",
    "run_until_idle": "worker",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for, when it is: pytest imports this package in every run."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
