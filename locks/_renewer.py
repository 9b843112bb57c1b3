"""The thread that renews all of a process's leases, and those that ask the stores for it.

It is not the holders': a body that blocks its event loop, or waits for long, keeps its lease. It
never waits for a store, so that the end of each lease is told in time even while calls hang: calls
are made by threads that live as long as there is something to ask. A fork has neither, and starts
its own; it is told by the process's id, whoever forked.
"""

import contextlib
import heapq
import itertools
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final

from locks import _clock
from locks._backend import Backend
from locks._renewal import Renewal, Step

__all__ = ["forget", "watch"]

_log = logging.getLogger("locks")

# How long the thread waits at most: it looks for calls that hang, and ends when nothing is left.
_LONGEST_WAIT_S: Final = 1.0
# A call that takes longer does not keep the others of its store waiting, up to so many of them.
_HANGS_AFTER_S: Final = 1.0
_MOST_CALLERS: Final = 4
_RETRY_S: Final = 0.5


class _Line:
    """The renewals of one store that are due, and the threads that ask it."""

    def __init__(self, done: Callable[[Renewal], None]) -> None:
        self._done = done
        self._waiting: deque[Renewal] = deque()
        self._callers: dict[threading.Thread, float] = {}
        self._mutex = threading.Lock()

    def add(self, renewal: Renewal) -> None:
        self._waiting.append(renewal)
        self.serve()

    def serve(self) -> bool:
        """See to it that somebody calls for what waits; whether there is anything to do."""
        with self._mutex:
            now = _clock.monotonic()
            stuck = all(now - began > _HANGS_AFTER_S for began in self._callers.values())
            if self._waiting and stuck and len(self._callers) < _MOST_CALLERS:
                caller = threading.Thread(target=self._run, name="locks-caller", daemon=True)
                self._callers[caller] = now
                try:
                    caller.start()
                except RuntimeError:  # no thread can be had now: it is tried again in a moment
                    del self._callers[caller]
            return bool(self._waiting or self._callers)

    def _run(self) -> None:
        connected: dict[object, Backend] = {}
        with contextlib.ExitStack() as stack:

            def opened(renewal: Renewal) -> Backend:
                if renewal.origin not in connected:
                    connected[renewal.origin] = stack.enter_context(renewal.connect())
                return connected[renewal.origin]

            while (renewal := self._next()) is not None:
                try:
                    renewal.call(partial(opened, renewal))
                except BaseException as error:  # noqa: BLE001 - a client of the user's may raise all
                    _log.exception("renewal of %s failed", renewal.holding.words)
                    renewal.holding.lose(f"its renewal failed: {error!r}")
                renewal.calling = False
                self._done(renewal)

    def _next(self) -> Renewal | None:
        me = threading.current_thread()
        with self._mutex:
            if self._waiting:
                self._callers[me] = _clock.monotonic()
                return self._waiting.popleft()
            del self._callers[me]
            return None


class _Renewer:
    """The renewals of this process, in one thread that is there as long as there are any."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._mutex = threading.RLock()
        self._news: queue.SimpleQueue[Renewal] = queue.SimpleQueue()
        self._renewals: dict[str, Renewal] = {}
        self._thread: threading.Thread | None = None
        self._lines: dict[Hashable, _Line] = {}
        self._heap: list[tuple[float, int, Renewal]] = []
        self._numbers = itertools.count()

    def watch(self, renewal: Renewal) -> None:
        renewal.holding.on_news = lambda: self._news.put(renewal)
        with self._mutex:
            self._renewals[renewal.holding.owner] = renewal
            self._news.put(renewal)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="locks-renewer", daemon=True)
                try:
                    self._thread.start()
                except BaseException:
                    self.forget(renewal.holding.owner)
                    raise

    def forget(self, token: str) -> None:
        self._renewals.pop(token, None)

    def _run(self) -> None:
        while not self._idle():
            try:
                self._turn()
            except BaseException as error:  # noqa: BLE001 - see below
                # Whatever broke here, the holders must hear that nobody renews any more.
                _log.exception("the renewal of locks broke")
                for renewal in list(self._renewals.values()):
                    self.forget(renewal.holding.owner)
                    renewal.holding.lose(f"its renewal failed: {error!r}")
                    _tell(renewal)

    def _idle(self) -> bool:
        with self._mutex:
            if self._thread is not threading.current_thread():
                return True  # another took over
            if self._renewals:
                return False
            self._thread = None
            self._heap.clear()
            return True

    def _turn(self) -> None:
        """Wait for news or for the first that is due, and serve what is due then."""
        due = self._heap[0][0] if self._heap else _clock.monotonic() + _LONGEST_WAIT_S
        wait_s = max(0.0, min(_LONGEST_WAIT_S, due - _clock.monotonic()))
        with contextlib.suppress(queue.Empty):
            self._plan(self._news.get(timeout=wait_s))
            while True:
                self._plan(self._news.get_nowait())
        now = _clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, renewal = heapq.heappop(self._heap)
            if due == renewal.due and renewal.holding.owner in self._renewals:
                self._serve(renewal, now)
        self._lines = {key: line for key, line in self._lines.items() if line.serve()}

    def _plan(self, renewal: Renewal) -> None:
        """Note when it is due; what is known to be lost, at once."""
        if renewal.holding.reason is not None:
            renewal.due = 0.0
        heapq.heappush(self._heap, (renewal.due, next(self._numbers), renewal))
        if len(self._heap) > 2 * len(self._renewals) + 64:  # most have been released long ago
            self._heap = [item for item in self._heap if item[2].holding.owner in self._renewals]
            heapq.heapify(self._heap)

    def _serve(self, renewal: Renewal, now: float) -> None:
        step = renewal.step(now)
        if step in {Step.TELL, Step.END}:
            self.forget(renewal.holding.owner)
            if step is Step.TELL:
                _tell(renewal)
            return
        self._plan(renewal)
        if step is Step.RENEW:
            store = renewal.origin[0]
            if store not in self._lines:
                self._lines[store] = _Line(self._news.put)
            self._lines[store].add(renewal)


def _tell(renewal: Renewal) -> None:
    holding = renewal.holding
    _log.warning("%s", holding.lost_error())
    renewal.lease._on_lost()  # noqa: SLF001 - its own lease
    call = holding.options.on_lost
    if call is None:
        return

    def tell() -> None:
        try:
            call(renewal.lease)
        except BaseException:  # noqa: BLE001 - the user's; there is nobody else to tell
            _log.exception("on_lost of %s failed", holding.words)

    # In a thread of its own: it may take its time, and other leases are to be renewed meanwhile.
    try:
        threading.Thread(target=tell, name="locks-on-lost", daemon=True).start()
    except RuntimeError:  # no thread can be had, and the loss is to be told
        tell()


_renewer = _Renewer()


def _mine() -> _Renewer:
    global _renewer  # noqa: PLW0603 - one for each process
    if _renewer.pid != os.getpid():
        _renewer = _Renewer()
    return _renewer


def watch(renewal: Renewal) -> None:
    """Renew a lease until it ends, and tell its holder of its loss."""
    _mine().watch(renewal)


def forget(token: str) -> None:
    """End the renewal of a lease that was given back."""
    _mine().forget(token)
