"""Calls of the store by a supervisor: at once, or in a thread of their own.

A store may let one wait: for as long as somebody else holds a file's lock, or a server is busy. The
supervisor goes on watching limits and deaths meanwhile, so it sends for an answer and looks whether
there is one. One call at a time: nothing is asked while processes are forked.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from reliable_tasks.store.protocol import Store

__all__ = ["Answer", "AtOnce", "Call", "Errands", "InAThread"]

Call = Callable[["Store"], Any]
"""Something to ask of the store."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call."""

    value: Any = None
    error: Exception | None = None


class Errands(Protocol):
    """One call at a time, and its answer."""

    def send(self, call: Call) -> None:
        """Make a call."""
        ...

    def take(self) -> Answer | None:
        """Its answer; None while it is under way."""
        ...


def _answer(call: Call, store: Store) -> Answer:
    try:
        return Answer(call(store))
    except Exception as exc:  # noqa: BLE001 - whoever asked decides what to make of it
        return Answer(error=exc)


class AtOnce:
    """Makes calls in the thread that asks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answer: Answer | None = None

    def send(self, call: Call) -> None:
        """Make a call."""
        self._answer = _answer(call, self._store)

    def take(self) -> Answer | None:
        """Its answer."""
        return self._answer


class InAThread:
    """Makes calls in a thread of its own.

    Args:
        store: what is called.
        wake: called when there is an answer.
    """

    def __init__(self, store: Store, wake: Callable[[], object]) -> None:
        self._store = store
        self._wake = wake
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.idle = True
        """Whether no call is under way: a fork would wait for its end."""
        self._thread = threading.Thread(target=self._run, name="errands", daemon=True)
        self._thread.start()

    def send(self, call: Call) -> None:
        """Make a call."""
        self.idle = False
        self._calls.put(call)

    def take(self) -> Answer | None:
        """Its answer, if it has come."""
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return None
        self.idle = True
        return answer

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            self._answers.put(_answer(call, self._store))
            self._wake()

    def close(self) -> None:
        """End the thread, once no call is under way."""
        self._calls.put(None)
