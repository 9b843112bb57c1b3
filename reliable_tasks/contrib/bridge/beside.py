"""Processes beside others: what ends them, and how they begin."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, Protocol

from reliable_tasks import events
from reliable_tasks.core import clock, ids
from reliable_tasks.core.waker import SignalInbox
from reliable_tasks.store.values import SessionInfo
from reliable_tasks.worker.host import host_identity, process_started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliable_tasks.core.context import AppContext

__all__ = [
    "AtSignal",
    "Stop",
    "WithParent",
    "end",
    "forked",
    "has_ended",
    "listening",
    "own_session",
]

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_PATIENCE_S, _TICK_S = 10.0, 0.01
_GLANCE_S: Final = 1.0  # nothing tells a process that its parent is gone


def own_session(name: str, queue: str) -> SessionInfo:
    """A new session of this process, which claims from one queue."""
    pid = os.getpid()
    return SessionInfo(
        id=ids.new_id(),
        worker=name,
        host=host_identity(),
        pid=pid,
        pid_started=process_started(pid),
        queues=(queue,),
    )


class Stop(Protocol):
    """What tells a loop to end, such as a `threading.Event`."""

    def is_set(self) -> bool:
        """Whether it is to end."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for that, for at most `timeout` seconds."""
        ...


class AtSignal:
    """Says when to stop: at a signal."""

    def __init__(self, inbox: SignalInbox) -> None:
        self._inbox = inbox

    def is_set(self) -> bool:
        """Whether it is to end."""
        return bool(self._inbox.came)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for that, for at most `timeout` seconds."""
        until = clock.monotonic() + (_GLANCE_S if timeout is None else timeout)
        while not self.is_set() and (left_s := until - clock.monotonic()) > 0:
            if self._inbox.wait(min(left_s, _GLANCE_S)):
                self._inbox.clear()  # another signal, such as that of a child which has ended
        return self.is_set()


class WithParent(AtSignal):
    """Says when to stop: at a signal, or when the parent is gone."""

    def __init__(self, inbox: SignalInbox, parent: int) -> None:
        super().__init__(inbox)
        self._parent = parent

    def is_set(self) -> bool:
        """Whether it is to end."""
        return super().is_set() or os.getppid() != self._parent


def forked(app: AppContext, main: Callable[[], int]) -> int:
    """Run a function in a child process; returns that process's number.

    The function gets its signals once it has a `SignalInbox`: see `listening`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    app.close()  # no connection crosses a fork
    # The handlers of the parent, which the fork copies, would swallow what comes too early.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid:  # also where the system has no room for it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)  # the parent's
        code = main()
    except BaseException as exc:  # noqa: BLE001 - nothing may unwind into the parent's stack
        events.emit("child.crashed", pid=os.getpid(), error=repr(exc))
        sys.excepthook(type(exc), exc, exc.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextlib.contextmanager
def listening(parent: int | None = None) -> Iterator[Stop]:
    """Within the block, the signals that end a process are collected.

    Args:
        parent: a process whose end is one more reason to stop.
    """
    with contextlib.closing(SignalInbox(STOPPING)) as inbox:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        yield AtSignal(inbox) if parent is None else WithParent(inbox, parent)


def end(pid: int) -> None:
    """End a child that may be killed at any time: ask it first, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(pid, signal.SIGTERM)
        until = clock.monotonic() + _PATIENCE_S
        while not has_ended(pid):
            if clock.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            clock.sleep(_TICK_S)


def has_ended(pid: int) -> bool:
    """Whether a child has ended."""
    try:
        # gevent puts another waitpid there, which tells nothing while its loop does not run.
        return os.wait4(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # somebody else has waited for it
        return True
