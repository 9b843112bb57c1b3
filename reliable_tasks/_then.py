"""`AsyncResult.then`: the thread that waits for results and calls back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .result import AsyncResult

__all__ = ["watcher"]

_LONGEST_WAIT_S = 1.0  # a notification that went missing costs no more than this


class Watcher:
    """One thread of an app that waits for results which somebody called `then` on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[AsyncResult[Any], Callable[[Any], Any], Any]] = []
        self._thread: threading.Thread | None = None

    def add(self, result: AsyncResult[Any], callback: Callable[[Any], Any], on_error: Any) -> None:
        with self._lock:
            self._waiting.append((result, callback, on_error))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="reliable_tasks.then")
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                waiting = list(self._waiting)
                if not waiting:
                    self._thread = None
                    return
            for item in waiting:
                result, callback, on_error = item
                if result.ready():
                    with self._lock:
                        self._waiting.remove(item)
                    chosen = callback if result.successful() or on_error is None else on_error
                    chosen(result)
            with self._lock:
                seen = {r.id: r.version for r, _, _ in self._waiting}
                app = self._waiting[0][0].app if self._waiting else None
            if app is not None:
                app.store.wait(seen, _LONGEST_WAIT_S, ended=True)


watcher = Watcher()
