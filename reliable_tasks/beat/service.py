"""The beat process: handles signals, sleeps, and retries around the scheduler."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING, Final

from reliable_tasks import events, signals
from reliable_tasks.core import clock
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.core.texts import printable
from reliable_tasks.core.waker import SignalInbox
from reliable_tasks.errors import StoreError

from .scheduler import Scheduler
from .sync import code_definitions, run_hooks, sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.context import AppContext

    from .definition import Definition

__all__ = ["beat_companion", "run_beat"]

_LONGEST_WAIT_S: Final = 60.0
_MEASURE_S: Final = 60.0
_ORPHAN_CHECK_S: Final = 1.0
_RESTORE_PAUSE_S: Final = 1.0
_BACKOFF: Final = Backoff(first_s=0.5, longest_s=15.0)
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class _Beat:
    """One beat: the loop around its scheduler."""

    def __init__(
        self,
        app: AppContext,
        code: dict[str, Definition],
        name: str,
        parent: int | None,
        inbox: SignalInbox,
    ) -> None:
        self._app = app
        self._code = code
        self._parent = parent
        self._inbox = inbox
        self._scheduler = Scheduler(
            app.store, name=name, stopping=lambda: bool(inbox.came), app=app
        )
        self._synced = False
        self._restore_at = 0.0
        self._lacking: frozenset[str] = frozenset()
        self._there: frozenset[str] | None = None
        self._ahead_ms = 0
        self._measure_at = 0.0
        self._failures = 0

    def run(self) -> None:
        while not self._inbox.came and not self._orphaned():
            try:
                wake_ms = self.turn()
                self._failures = 0
                self._wait(wake_ms)
            except StoreError as error:
                self._failures += 1
                pause_s = _BACKOFF.pause_s(self._failures)
                events.emit("beat.failed", error=str(error), delay=pause_s)
                self._rest(pause_s)

    def turn(self) -> int:
        """Do what is due now; returns when to come back."""
        if clock.monotonic() >= self._measure_at:
            self._measure()
        if not self._synced:
            sync(self._app, self._app.store, self._code, self._now_ms())
            self._synced = True
            self._scheduler.read_again()
        wake_ms = self._scheduler.step(self._now_ms())
        return wake_ms if self._has_its_entries() else self._now_ms()

    def _has_its_entries(self) -> bool:
        """Whether the store still has the entries of the code; if not, the next turn stores them.

        A store that came back empty has lost them all. If some are left, another beat with other
        code may have removed the rest, and the beat that started last is right.
        """
        there = self._scheduler.of_code
        if there is self._there:
            return True  # they have not been read again
        lacking = frozenset(self._code) - there
        empty = bool(self._code) and not there
        if empty and clock.monotonic() < self._restore_at:
            return True  # they were stored a moment ago: do not spin
        if lacking and (empty or lacking != self._lacking):
            events.emit("beat.lost", entries=sorted(lacking), restored=empty)
        self._lacking = lacking
        if not empty:
            self._there = there
        else:
            self._restore_at = clock.monotonic() + _RESTORE_PAUSE_S
            self._synced = False
        return not empty

    def _now_ms(self) -> int:
        return clock.now_ms() + self._ahead_ms

    def _measure(self) -> None:
        """Measure how far the store's clock is ahead; machines differ, so all beats go by that."""
        before_ms = clock.now_ms()
        store_ms = self._app.store.now_ms()
        self._ahead_ms = store_ms - (before_ms + clock.now_ms()) // 2
        self._measure_at = clock.monotonic() + _MEASURE_S

    def _wait(self, wake_ms: int) -> None:
        span_s = min((wake_ms - self._now_ms()) / 1000, _LONGEST_WAIT_S)
        if self._parent is not None:
            span_s = min(span_s, _ORPHAN_CHECK_S)
        if span_s > 0 and self._app.store.wait_for_entries(span_s, self._inbox.fd):
            self._scheduler.changed()

    def _rest(self, pause_s: float) -> None:
        until = clock.monotonic() + pause_s
        while not self._inbox.came and not self._orphaned():
            left_s = until - clock.monotonic()
            if left_s <= 0:
                return
            self._inbox.wait(min(left_s, _ORPHAN_CHECK_S))

    def _orphaned(self) -> bool:
        """Whether the worker that started this beat is gone."""
        return self._parent is not None and os.getppid() != self._parent


def run_beat(
    app: AppContext,
    *,
    name: str | None = None,
    parent: int | None = None,
    allow_unknown: bool = False,
) -> int:
    """Run a beat in this process until it is told to stop (TERM, INT, QUIT or HUP).

    While the store is away it keeps trying. Then it treats the slots that have passed as each
    entry's `catch_up` says.

    Args:
        app: the app whose schedule to fire.
        name: of this beat, for the log; several beats may share one.
        parent: the pid of our parent process: stop as well when it is gone.
        allow_unknown: let entries of the code name tasks that are not registered here.

    Returns:
        the exit code, 0.

    Raises:
        ConfigError: an entry of the code is not possible.
    """
    app.import_modules()
    run_hooks(app)
    code = code_definitions(app, clock.now_ms(), allow_unknown=allow_unknown)
    name = name or f"beat@{printable(socket.gethostname())}"
    with contextlib.closing(SignalInbox(_STOPPING)) as inbox:
        signals.beat_init.send(app)
        if parent is not None:
            signals.beat_embedded_init.send(app)
        events.emit("beat.started", beat=name, pid=os.getpid(), entries=len(code))
        _Beat(app, code, name, parent, inbox).run()
    events.emit("beat.stopped", beat=name, pid=os.getpid())
    app.close()
    return 0


def beat_companion(app: AppContext, *, allow_unknown: bool = False) -> Callable[[], int]:
    """The beat that a worker runs in a process of its own for `-B`; it ends with this process.

    Raises:
        ConfigError: an entry of the code is not possible; raised before anything runs.
    """
    app.import_modules()
    run_hooks(app)
    code_definitions(app, clock.now_ms(), allow_unknown=allow_unknown)
    return partial(run_beat, app, parent=os.getpid(), allow_unknown=allow_unknown)
