"""What is checked and worked out of a task's options when it is registered."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, ReliableTasksError
from .retry import RetryPolicy
from .store.values import ReceiptKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from .task import Task

__all__ = ["check_task_options", "classes_of", "duplicate_is_error", "signature_of"]

_PLAIN_SIGNATURE = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


def duplicate_is_error(task: Task[Any, Any] | None, kind: ReceiptKind, options: Any) -> bool:
    """Whether a receipt means `AlreadyQueued` for this call."""
    if kind != ReceiptKind.DUPLICATE or task is None or task.once_options is None:
        return False
    chosen = task.once_options
    if options.get("once"):
        chosen = chosen.override(options["once"])
    return chosen.on_conflict != "return"


def signature_of(run: Callable[..., Any]) -> inspect.Signature:
    """The signature of a body; of one that does not tell, a signature that takes anything."""
    try:
        return inspect.signature(run)
    except (TypeError, ValueError):  # some builtins tell nothing of their arguments
        return _PLAIN_SIGNATURE


def classes_of(classes: Any) -> tuple[type[BaseException], ...]:
    """One exception class, or several, as a tuple."""
    return tuple(classes) if isinstance(classes, list | tuple) else (classes,)


def check_task_options(task: Task[Any, Any], where: str) -> None:
    """Raise ConfigError for an option that is not possible."""
    if task.rate_limit is not None:
        raise ConfigError(
            f"{where}: rate_limit={task.rate_limit!r} is not supported; give the task a queue of "
            "its own and a worker with as much concurrency as you allow it"
        )
    soft, hard = task.soft_time_limit, task.time_limit
    if soft and hard and soft > hard:
        raise ConfigError(f"{where}: soft_time_limit {soft:g} s is above time_limit {hard:g} s")
    if task.retry_policy is not None and not isinstance(task.retry_policy, RetryPolicy):
        raise ConfigError(f"{where}: retry_policy must be a RetryPolicy, not {task.retry_policy!r}")
    if not task.name:
        raise ReliableTasksError("a task needs a name")
