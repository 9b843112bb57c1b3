"""Wait by polling something cheap, asleep on the caller's descriptor in between."""

import select
from collections.abc import Callable
from typing import Final

from reliable_tasks.core import clock

__all__ = ["UNHURRIED_PAUSE_S", "wait_until"]

SHORTEST_PAUSE_S: Final = 0.001
LONGEST_PAUSE_S: Final = 0.005
UNHURRIED_PAUSE_S: Final = 0.05
LOOK_SHARE: Final = 10
"""Looking takes at most one part in so many of the time."""


def wait_until(
    look: Callable[[], bool],
    timeout: float,
    wake_fd: int = -1,
    longest_pause_s: float = LONGEST_PAUSE_S,
) -> bool:
    """Call `look` again and again until it is true.

    Args:
        look: says whether to stop waiting; cheap where nothing has changed.
        timeout: seconds after which to give up.
        wake_fd: a descriptor that ends the waiting when it is readable; -1 for none.
        longest_pause_s: how late what happens may be noticed.

    Returns:
        False when the time passed.
    """
    deadline = clock.monotonic() + timeout
    pause = SHORTEST_PAUSE_S
    sleep = _sleeper(wake_fd)
    while True:
        began = clock.monotonic()
        if look():
            return True
        now = clock.monotonic()
        if now >= deadline:
            return False
        pause = min(pause * 1.5, longest_pause_s)
        span = min(max(pause, LOOK_SHARE * (now - began)), deadline - now)
        if sleep(span):
            return True


def _sleeper(wake_fd: int) -> Callable[[float], object]:
    """Sleeps for a span in seconds; true when the descriptor became readable."""
    if wake_fd < 0:
        return clock.sleep
    poller = select.poll()  # select() refuses descriptors beyond 1023
    poller.register(wake_fd, select.POLLIN)
    return lambda span: poller.poll(span * 1000)
