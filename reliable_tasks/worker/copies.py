"""Keep copies of a child from acting as workers: bodies may fork, with multiprocessing or in C.

A copy gets a program's default signal handlers, and ends where it leaves the body.
"""

from __future__ import annotations

# `take_back` runs for each message; `signal.getsignal` would search an enumeration as well.
import _signal  # type: ignore[import-not-found]
import mmap
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

__all__ = ["end_copy", "handle", "in_copies", "is_original", "take_back"]

_NEEDED = (signal.SIGTERM, signal.SIGUSR1)
_MADV_WIPEONFORK = 18  # of Linux; Python has no name for it
_handled: dict[int, Callable[[int, FrameType | None], None]] = {}
_needed: list[tuple[int, Callable[[int, FrameType | None], None]]] = []
_forking = threading.local()


def handle(actions: Mapping[signal.Signals, Callable[[], object]]) -> None:
    """Handle signals with these actions, in this process and in no copy of it.

    A signal that is to have no effect still gets a handler: ignoring it would be inherited by the
    programs that bodies start.
    """
    own = os.getpid()

    def act(number: int, _frame: FrameType | None) -> None:
        if os.getpid() == own:
            actions[signal.Signals(number)]()
        else:  # forked in C, which runs no at-fork hooks
            _by_default()
            os.kill(os.getpid(), number)

    for number in actions:
        _handled[number] = act
        signal.signal(number, act)
    _needed[:] = [(number, act) for number in _NEEDED if number in actions]
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through)
    in_copies(_by_default)
    in_copies(_let_through)


def take_back() -> None:
    """Restore our handlers if a body has replaced them: the supervisor's signals are for us."""
    for number, act in _needed:
        if _signal.getsignal(number) is not act:
            signal.signal(number, act)


def is_original() -> Callable[[], object]:
    """A function that is true in this process, and in no copy of it, whatever has forked that."""
    page, own = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), os.getpid()
    page[0] = 1
    try:
        page.madvise(_MADV_WIPEONFORK)  # so that no message costs a system call
    except OSError:  # not on Linux, or before 4.14
        return lambda: os.getpid() == own
    return partial(page.__getitem__, 0)


def _hold_back() -> None:
    """Block our signals while this thread forks.

    Python drops signals that reach a copy before its at-fork hooks have run. Without this, a
    process that is terminated as soon as it has been started would live on.
    """
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _handled)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def in_copies(call: Callable[[], object]) -> None:
    """Call this in every copy that Python forks of this process, and in copies of copies."""
    os.register_at_fork(after_in_child=call)


def _by_default() -> None:
    signal.set_wakeup_fd(-1)
    for number, act in _handled.items():
        if signal.getsignal(number) is act:  # a body may have set one of its own
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


def end_copy(error: BaseException | None) -> NoReturn:
    """End this process: a copy of the child that a body has forked and that has left the body."""
    code = 0
    try:
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            code = 1
            sys.excepthook(type(error), error, error.__traceback__)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)
