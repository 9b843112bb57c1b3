"""The supervisor's calls of the store: inline, or in a thread of their own.

A store may block while somebody else holds a file's lock or a server is busy. The supervisor must
keep watching limits and deaths meanwhile, so it sends a call and polls for the answer. There is at
most one call at a time, and none while the supervisor forks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from reliable_tasks.store.protocol import WorkerStore

__all__ = ["Answer", "Call", "InlineCalls", "StoreCalls", "ThreadedCalls"]

Call = Callable[["WorkerStore"], Any]
"""A question to the store, as a function of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call returned or raised."""

    value: Any = None
    error: Exception | None = None


class StoreCalls(Protocol):
    """Makes one call at a time."""

    def send(self, call: Call) -> None:
        """Begin a call."""
        ...

    def take(self) -> Answer | None:
        """Return the answer; None while the call is under way."""
        ...


def _answer(call: Call, store: WorkerStore) -> Answer:
    try:
        return Answer(call(store))
    except Exception as exc:  # noqa: BLE001 - the supervisor decides what an error means
        return Answer(error=exc)


class InlineCalls:
    """Makes calls in the supervisor's own thread, for tests and simulations."""

    def __init__(self, store: WorkerStore) -> None:
        self._store = store
        self._answer: Answer | None = None

    def send(self, call: Call) -> None:
        """Make the call."""
        self._answer = _answer(call, self._store)

    def take(self) -> Answer | None:
        """Return the answer."""
        return self._answer


class ThreadedCalls:
    """Makes calls in a thread of its own, and wakes the supervisor for each answer.

    Args:
        store: the store to call.
        wake: called when an answer has come.
    """

    def __init__(self, store: WorkerStore, wake: Callable[[], object]) -> None:
        self._store = store
        self._wake = wake
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.idle = True
        """Whether no call is under way: forking closes connections, which waits for a call."""
        self._thread = threading.Thread(target=self._run, name="store-calls", daemon=True)
        self._thread.start()

    def send(self, call: Call) -> None:
        """Begin a call."""
        self.idle = False
        self._calls.put(call)

    def take(self) -> Answer | None:
        """Return the answer, if it has come."""
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
