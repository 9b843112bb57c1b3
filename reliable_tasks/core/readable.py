"""Wait for a file descriptor of any number: `select` refuses those above 1023."""

import errno
import os
import select

__all__ = ["readable"]


def readable(fd: int, timeout_s: float) -> bool:
    """Block until a descriptor is readable, for at most `timeout_s` seconds; returns whether it is.

    Raises:
        OSError: the descriptor is not open.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    found = poll.poll(max(0.0, timeout_s) * 1000)
    if found and found[0][1] & select.POLLNVAL:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return bool(found)
