"""Who took a lease, and whether that one can still give it back.

A lease belongs to its acquisition: to the token in the store, and here to the object that gave it.
Who took it matters for two things only. One who waits for what he has would wait for ever; and what
a thread or an event loop took that has ended since is not to be renewed on its behalf.
"""

import asyncio
import os
import threading
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from locks._renewal import Holding

__all__ = ["Taker", "known", "note", "taken_in", "taker"]

# By token, what this process holds: what the store names as its holder may be one's own.
_known: WeakValueDictionary[str, "Holding"] = WeakValueDictionary()

# The tokens that were taken in the calling context. A pool's thread serves one caller after
# another, each in a context of its own: it does not hold what it took for another one.
_taken_here: ContextVar[frozenset[str]] = ContextVar("locks_taken_here", default=frozenset())


@dataclass(frozen=True, slots=True, eq=False)
class Taker:
    """A thread or a task.

    Attributes:
        pid: of its process.
        thread: where the call was made.
        task: the task in which it was made, if any; also that of a call that blocks the loop.
        loop: the event loop of an asyncio lease.
    """

    pid: int
    thread: threading.Thread
    task: "asyncio.Task[Any] | None"
    loop: asyncio.AbstractEventLoop | None

    def is_same(self, other: "Taker") -> bool:
        """Whether both are one thread of this process or, in asyncio, one task."""
        if self.pid != other.pid:
            return False
        if self.loop is None and other.loop is None:
            return self.thread is other.thread
        return self.task is not None and self.task is other.task

    def keeps_waiting(self, waiter: "Taker", token: str) -> bool:
        """Whether `waiter` would wait for itself while this one has what `token` stands for."""
        if self.is_same(waiter):
            # In a thread without tasks the context tells one caller from another.
            return waiter.loop is not None or self.task is not None or token in _taken_here.get()
        if self.pid != waiter.pid or self.thread is not waiter.thread:
            return False
        if waiter.loop is None:
            return self.loop is not None  # it would block the loop that is to release it
        # Taken by a call beneath the event loop, which cannot go on before the loop has ended.
        return self.loop is None and self.task is None and token in _taken_here.get()

    def is_gone(self) -> bool:
        """Whether it can ask for nothing more: then anybody may speak for it."""
        if self.loop is None:
            return not self.thread.is_alive()
        return self.loop.is_closed() or self.task is None or self.task.done()

    def ending(self, *, in_block: bool) -> str | None:
        """How it ended so that nobody will give back what it took; None where somebody may.

        A thread may end in an open `with` block: that of a generator, which another thread goes on
        with. A task that has returned has handed its lease to whoever waited for it.
        """
        if self.loop is not None and self.loop.is_closed():
            return "the event loop that it was taken in is closed"
        if in_block:
            return None
        if not self.thread.is_alive():
            return "the thread that took it has ended"
        if self.loop is not None and self.task is not None and _failed(self.task):
            return "the task that took it has failed"
        return None


def taker(*, asynchronous: bool) -> Taker:
    """The caller."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    task = None if loop is None else asyncio.current_task(loop)
    return Taker(os.getpid(), threading.current_thread(), task, loop if asynchronous else None)


def note(holding: "Holding") -> None:
    """Remember what the caller has taken."""
    _known[holding.owner] = holding
    still = {token for token in _taken_here.get() if token in _known}
    _taken_here.set(frozenset(still | {holding.owner}))


def taken_in(context: Context) -> "list[Holding]":
    """What was taken in a context, and not in the caller's, of which it may be a copy."""
    tokens = context.get(_taken_here)
    if not tokens:
        return []
    tokens -= _taken_here.get()
    return [holding for token in tokens if (holding := _known.get(token)) is not None]


def known(token: str) -> "Holding | None":
    """What this process holds by that token."""
    return _known.get(token)


def _failed(task: "asyncio.Task[Any]") -> bool:
    """Whether the task ended by an error, without taking that for seen: asyncio reports it."""
    return task.done() and (task.cancelled() or getattr(task, "_exception", None) is not None)
