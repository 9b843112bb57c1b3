"""What is of a child and of no copy of it: bodies fork, by multiprocessing or in C, as they like.

A copy gets the signal handlers that a program has by default, and ends where it leaves the body.
"""

from __future__ import annotations

# Its look-up is asked for each message; that of `signal` searches an enumeration as well.
import _signal  # type: ignore[import-not-found]
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

__all__ = ["end_copy", "handle", "in_copies", "take_back"]

_NEEDED = (signal.SIGTERM, signal.SIGUSR1)
_handled: dict[int, Callable[[int, FrameType | None], None]] = {}
_forking = threading.local()


def handle(actions: Mapping[signal.Signals, Callable[[], object]]) -> None:
    """Do this on signals, in this process alone.

    Nothing is ignored, not even what is to have no effect: a program that a body starts would
    inherit that.
    """
    own = os.getpid()

    def act(number: int, _frame: FrameType | None) -> None:
        if os.getpid() == own:
            actions[signal.Signals(number)]()
        else:  # forked in C, where nobody has told us
            _by_default()
            os.kill(os.getpid(), number)

    for number in actions:
        _handled[number] = act
        signal.signal(number, act)
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through)
    in_copies(_by_default)
    in_copies(_let_through)


def take_back() -> None:
    """Put our handlers back where a body has left its own: the supervisor's words are for us."""
    for number in _NEEDED:
        act = _handled.get(number)
        if act is not None and _signal.getsignal(number) is not act:
            signal.signal(number, act)


def _hold_back() -> None:
    """Let no signal of ours come while this thread forks.

    Python forgets what reached a copy before it was told that it is one: a process that is
    terminated as soon as it is started would live on.
    """
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _handled)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def in_copies(call: Callable[[], object]) -> None:
    """Call this in each copy of the process that Python makes, and in copies of copies."""
    os.register_at_fork(after_in_child=call)


def _by_default() -> None:
    signal.set_wakeup_fd(-1)
    for number, act in _handled.items():
        if signal.getsignal(number) is act:  # a body may have set one of its own
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


def end_copy(error: BaseException | None) -> NoReturn:
    """End this process, a copy that a body has made of the child and that has left the body."""
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
