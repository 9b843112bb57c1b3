"""Tasks of a soak that harm the process which runs them, without meaning to."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from tests.hostile.hooks import task_with_hooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks import App

__all__ = ["DEEDS", "FAILURES", "HOOKS", "LIMIT_S", "register"]

LIMIT_S = 3.0
FAILURES = {"ConfigError", "MessageTooLarge", "SystemExit", "TimeLimitExceeded", "ValueError"}
"""What these tasks may fail with."""

_FIRST_FREE_FD, _LAST_FD = 3, 256
_HUGE = 3_000_000


def _exit(_: Any) -> None:
    os._exit(0)


def _raise_exit(_: Any) -> None:
    raise SystemExit(0)


def _close_descriptors(_: Any) -> None:
    os.closerange(_FIRST_FREE_FD, _LAST_FD)


def _fork(_: Any) -> None:
    os.fork()


def _retry_out_of_range(task: Any) -> None:
    raise task.retry(countdown=1e17)


def _fail_at_length(_: Any) -> None:
    raise ValueError("x" * _HUGE)


def _hang(_: Any) -> None:
    time.sleep(600)


def _fail(_: Any) -> None:
    raise ValueError("so that its hook is reached")


def _nothing(_: Any) -> None:
    """Its hook does it."""


DEEDS: dict[str, Callable[[Any], None]] = {
    "exits with code 0": _exit,
    "raises an exit": _raise_exit,
    "closes descriptors": _close_descriptors,
    "a fork returns": _fork,
    "a retry out of range": _retry_out_of_range,
    "a long text": _fail_at_length,
    "never ends": _hang,
    "on_success": _nothing,
    "after_return": _nothing,
    "before_start": _nothing,
    "on_failure": _fail,
}
"""What the body does; by the name of a hook, that is the one that does something."""

HOOKS: dict[str, Callable[[Any], None]] = {
    "exits with code 0": _exit,
    "raises an exit": _raise_exit,
    "a fork returns": _fork,
    "never ends": _hang,
}
"""What a hook may do."""


def _in_hook(task: Any, place: str, call: Any) -> None:
    """The hook that its call names does what its call says."""
    if call[1] == place:
        HOOKS[call[2]](task)


def register(app: App, marked: Callable[[Callable[..., int]], Any]) -> None:
    """The task `hostile`: a number, a deed, and what its hook does where the deed is one's name."""

    def hostile(self: Any, number: int, deed: str, hook: str) -> int:
        DEEDS[deed](self)
        return number

    app.task(name="hostile", bind=True, base=task_with_hooks(_in_hook), time_limit=LIMIT_S)(
        marked(hostile)
    )

    @app.task(name="huge", bind=True)
    def huge(self: Any, number: int) -> str:
        return "x" * (_HUGE * 10)
