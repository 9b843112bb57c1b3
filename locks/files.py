"""Files that nobody else is to read."""

import contextlib
import os
import stat

__all__ = ["FILE_MODE", "make_file"]

FILE_MODE = 0o600


def make_file(path: str, mode: int = FILE_MODE) -> None:
    """Make an empty file with these permissions; one that is there keeps its own.

    SQLite gives a database's log and index the permissions of its file.
    """
    path = os.path.realpath(path)
    # Whatever else is wrong, SQLite will say when it opens it.
    with contextlib.suppress(OSError):
        try:
            # Without opening it: to close a file drops all locks that the process has on it.
            os.mknod(path, mode | stat.S_IFREG)
        except PermissionError:  # some systems let only root do that
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        os.chmod(path, mode)  # noqa: PTH101 - the umask has taken some away
