"""A signal, the receivers that are connected to it, and how they are called."""

from __future__ import annotations

import inspect
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from reliable_tasks import events
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Signal"]

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
