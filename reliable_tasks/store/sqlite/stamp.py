"""The stamp in a file's header: it shows that a file and a log do not belong together.

SQLite keeps what was committed last in a log beside the file (`-wal`). It applies any log that lies
there to any file: to an older copy that was put back, which corrupts it. And a copy of the file
alone looks whole, though what was in the log is missing. SQLite has no number that would tell.

So the header's `user_version` holds, beside the version of the schema, a generation: odd while the
file is in use, even when it was closed in good order, and another one in each new log. Each
generation is written to the file only after all that belongs to the one before. A log says by its
first header which generations of the file it can follow. A backup has a generation of its own.
"""

import contextlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from reliable_tasks.core.ids import uniform
from reliable_tasks.errors import StoreError, StoreVersionError

__all__ = [
    "Stamped",
    "check_log",
    "file_warnings",
    "fresh_stamp",
    "is_ours",
    "lacks_its_log",
    "log_of",
    "version_of",
    "with_version",
]

APPLICATION_ID: Final = 0x52544B53  # "RTKS", in the file's header
GENERATIONS: Final = 1 << 23
LOG_HEADER: Final = 32
FRAME_HEADER: Final = 24
HEADER: Final = 100
LARGE_LOG: int = 256 << 20
READ_STAMP: Final = "PRAGMA user_version"


def version_of(stamp: int) -> int:
    """The version of the schema."""
    return stamp & 0xFF


def with_version(stamp: int, version: int) -> int:
    """The same generation, with another version of the schema."""
    return stamp & ~0xFF | version


def fresh_stamp(version: int) -> int:
    """The stamp of a new file or copy: of a generation that no other has."""
    return _stamp(int(uniform(0, GENERATIONS // 2)) * 2, version)


def _stamp(generation: int, version: int) -> int:
    return generation % GENERATIONS << 8 | version


def _next(stamp: int, *, in_use: bool) -> int:
    """A later generation, odd or even."""
    generation = (stamp >> 8) + 1
    if generation % 2 != in_use:
        generation += 1
    return _stamp(generation, version_of(stamp))


class Stamped(apsw.Connection):
    """A connection that keeps the stamp of its file.

    Attributes:
        pending: a stamp was written which is to reach the file itself, see `settle`.
    """

    def __init__(self, path: str, version: int, **options: Any) -> None:
        super().__init__(path, **options)
        self.pending = False
        self._version = version
        self._log = log_of(path)
        self._log_fd: int | None = None
        self._salts = self._stamped_salts = self._read_salts()
        self._pid = os.getpid()

    def check_version(self) -> int:
        """Look at the stamp, at the beginning of a transaction.

        Raises:
            StoreVersionError: a newer release has migrated the file since it was opened.
        """
        stamp: Any = self.execute(READ_STAMP).get
        if version_of(stamp) != self._version:
            raise StoreVersionError(
                f"{self.filename} was migrated to version {version_of(stamp)} of the schema while "
                f"this process, which knows {self._version}, had it open: restart it with the "
                "newer release"
            )
        return int(stamp)

    def begin(self) -> None:
        """Look at the stamp, and change it where it must be, in a transaction that writes."""
        stamp = self.check_version()
        salts = self._read_salts()
        is_first = not (stamp >> 8) % 2
        if is_first or salts != self._salts:
            self.execute(f"PRAGMA user_version = {_next(stamp, in_use=True)}")
            self._stamped_salts = salts
        self.pending = self.pending or is_first

    def committed(self) -> None:
        """The transaction was not undone, nor what `begin` has changed."""
        self._salts = self._stamped_salts
        if self.pending:
            self.settle()

    def settle(self) -> None:
        """Write what is in the log to the file, so that a copy of it says that there is a log."""
        self.pending = False
        # A reader may be in the way, or the disk be full: it is a help, no more.
        with contextlib.suppress(apsw.Error):
            self.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self, force: bool = False) -> None:
        """Close it; who closes last says in the stamp that nothing is missing."""
        path = self.filename
        if self._log_fd is not None:
            os.close(self._log_fd)
            self._log_fd = None
        super().close(force)
        # SQLite has deleted the log if nobody else has the file open.
        if path and self._pid == os.getpid() and not Path(self._log).exists():
            _sign_off(path)

    def _read_salts(self) -> bytes:
        """What is another in each new log."""
        try:
            if self._log_fd is None:
                self._log_fd = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._log_fd, 8, 16)
        except OSError:
            self._log_fd = None
            return b""


def _sign_off(path: str) -> None:
    """Let the stamp say that the file is not in use, unless it says so already."""
    if not (_generation_in_file(path) or 0) % 2:
        return
    # Whoever has opened it meanwhile is in the way, and will do the same.
    with contextlib.suppress(apsw.Error):
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        connection.transaction_mode = "IMMEDIATE"
        with contextlib.closing(connection), connection:
            stamp: Any = connection.execute(READ_STAMP).get
            if (stamp >> 8) % 2:
                connection.execute(f"PRAGMA user_version = {_next(stamp, in_use=False)}")


def check_log(path: str) -> None:
    """See, before SQLite applies it, that the log beside a file is the log of that file.

    Raises:
        StoreError: it is that of another state of the file.
    """
    for _ in range(3):  # others may be writing: what does not fit is looked at again
        generation = _generation_in_file(path)
        if generation is None or _fits(generation, _generations_in_log(log_of(path))):
            return
    log = log_of(path)
    raise StoreError(
        f"{log} is the log of another state of {path}, which would be damaged by it: was an older "
        f"file put back under the log of a newer one? Move {log} and {path}-shm away and start "
        "again, or put back the file that belongs to the log"
    )


def is_ours(path: str) -> bool:
    """Whether there is a file of a store."""
    return _generation_in_file(path) is not None


def lacks_its_log(path: str) -> bool:
    """Whether a file that is not open says that it is in use, and yet has no log."""
    generation = _generation_in_file(path)
    if generation is None or not generation % 2:
        return False
    try:
        return Path(log_of(path)).stat().st_size == 0
    except OSError:
        return True


def file_warnings(path: str, mode: int, *, lacked_log: bool) -> list[str]:
    """What there is to know of a file.

    Args:
        path: of the file.
        mode: the permissions that it was to have.
        lacked_log: what `lacks_its_log` said when it was opened.
    """
    found = []
    if lacked_log:
        found.append(
            f"{path} was in use when it was copied, or was closed by another program: if it is a "
            "copy, what stood in the log of the original is missing; `reliable-tasks backup` "
            "makes whole copies"
        )
    log = Path(log_of(path))
    if log.exists() and log.stat().st_size > LARGE_LOG:
        found.append(
            f"{log} has {log.stat().st_size >> 20} MiB: somebody has been reading an old state of "
            "the store for long, as a shell in the midst of a transaction does; look for who has "
            "it open (fuser -v), and end that"
        )
    others = stat.S_IMODE(Path(path).stat().st_mode) & 0o077 & ~mode
    if others:
        found.append(
            f"{path}, with the arguments and results in it, is open to other users of this "
            f"machine: chmod {mode:o} it and the -wal and -shm beside it, or set store_file_mode"
        )
    return found


def _fits(generation: int, in_log: Iterator[int]) -> bool:
    first = next(in_log, None)
    if first is None:
        return True
    # The log's first header is of the generation that began with it, or of the one before. The
    # file is of that, or of the last but one, which ended when the log began.
    if (generation - first + 2) % GENERATIONS <= 2:  # noqa: PLR2004 - see above
        return True
    distance = (generation - first) % GENERATIONS
    return any(distance <= (later - first) % GENERATIONS for later in in_log)


def _generation_in_file(path: str) -> int | None:
    """Of a file by itself, without its log; None where it is new, or not ours."""
    # By SQLite's own means: to close a file drops all locks that the process has on it.
    try:
        file = apsw.VFSFile("", path, [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])
        try:
            header = file.xRead(HEADER, 0) if file.xFileSize() >= HEADER else b""
        finally:
            file.xClose()
    except apsw.Error:  # which opening it as a database will tell in words
        return None
    return _generation_of(header)


def _generation_of(header: bytes) -> int | None:
    if len(header) < HEADER:
        return None
    stamp, application = struct.unpack(">I4xI", header[60:72])
    return stamp >> 8 if application == APPLICATION_ID else None


def _generations_in_log(log: str) -> Iterator[int]:
    """Those of the headers in a log, in its order."""
    try:
        file = Path(log).open("rb")  # noqa: SIM115 - closed below
    except OSError:
        return
    with file:
        begin = file.read(LOG_HEADER)
        if len(begin) < LOG_HEADER:
            return
        page_size, salts = struct.unpack(">I", begin[8:12])[0], begin[16:24]
        at = LOG_HEADER
        while len(frame := file.read(FRAME_HEADER)) == FRAME_HEADER and frame[8:16] == salts:
            at += FRAME_HEADER
            if frame[:4] == b"\x00\x00\x00\x01":
                generation = _generation_of(file.read(HEADER))
                if generation is not None:
                    yield generation
            at += page_size
            file.seek(at)


def log_of(path: str) -> str:
    """The path of a file's log, which SQLite puts beside the file itself, not a link to it."""
    return os.path.realpath(path) + "-wal"
