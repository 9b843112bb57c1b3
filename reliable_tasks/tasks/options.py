"""Check a task's options when it is registered, and derive what calls need."""

from __future__ import annotations

import datetime as dt
import inspect
import sys
from typing import TYPE_CHECKING, Any

from reliable_tasks.core import call_options, checks, texts
from reliable_tasks.core.retry import DEFAULT_RETRY_DELAY_S, RetryPolicy
from reliable_tasks.errors import ConfigError
from reliable_tasks.store.values import ReceiptKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reliable_tasks.tasks.task import Task

__all__ = [
    "check_arguments",
    "check_task_options",
    "duplicate_is_error",
    "positional_range",
    "signature_of",
]

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
    """The signature of a body; `(*args, **kwargs)` if it cannot be inspected."""
    try:
        return inspect.signature(run)
    except (TypeError, ValueError):  # some builtins tell nothing of their arguments
        return _PLAIN_SIGNATURE


def positional_range(signature: inspect.Signature) -> tuple[int, int]:
    """The smallest and largest number of arguments in a purely positional call.

    The most is below the least where there is no such call: an argument has to be named.
    """
    kinds, least, most = inspect.Parameter, 0, 0
    for parameter in signature.parameters.values():
        needed = parameter.default is kinds.empty
        if parameter.kind in {kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD}:
            least, most = least + needed, most + 1
        elif parameter.kind is kinds.VAR_POSITIONAL:
            most = sys.maxsize
        elif parameter.kind is kinds.KEYWORD_ONLY and needed:
            return 1, 0
    return least, most


def check_arguments(task: Task[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise TypeError when the arguments do not fit a task's function."""
    try:
        task.signature_of_call.bind(*args, **kwargs)
    except TypeError as exc:
        raise TypeError(f"{task.name}(): {exc}") from None


_OF_CALLS = (
    "queue",
    "routing_key",
    "priority",
    "serializer",
    "ignore_result",
    "time_limit",
    "soft_time_limit",
)
_FLAGS = ("bind", "typing")
_UNSAID = {
    **dict.fromkeys(("throws", "autoretry_for", "dont_autoretry_for"), ()),
    "bind": False,
    "typing": True,
    "default_retry_delay": DEFAULT_RETRY_DELAY_S,
}
"""The defaults that None stands for."""
_CLASSES = ("throws", "autoretry_for", "dont_autoretry_for")


def check_task_options(task: Task[Any, Any], where: str) -> None:
    """Check the options that a task was declared with and normalise them.

    Raises:
        ConfigError: one is not possible.
    """
    try:
        checks.text("name", task.name)
        for name in (*_OF_CALLS, *_FLAGS, *_CLASSES, "expires", "default_retry_delay"):
            value = getattr(task, name)
            if value is None and name in _UNSAID:
                value = _UNSAID[name]
                setattr(task, name, value)
            if value is not None:
                kept = _kept(name, value)
                if kept is not value:
                    setattr(task, name, kept)
        checks.retries("max_retries", task.max_retries)
        checks.limits_fit(task.soft_time_limit, task.time_limit)
    except ConfigError as exc:
        raise ConfigError(f"{where}: {exc}") from None
    if task.rate_limit is not None:
        raise ConfigError(
            f"{where}: rate_limit={texts.shown(task.rate_limit)} is not supported; give the task "
            "a queue of its own and a worker with as much concurrency as you allow it"
        )
    policy: Any = task.retry_policy
    if policy is not None and not isinstance(policy, RetryPolicy):
        raise ConfigError(f"{where}: retry_policy must be a RetryPolicy, not {texts.shown(policy)}")


def _kept(name: str, value: Any) -> Any:
    if name in _FLAGS:
        return checks.flag(name, value)
    if name in _CLASSES:
        return checks.exception_classes(name, value)
    if name == "default_retry_delay":
        return checks.delay(name, value)
    if name == "expires" and not isinstance(value, dt.datetime | str):
        return checks.span(name, value, above_zero=True)
    return call_options.one(name, value)
