"""What user code is told of an attempt, noted in order and in values that can be compared."""

from __future__ import annotations

from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from reliable_tasks import OnceTask, Task, signals

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Observed", "Once", "Told", "listening", "plain"]

SIGNALS = (
    signals.task_prerun,
    signals.task_postrun,
    signals.task_success,
    signals.task_failure,
    signals.task_retry,
    signals.task_rejected,
    signals.task_revoked,
)
SEEN_OF_REQUEST = (
    *("id", "task", "args", "kwargs", "retries", "attempt", "delivery", "idempotency_key"),
    *("once_key", "root_id", "parent_id", "group", "chord", "called_directly", "timelimit"),
    *("headers", "ignore_result", "shadow", "correlation_id", "origin"),
)

Told = list[Any]


def plain(value: Any) -> Any:
    """A value that can be compared between two runs: exceptions are equal if they look equal."""
    if isinstance(value, BaseException):
        name = type(value).__name__
        return name, "" if name == "Ugly" else str(value)
    if isinstance(value, Task | TracebackType):
        return f"task {value.name}" if isinstance(value, Task) else "traceback"
    if hasattr(value, "traceback") and hasattr(value, "exception"):
        return "einfo", plain(value.exception)
    if hasattr(value, "called_directly"):
        return "request", value.id, value.retries
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


class Observed(Task[Any, Any]):
    """Notes each hook with its values; `misdeed` names the hook that raises, and what."""

    told: Told = []  # noqa: RUF012 - each task has one of its own
    misdeed: tuple[str, BaseException] | None = None

    def _note(self, hook: str, *args: Any) -> None:
        self.told.append((hook, plain(args)))
        if self.misdeed is not None and self.misdeed[0] == hook:
            raise self.misdeed[1]

    def before_start(self, *args: Any) -> None:
        request = {name: plain(getattr(self.request, name)) for name in SEEN_OF_REQUEST}
        self._note("before_start", *args, request)

    def on_success(self, *args: Any) -> None:
        self._note("on_success", *args)

    def on_retry(self, *args: Any) -> None:
        self._note("on_retry", *args)

    def on_failure(self, *args: Any) -> None:
        self._note("on_failure", *args)

    def after_return(self, *args: Any) -> None:
        self._note("after_return", *args)


class Once(Observed, OnceTask[Any, Any]):
    """The same, with a key."""


@contextmanager
def listening(told: Told) -> Iterator[None]:
    def hear(signal: signals.Signal, sender: Any, **fields: Any) -> None:
        told.append((signal.name, plain(sender), {key: plain(x) for key, x in fields.items()}))

    for signal in SIGNALS:
        signal.connect(hear)
    try:
        yield
    finally:
        for signal in SIGNALS:
            signal.disconnect(hear)
