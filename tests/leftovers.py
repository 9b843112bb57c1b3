"""A test ends what it started: processes, threads, and objects that complain when collected.

What a test leaves behind disturbs another one, and that one is blamed. So orphans of a test's
processes become children of ours, and after each test what is left is ended and named.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ALLOWED",
    "adopt_orphans",
    "check_collected",
    "hear_signals",
    "no_threads_left",
    "nothing_left",
]

ALLOWED: set[int] = set()
"""Processes that may outlive a test: servers of the session."""

_PR_SET_CHILD_SUBREAPER: Final = 36
_OF_PYTHON: Final = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def hear_signals() -> None:
    """Undo that signals are ignored, which every process of ours would inherit."""
    usual = {signal.SIGINT: signal.default_int_handler}
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual.get(number, signal.SIG_DFL))


def adopt_orphans() -> None:
    """Let orphans of our processes become our children, where the system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Raise AssertionError if processes that began within the block outlive it; they are killed."""
    before = _living()
    yield
    deadline = time.monotonic() + PATIENCE_S
    left = _left(before)
    while left and time.monotonic() < deadline:  # one that ends now has been told to
        time.sleep(0.01)
        left = _left(before)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left, f"the test left processes behind: {left}"


@contextlib.contextmanager
def no_threads_left() -> Iterator[None]:
    """Raise AssertionError if threads that began within the block outlive it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE_S
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))  # one that ends now has been told to
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not left, f"the test left threads behind: {left}"


def check_collected() -> None:
    """Collect garbage, so that what complains of its end does so in the test that made it."""
    gc.collect()
    gc.freeze()  # what is left has been looked at: the next time costs what is new alone


def _left(before: set[int]) -> dict[int, str]:
    found = {pid: _command(pid) for pid in _living() - before - ALLOWED}
    return {pid: words for pid, words in found.items() if not _is_pythons(words)}


def _is_pythons(words: str) -> bool:
    return any(name in words for name in _OF_PYTHON)


def _living() -> set[int]:
    """Our children that have not ended."""
    found = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # that thread has ended
            found |= {int(word) for word in path.read_text().split()}
    return {pid for pid in found if _state(pid) not in "ZX"}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return " ".join(word.decode(errors="replace") for word in words if word)
