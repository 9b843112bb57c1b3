"""A thread that is there when it is needed: it works when it is asked to, and rests in between.

To wake a thread that rests takes half as long as a turn of an executor.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Standby"]

_REST_S = 5.0
_all: weakref.WeakSet[Standby] = weakref.WeakSet()
os.register_at_fork(after_in_child=_all.clear)  # a fork has none of its parent's threads


class Standby:
    """Does one thing whenever it is asked to, in a thread of its own, which ends after a long rest.

    The program may end while it rests; what it was asked for is done before.

    Args:
        name: of the thread.
        work: what it does; raises nothing.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked: SimpleQueue[bool] = SimpleQueue()
        _all.add(self)

    def ask(self) -> None:
        """Let it work once more, beginning after now.

        Raises:
            RuntimeError: no thread can be started: the interpreter ends.
        """
        with self._lock:
            if self._thread is None:
                asked = SimpleQueue[bool]()
                thread = threading.Thread(
                    target=self._run, args=(asked,), name=self._name, daemon=True
                )
                thread.start()
                self._thread, self._asked = thread, asked
            self._asked.put(True)

    def close(self) -> None:
        """End the thread, once it has done what it was asked for; the next call starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._asked.put(False)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, asked: SimpleQueue[bool]) -> None:
        while self._goes_on(asked):
            self._work()

    def _goes_on(self, asked: SimpleQueue[bool]) -> bool:
        try:
            return asked.get(timeout=_REST_S)
        except Empty:
            with self._lock:
                if asked.empty():
                    self._thread = None
                    return False
            return asked.get()


@atexit.register
def _finish() -> None:
    for standby in list(_all):
        standby.close()
