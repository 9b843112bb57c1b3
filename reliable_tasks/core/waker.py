"""Self-pipes: the way to end a thread's sleep, from another thread or from a signal handler."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from reliable_tasks.core.readable import readable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SignalInbox", "Waker"]


class Waker:
    """A pipe that a thread sleeps on.

    Attributes:
        fd: the end to wait on, for those that wait for something else as well.
    """

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_fd, False)

    def wake(self) -> None:
        """End the sleep, or the next one; from any thread, or from a signal handler."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._write_fd, b"!")

    def wait(self, timeout_s: float) -> bool:
        """Sleep for at most `timeout_s` seconds; returns whether somebody ended it."""
        return readable(self.fd, timeout_s)

    def clear(self) -> None:
        """Reset after waking."""
        with contextlib.suppress(BlockingIOError):  # empty, which is what it is read for
            while os.read(self.fd, 512):
                pass

    def close(self) -> None:
        """Close both ends; nobody may sleep on it any more."""
        os.close(self.fd)
        os.close(self._write_fd)


class SignalInbox(Waker):
    """Collects signals, and wakes the loop that acts on them. Made in the main thread.

    A handler that does no more than this cannot interrupt anything half-way.

    Args:
        numbers: the signals to collect.

    Attributes:
        came: those that have come, in order; the loop takes them out.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        super().__init__()
        self.came: list[int] = []
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        self._fd_before = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)

    def _note(self, number: int, _frame: object) -> None:
        self.came.append(number)

    def close(self) -> None:
        """Put the handlers back that were there before."""
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        super().close()
