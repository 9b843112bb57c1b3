"""Wait until a look at a file finds something: told by whoever writes, and looking anyway.

Where files cannot be watched, looking is all there is: every few milliseconds, so it has to be
cheap. Whoever waits sleeps on a descriptor of the caller's as well.
"""

from __future__ import annotations

import math
import select
from typing import TYPE_CHECKING, Final

from reliable_tasks.core import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.filewatch import Watch, Watches

__all__ = ["UNHURRIED_PAUSE_S", "wait_until"]

SHORTEST_PAUSE_S: Final = 0.001
LONGEST_PAUSE_S: Final = 0.005
UNHURRIED_PAUSE_S: Final = 0.05
LOOK_SHARE: Final = 10
"""Looking takes at most one part in so many of the time."""
UNTOLD_PAUSE_S: float = 1.0
"""How late a change is noticed of which nobody told: its writer died, or is not one of us."""
FIRST_REST_S: Final = 0.00025


def wait_until(
    look: Callable[[], bool],
    changed: Callable[[], bool],
    timeout: float,
    watches: Watches,
    wake_fd: int = -1,
    due_in_s: Callable[[], float] = lambda: math.inf,
    *,
    longest_pause_s: float = LONGEST_PAUSE_S,
) -> bool:
    """Call `look` again and again until it is true.

    Args:
        look: says whether to stop waiting.
        changed: whether anything was committed since it was asked last; cheap.
        timeout: seconds after which to give up.
        watches: of the files by which one is told.
        wake_fd: a descriptor that ends the waiting when it is readable; -1 for none.
        due_in_s: in how many seconds to look in any case; asked after each look.
        longest_pause_s: how late a change may be noticed that follows many others.

    Returns:
        False when the time passed.
    """
    deadline = clock.monotonic() + timeout
    changed()
    if look():
        return True
    if timeout <= 0:
        return False
    with watches.lent() as watch:
        sleep = _Sleep(wake_fd, watch, longest_pause_s)
        while True:
            began = clock.monotonic()
            sleep.renew()
            if (sleep.was_told or due_in_s() <= 0 or changed()) and look():
                return True
            now = clock.monotonic()
            if now >= deadline:
                return False
            if sleep.ended_by_caller(now - began, min(deadline - now, due_in_s())):
                return True


class _Sleep:
    """The sleep between two looks.

    Attributes:
        was_told: whether somebody who wrote ended the last one.
    """

    def __init__(self, wake_fd: int, watch: Watch | None, longest_s: float) -> None:
        self.was_told = False
        self._wake_fd, self._watch = wake_fd, watch
        self._caller = _poller(wake_fd)
        self._told = _poller(wake_fd, -1 if watch is None else watch.fd)
        self._longest_s = longest_s
        self._pause_s = 0.0

    def renew(self) -> None:
        """Be woken by what is told from now on; where that cannot be, look often."""
        if self._watch is not None:
            try:
                self._watch.renew()
            except OSError:
                self._watch = None

    def ended_by_caller(self, looking_s: float, left_s: float) -> bool:
        """Sleep; returns whether the caller's descriptor ended it.

        Args:
            looking_s: how long the look took that found nothing.
            left_s: for how long to sleep at most.
        """
        self.was_told = False
        if self._watch is None:
            self._pause_s = min(max(SHORTEST_PAUSE_S, self._pause_s * 1.5), self._longest_s)
            return self._rest(min(max(self._pause_s, LOOK_SHARE * looking_s), left_s))
        # The more often one was told in vain, the longer one looks at nothing.
        if self._pause_s and self._rest(min(max(self._pause_s, looking_s), left_s)):
            return True
        began = clock.monotonic()
        ended_by = self._told.poll(max(0.0, min(left_s - self._pause_s, UNTOLD_PAUSE_S)) * 1000)
        if clock.monotonic() - began > self._longest_s:
            self._pause_s = 0.0
        else:
            self._pause_s = min(self._pause_s * 2 or FIRST_REST_S, self._longest_s)
        self.was_told = bool(ended_by)
        return any(fd == self._wake_fd for fd, _ in ended_by)

    def _rest(self, span_s: float) -> bool:
        if self._wake_fd < 0:
            clock.sleep(max(0.0, span_s))  # finer than a poll
            return False
        return bool(self._caller.poll(max(0.0, span_s) * 1000))


def _poller(*fds: int) -> select.poll:
    poller = select.poll()  # select() refuses descriptors beyond 1023
    for fd in fds:
        if fd >= 0:
            poller.register(fd, select.POLLIN)
    return poller
