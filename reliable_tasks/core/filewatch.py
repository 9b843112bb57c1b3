"""Wake those who wait for something in a file: by inotify, where the system has it.

Whoever has changed something calls `tell`, which sets a file's times; whoever sleeps on a `Watch`
of that file wakes. A call may be missing (its process was killed just before), so nobody may rely
on being told.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
from typing import TYPE_CHECKING, Final

from reliable_tasks.core.readable import readable

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Iterator

__all__ = ["Watch", "Watches", "tell"]

_ATTRIB, _DELETE_SELF, _MOVE_SELF = 0x4, 0x400, 0x800  # of linux/inotify.h
_MASK: Final = _ATTRIB | _DELETE_SELF | _MOVE_SELF
_NOT_OURS: Final = (errno.EBADF, errno.EINVAL)
_SPARE_MOST: Final = 8


def tell(path: str) -> None:
    """End the sleep of all processes on this machine that watch the file."""
    with contextlib.suppress(OSError):  # they look by themselves as well, if more seldom
        os.utime(path)


class Watch:
    """One thread's watch of some files.

    Attributes:
        fd: readable when something was told of one of them.

    Raises:
        OSError: the system has none, or no more of them.
    """

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.fd = -1
        self._paths = paths
        self._pid = os.getpid()
        self.fd = _checked(_libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def renew(self) -> None:
        """Forget what was told so far, and watch what has the paths now.

        To be called before a look: what is told after that ends the next sleep.

        Raises:
            OSError: there is no such file, or no watching it.
        """
        if self._pid != os.getpid():  # it is the parent's, who would miss what we read
            raise _error(errno.EBADF)
        try:
            for path in self._paths:
                _checked(_libc().inotify_add_watch(self.fd, os.fsencode(path), _MASK))
        except OSError as error:
            if error.errno in _NOT_OURS:  # closed by a body; the number may be another file's now
                self.fd = -1
            raise
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)

    def works(self) -> bool:
        """Whether what is told arrives: some file systems take a watch and say nothing."""
        for path in self._paths:
            self.renew()
            tell(path)
            if not readable(self.fd, 0):
                return False
        return True

    def close(self) -> None:
        """Stop watching."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


class Watches:
    """The watches of some files with which the threads of a process wait.

    Each is used many times: to end one may take the system milliseconds.

    Args:
        paths: of the files; none for what cannot be watched.
        in_vain: told why there can be no watch, each time.
    """

    def __init__(self, paths: tuple[str, ...], in_vain: Callable[[str], object]) -> None:
        self._paths = paths if sys.platform == "linux" else ()
        self._spare: list[Watch] = []
        self._in_vain = in_vain

    @contextlib.contextmanager
    def lent(self) -> Iterator[Watch | None]:
        """A watch, to be renewed; None where there is none."""
        watch = self._spare_one() or self._new_one()
        try:
            yield watch
        finally:
            if watch is not None and watch.fd >= 0:
                if len(self._spare) < _SPARE_MOST:
                    self._spare.append(watch)
                else:
                    watch.close()

    def close(self) -> None:
        """Close those that nobody uses just now; who waits after that gets others."""
        self._spare.clear()

    def _spare_one(self) -> Watch | None:
        while self._spare:
            with contextlib.suppress(IndexError, OSError):  # another thread's now, or of no use
                watch = self._spare.pop()
                watch.renew()  # it may have been closed meanwhile
                return watch
        return None

    def _new_one(self) -> Watch | None:
        if not self._paths:
            return None
        try:
            watch = Watch(self._paths)
            works = watch.works()
        except FileNotFoundError:  # which whoever looks at it will tell
            return None
        except OSError as error:
            self._in_vain(f"inotify: {error}")
            return None
        if not works:
            self._in_vain("its file system does not tell of changes")
            return None
        return watch


@functools.cache
def _libc() -> ctypes.CDLL:
    import ctypes  # noqa: PLC0415 - a program that waits for nothing needs none

    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        import ctypes  # noqa: PLC0415 - as above

        raise _error(ctypes.get_errno())
    return result


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
