"""What must not cross a fork, and how one is noticed, whoever forked.

Python runs its at-fork hooks where Python itself forks. A server written in C (uWSGI) forks without
them, or runs only those for the child. So there are both: hooks, by which a fork waits for the call
that runs in another thread, and the process's id, which every use compares.
"""

import os
import threading
import weakref
from typing import Protocol

__all__ = ["Forked", "check", "watch", "watched"]


class Forked(Protocol):
    """Something that a fork would copy in a state that is of no use to the copy."""

    def before_fork(self) -> None:
        """Let the call that runs in another thread end, begin no new one."""

    def after_fork(self) -> None:
        """Go on, in the process that forked (also where `before_fork` was interrupted)."""

    def forked(self) -> None:
        """Drop what is the parent's; the threads of the parent are not here. May be repeated."""


# Single operations on a dict are atomic: no lock that a fork could copy while it is held.
_watched: dict[int, "weakref.ref[Forked]"] = {}
_turns: dict[int, threading.Lock] = {}
_pid = os.getpid()


def watch(thing: Forked) -> None:
    """Tell `thing` of forks, as long as anything else refers to it."""
    key = id(thing)
    _watched[key] = weakref.ref(thing, lambda _: _watched.pop(key, None))


def check() -> None:
    """Put right what a fork has copied, if this process is a copy; to be called before each use."""
    if os.getpid() != _pid:
        _put_right()


def _put_right() -> None:
    global _pid  # noqa: PLW0603 - there is one process
    pid = os.getpid()
    with _turns.setdefault(pid, threading.Lock()):
        if pid != _pid:
            for thing in watched():
                thing.forked()
            _pid = pid


def watched() -> list[Forked]:
    """What is told of forks."""
    return [thing for known in list(_watched.values()) if (thing := known()) is not None]


def _before() -> None:
    for thing in watched():
        thing.before_fork()


def _after() -> None:
    for thing in watched():
        thing.after_fork()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=check)
