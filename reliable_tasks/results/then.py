"""Waiting for many results at once: for `await`, and for the callbacks of `then`.

One thread for each app waits for all of them, and ends with the last. What is awaited takes no
thread of its own, none of the event loop's executor, and nothing at all once it was cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from reliable_tasks.core import clock
from reliable_tasks.core.message import FINAL_STATES
from reliable_tasks.core.waker import Waker
from reliable_tasks.errors import ResultGone, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.results.wait import Handle

    Tell = Callable[[Exception | None], object]

__all__ = ["ended", "get_as_they_end", "then"]

_LONGEST_WAIT_S = 1.0  # a notification that went missing costs no more than this
_STORE_AWAY_S = 60.0  # how long a store may be away while somebody awaits a result
_STORE_PAUSE_S = 0.1
_WINDOW = 500  # handles that are watched at a time
_ROUND_S = 0.5  # how late an end may be noticed where there are more of them

_log = logging.getLogger(__name__)


class _Watch:
    """A waiter: whom to notify when a message has ended.

    Attributes:
        handle: on the message; knows its end when that is told.
        tell: called once, in the thread that waits: with None at the end, or with the error that
            makes waiting useless.
        patient: whether to wait for a store that is away, for as long as it takes.
        answered: whether the store was asked with success.
        over: nobody waits any more.
    """

    __slots__ = ("answered", "handle", "over", "patient", "tell")

    def __init__(self, handle: Handle, tell: Tell, *, patient: bool) -> None:
        self.handle = handle
        self.tell = tell
        self.patient = patient
        self.answered = self.over = False

    def end(self, error: Exception | None = None) -> None:
        """Notify the waiter once, whatever its callback raises."""
        if self.over:
            return
        self.over = True
        try:
            self.tell(error)
        except BaseException:  # noqa: BLE001 - logged
            # A user's callback failed in our thread; the other callbacks must still be called.
            _log.exception("what was called at the end of %s raised", self.handle.id)


class _Lookout:
    """The thread that waits for messages of one app. It opens the store, should nobody have."""

    def __init__(self, watcher: _Watcher, app: AppContext) -> None:
        self._watcher = watcher
        self._app = app
        self._waiting: list[_Watch] = []
        self._away_since: float | None = None
        self._waker = Waker()
        name = f"reliable_tasks.{watcher.name}"
        self.thread = threading.Thread(target=self._run, name=name, daemon=watcher.daemon)

    def add(self, watch: _Watch) -> None:
        """Add a waiter; called under the watcher's lock."""
        self._waiting.append(watch)
        self._waker.wake()

    def _run(self) -> None:
        while True:
            with self._watcher.lock:
                self._waiting = [watch for watch in self._waiting if not watch.over]
                if not self._waiting:
                    self._watcher.forget(self._app)
                    break
                window, rest = self._waiting[:_WINDOW], self._waiting[_WINDOW:]
                self._waiting = rest + window  # each in its turn
            try:
                self._look(window)
                self._sleep([watch for watch in window if not watch.over], len(rest))
                self._away_since = None
            except Exception as exc:  # noqa: BLE001 - told to those who wait; the others wait on
                self._failed(window, exc)
        self._waker.close()

    def _look(self, window: list[_Watch]) -> None:
        """Read the messages that had not ended, and notify the waiters of those that have."""
        ids = list(dict.fromkeys(watch.handle.id for watch in window))
        found = dict(zip(ids, self._app.store.read(ids), strict=True))
        for watch in window:
            watch.answered = True
            record = found[watch.handle.id]
            watch.handle.found(record)
            if record is not None and record.state in FINAL_STATES:
                watch.end()
            try:
                watch.handle.tell_if_gone()
            except ResultGone as gone:
                watch.end(gone)

    def _sleep(self, window: list[_Watch], others: int) -> None:
        """Sleep until a message may have ended or a waiter was added."""
        span_s = _ROUND_S * _WINDOW / others if others else _LONGEST_WAIT_S
        seen = {watch.handle.id: watch.handle.version for watch in window}
        if seen:
            self._app.store.wait(
                seen, min(span_s, _LONGEST_WAIT_S), ended=True, wake_fd=self._waker.fd
            )
        self._waker.clear()

    def _failed(self, window: list[_Watch], exc: Exception) -> None:
        """The store did not answer: fail the waiters that are not patient."""
        now = clock.monotonic()
        if self._away_since is None:
            self._away_since = now
            _log.warning("results are waited for in vain: %s", exc)
        lasts = now - self._away_since < _STORE_AWAY_S
        for watch in window:
            if watch.patient and isinstance(exc, StoreError):
                continue
            if not (watch.answered and lasts and isinstance(exc, StoreUnavailable)):
                watch.end(exc)
        clock.sleep(_STORE_PAUSE_S)


class _Watcher:
    """The lookouts of one kind.

    Args:
        name: of the kind.
        daemon: whether the program may end while somebody waits.
    """

    def __init__(self, name: str, *, daemon: bool) -> None:
        self.name = name
        self.daemon = daemon
        self._start_afresh()

    def _start_afresh(self) -> None:
        self.lock = threading.RLock()
        self._lookouts: dict[int, _Lookout] = {}
        self._pid = os.getpid()

    def add(self, watch: _Watch) -> None:
        """Add a waiter."""
        if self._pid != os.getpid():  # who waits in the process that this is a copy of waits there
            self._start_afresh()
        app = watch.handle.app
        with self.lock:
            lookout = self._lookouts.get(id(app))
            if lookout is None:
                lookout = _Lookout(self, app)
                lookout.thread.start()  # it ends by itself, should we come no further
                self._lookouts[id(app)] = lookout
            lookout.add(watch)

    def forget(self, app: AppContext) -> None:
        """Forget a thread that has no waiters left; called under the lock."""
        self._lookouts.pop(id(app), None)


_awaits = _Watcher("await", daemon=True)
_thens = _Watcher("then", daemon=False)


def then(
    handle: Handle,
    callback: Callable[[Any], object],
    on_error: Callable[[Any], object] | None,
) -> None:
    """Call back with a handle once its message has ended; the program stays alive until then."""

    def tell(error: Exception | None) -> None:
        if error is not None:
            raise error
        chosen = callback if handle.successful() or on_error is None else on_error
        chosen(handle)

    _thens.add(_Watch(handle, tell, patient=True))


def ended(handle: Handle) -> asyncio.Future[None]:
    """A future of the running loop that is done once a message has ended.

    Raises:
        ResultGone: out of the future: it was there, and is no more.
        StoreUnavailable: out of the future: the store could not be reached: at first, or later for
            a minute.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def tell(error: Exception | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody awaits it any more
            loop.call_soon_threadsafe(settle, error)

    watch = _Watch(handle, tell, patient=False)

    def forget(_: object) -> None:
        watch.over = True

    future.add_done_callback(forget)
    _awaits.add(watch)
    return future


async def get_as_they_end(handles: Iterable[Handle], *, propagate: bool = True) -> None:
    """Wait until all have ended; with `propagate` until one of them does in failure: it raises."""
    coming: asyncio.Queue[Handle] = asyncio.Queue()
    futures = {handle: ended(handle) for handle in handles}
    try:
        for handle, future in futures.items():
            future.add_done_callback(partial(_put, coming, handle))
        for _ in futures:
            handle = await coming.get()
            await futures[handle]
            if propagate:
                handle.get(disable_sync_subtasks=False)
    finally:
        for future in futures.values():
            future.cancel()


def _put(coming: asyncio.Queue[Handle], handle: Handle, _: asyncio.Future[None]) -> None:
    coming.put_nowait(handle)
