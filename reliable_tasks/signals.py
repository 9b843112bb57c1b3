"""Celery's signals: call functions of yours when something happens in this process.

```python
@task_failure.connect(sender="shop.tasks.charge")
def tell_somebody(sender, task_id, exception, **_): ...
```
"""

from __future__ import annotations

import inspect
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import events
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Signal",
    "after_task_publish",
    "beat_init",
    "before_task_publish",
    "setup_logging",
    "signals_table",
    "task_failure",
    "task_internal_error",
    "task_postrun",
    "task_prerun",
    "task_received",
    "task_rejected",
    "task_retry",
    "task_revoked",
    "task_success",
    "task_unknown",
    "worker_init",
    "worker_process_init",
    "worker_process_shutdown",
    "worker_ready",
    "worker_shutdown",
    "worker_shutting_down",
]

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True, eq=False)
class _Receiver:
    key: object
    sender: Any
    get: Callable[[], Callable[..., Any] | None]

    def hears(self, sender: Any) -> bool:
        return self.sender is None or _sender_key(self.sender) == _sender_key(sender)


def _sender_key(sender: Any) -> Any:
    """A task and its name count as one sender: some senders know only the name."""
    name = getattr(sender, "name", None)
    return name if isinstance(name, str) else sender


class Signal:
    """An occasion that functions can be connected to.

    Attributes:
        name: its name.
        meaning: when it is sent.
        fields: what receivers get besides `signal` and `sender`.
        receivers: what is connected. Empty, and so false, if nothing is: `if signal.receivers`
            spares a hot path the call of `send`.
    """

    __slots__ = ("_lock", "fields", "meaning", "name", "receivers")

    def __init__(self, name: str, meaning: str = "", fields: tuple[str, ...] = ()) -> None:
        self.name = name
        self.meaning = meaning
        self.fields = fields
        self.receivers: tuple[_Receiver, ...] = ()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"

    @property
    def has_listeners(self) -> bool:
        """Whether any function is connected."""
        return bool(self.receivers)

    @overload
    def connect(self, receiver: F, /) -> F: ...

    @overload
    def connect(
        self,
        receiver: F,
        sender: Any = None,
        weak: bool = False,
        dispatch_uid: object = None,
    ) -> F: ...

    @overload
    def connect(
        self,
        receiver: None = None,
        sender: Any = None,
        weak: bool = False,
        dispatch_uid: object = None,
    ) -> Callable[[F], F]: ...

    def connect(
        self,
        receiver: Any = None,
        sender: Any = None,
        weak: bool = False,
        dispatch_uid: object = None,
    ) -> Any:
        """Call `receiver(signal=…, sender=…, **fields)` from now on; also a decorator.

        Args:
            receiver: a function that takes keyword arguments.
            sender: hear only this sender: a task, its name, or a worker's name.
            weak: forget the receiver when nothing else refers to it.
            dispatch_uid: connecting another receiver under the same id does nothing.

        Raises:
            ConfigError: the receiver does not take `**kwargs`; later versions may send more fields.
        """
        if receiver is None:
            return lambda function: self.connect(function, sender, weak, dispatch_uid)
        _check_receiver(receiver, self.name)
        key = _receiver_key(receiver) if dispatch_uid is None else dispatch_uid
        added = _Receiver(key, sender, _weak(receiver) if weak else lambda: receiver)
        with self._lock:
            live = tuple(r for r in self.receivers if r.get() is not None)
            if not any(r.key == key and r.sender == sender for r in live):
                live = (*live, added)
            self.receivers = live
        return receiver

    def disconnect(
        self,
        receiver: Callable[..., Any] | None = None,
        sender: Any = None,
        weak: bool | None = None,  # noqa: ARG002 - accepted for Celery compatibility; ignored
        dispatch_uid: object = None,
    ) -> bool:
        """Undo `connect` of the same arguments; returns whether there was something to undo."""
        key = _receiver_key(receiver) if dispatch_uid is None else dispatch_uid
        with self._lock:
            kept = tuple(r for r in self.receivers if (r.key, r.sender) != (key, sender))
            found = len(kept) < len(self.receivers)
            self.receivers = kept
        return found

    def send(self, sender: Any, **fields: Any) -> list[tuple[Callable[..., Any], Any]]:
        """Call the receivers in the order they were connected.

        Returns:
            each receiver and what it returned, or the exception that it raised.
        """
        answers: list[tuple[Callable[..., Any], Any]] = []
        for connected in self.receivers:
            receiver = connected.get()
            if receiver is None or not connected.hears(sender):
                continue
            try:
                answer = receiver(signal=self, sender=sender, **fields)
            except events.outlived() as error:
                # It only hears of what has happened: its error must not change that.
                events.report(f"a receiver of {self.name} raised", error)
                answer = error
            answers.append((receiver, answer))
        return answers

    send_robust = send


def _receiver_key(receiver: Any) -> object:
    """Identify a receiver. Bound methods are new at each look-up; object and function are not."""
    if inspect.ismethod(receiver):
        return (id(receiver.__self__), id(receiver.__func__))
    return id(receiver)


def _weak(receiver: Callable[..., Any]) -> Callable[[], Callable[..., Any] | None]:
    if inspect.ismethod(receiver):
        return weakref.WeakMethod(receiver)
    return weakref.ref(receiver)


def _check_receiver(receiver: Any, signal: str) -> None:
    try:
        parameters = inspect.signature(receiver).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        raise ConfigError(
            f"{receiver!r} cannot be connected to {signal}: a receiver takes **kwargs, since a "
            "later version may send more"
        )


_ATTEMPT = ("task_id", "task", "args", "kwargs")

before_task_publish = Signal(
    "before_task_publish", "A message is about to be stored; sent in its caller.", ("message",)
)
after_task_publish = Signal(
    "after_task_publish", "The store has answered for a message.", ("message", "receipt")
)
task_received = Signal("task_received", "A worker has a message and prepares it.", ("request",))
task_prerun = Signal("task_prerun", "A body is about to run.", _ATTEMPT)
task_postrun = Signal("task_postrun", "A body has ended.", (*_ATTEMPT, "retval", "state"))
task_success = Signal("task_success", "A body returned.", ("result",))
task_retry = Signal("task_retry", "A message is to be tried again.", ("request", "reason", "einfo"))
task_failure = Signal(
    "task_failure", "A message ended as a failure.", ("task_id", "exception", "args", "einfo")
)
task_internal_error = Signal(
    "task_internal_error", "A fault of the worker's own failed a message.", ("task_id", "exception")
)
task_revoked = Signal(
    "task_revoked",
    "A message was revoked while its body ran.",
    ("request", "terminated", "signum", "expired"),
)
task_rejected = Signal("task_rejected", "A body raised `Reject`.", ("request",))
task_unknown = Signal(
    "task_unknown", "A worker got a message of a task that it does not know.", ("name", "id")
)
worker_init = Signal("worker_init", "A worker begins; the sender is the app.")
worker_ready = Signal("worker_ready", "A worker consumes; the sender is the app.")
worker_shutting_down = Signal("worker_shutting_down", "A worker was told to stop.", ("sig", "how"))
worker_shutdown = Signal("worker_shutdown", "A worker has stopped; the sender is the app.")
worker_process_init = Signal("worker_process_init", "A worker's child process begins.")
worker_process_shutdown = Signal(
    "worker_process_shutdown", "A worker's child process ends.", ("pid", "exitcode")
)
beat_init = Signal("beat_init", "A beat begins; the sender is the app.")
setup_logging = Signal(
    "setup_logging",
    "The log is set up; with a receiver, by nobody else.",
    ("loglevel", "logfile", "format", "colorize"),
)


def signals_table() -> str:
    """The reference of signals, as a Markdown table."""
    rows = ["| signal | sent when | fields |", "| --- | --- | --- |"]
    for signal in (value for value in globals().values() if isinstance(value, Signal)):
        fields = ", ".join(f"`{field}`" for field in signal.fields)
        rows.append(f"| `{signal.name}` | {signal.meaning} | {fields} |")
    return "\n".join(rows) + "\n"
