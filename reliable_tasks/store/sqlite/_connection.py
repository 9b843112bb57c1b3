"""The connection to one file: opened when needed, closed before a fork, guarded by one lock."""

import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from locks.files import make_file
from reliable_tasks import clock
from reliable_tasks.errors import StoreUnavailable

from . import _schema
from ._errors import store_error, translated
from ._stamp import Stamped, check_log, file_warnings, lacks_its_log

__all__ = ["MEMORY", "Database"]

MEMORY: Final = ":memory:"
CACHED_STATEMENTS: Final = 200
CACHE_KIB: Final = 16_384
CHECKPOINT_PAGES: Final = 4000
PAUSE_S: Final = 0.0005
LONG_PAUSE_S: Final = 0.002
SHORT_PAUSES: Final = 100
LAST_WAIT_S: Final = 1.0


class Database:
    """One SQLite file (or memory), as the threads of this process share it.

    Attributes:
        path: absolute path of the file, or `MEMORY`.
        commits: grows with each transaction that this process committed.
    """

    def __init__(
        self,
        path: str,
        *,
        namespace: str,
        busy_timeout_ms: int,
        synchronous: str,
        file_mode: int = 0o600,
    ) -> None:
        self.path = path
        self.commits = 0
        self._namespace = namespace
        self._busy_timeout_ms = busy_timeout_ms
        self._synchronous = synchronous
        self._file_mode = file_mode
        self._lacked_log = False
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._inode: tuple[int, int] | None = None
        if path != MEMORY:
            with _fork_mutex:
                _open_files.add(self)

    # Transactions ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """A transaction that holds the file's write lock; all of it is applied or nothing."""
        with self._alone(), translated(self.path, self._busy_timeout_ms):
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                if isinstance(connection, Stamped):
                    connection.begin()
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk or a failed write may already have ended the transaction.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self.commits += 1
            if isinstance(connection, Stamped) and connection.pending:
                connection.settle()

    @contextlib.contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """A consistent look at the file, which waits for no writer."""
        with self._alone(), translated(self.path, self._busy_timeout_ms):
            connection = self._opened()
            connection.execute("BEGIN")
            try:
                if isinstance(connection, Stamped):
                    connection.check_version()
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    def changes(self) -> tuple[int, int]:
        """Another value after anything was committed, by this process or another.

        As cheap as can be: a worker that waits asks some hundred times a second.
        """
        try:
            with self._alone():
                connection = self._connection or self._opened()
                version: Any = connection.execute("PRAGMA data_version").get
                return version, self.commits
        except apsw.Error as error:
            raise store_error(error, self.path, self._busy_timeout_ms) from error

    def warnings(self) -> list[str]:
        """What is to be known of the file, in plain words."""
        with self._alone(), translated(self.path, self._busy_timeout_ms):
            self._opened()
            return file_warnings(self.path, self._file_mode, lacked_log=self._lacked_log)

    # Opening and closing --------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        with self._alone():
            self._close()

    def close_at_exit(self) -> None:
        """Close the connection unless a thread that will never end its call has it."""
        if self._lock.acquire(timeout=LAST_WAIT_S):
            try:
                self._close()
            finally:
                self._lock.release()

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread at a time. Whoever waits for its turn comes before one who was just in.

        Without the turn a thread that writes without a pause could keep a fork waiting for ever.
        """
        with self._turn:
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def _opened(self) -> apsw.Connection:
        if self._inode is not None and not self._in_transaction():
            self._check_file()
        if self._connection is None:
            self._connection = self._open()
            self._inode = _inode(self.path)
        return self._connection

    def _check_file(self) -> None:
        """What is written to a file that was deleted or replaced would be lost."""
        found = _inode(self.path)
        if found == self._inode:
            return
        self._close()
        if found is None:
            raise StoreUnavailable(
                f"{self.path} was there and is gone: put the file back, or start again without it"
            )

    def _in_transaction(self) -> bool:
        return self._connection is not None and self._connection.in_transaction

    def _open(self) -> apsw.Connection:
        folder = Path(self.path).parent
        if self.path != MEMORY and not folder.is_dir():
            raise StoreUnavailable(f"{self.path} cannot be opened: make the directory {folder}")
        connection: apsw.Connection
        if self.path == MEMORY:
            connection = apsw.Connection(MEMORY, statementcachesize=CACHED_STATEMENTS)
        else:
            make_file(self.path, self._file_mode)
            check_log(self.path)
            self._lacked_log = lacks_its_log(self.path)
            connection = Stamped(self.path, _schema.VERSION, statementcachesize=CACHED_STATEMENTS)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: apsw.Connection) -> None:
        connection.set_busy_handler(_patience(self._busy_timeout_ms))
        if self.path != MEMORY:
            self._use_wal(connection)
            connection.pragma("synchronous", self._synchronous)
            connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("temp_store", "MEMORY")
        if _schema.prepare(connection, self.path, self._namespace) and self.path != MEMORY:
            # A copy of the file alone, made before the first checkpoint, would be an empty file.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _use_wal(self, connection: apsw.Connection) -> None:
        """Switch to the write-ahead log; SQLite does not wait by itself where others open too."""
        deadline = clock.monotonic() + self._busy_timeout_ms / 1000
        while True:
            try:
                connection.pragma("journal_mode", "wal")
            except apsw.BusyError:
                if clock.monotonic() >= deadline:
                    raise
                clock.sleep(LONG_PAUSE_S)
            else:
                return

    # Forks ----------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Wait for the verb that runs, and let no connection cross the fork."""
        with self._turn:
            self._lock.acquire()
        self._close()

    def after_fork(self) -> None:
        """Go on, in the process that forked."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """The threads that may hold or await the lock are not here."""
        self._lock = threading.Lock()
        self._turn = threading.Lock()


def _patience(timeout_ms: int) -> Callable[[int], bool]:
    """A busy handler: tries often, since writers hold the lock for a few milliseconds.

    SQLite's own sleeps up to 100 ms at a time, and the longest waiting comes last.
    """
    deadline = 0.0

    def wait(tries: int) -> bool:
        nonlocal deadline
        if tries == 0:
            deadline = clock.monotonic() + timeout_ms / 1000
        if clock.monotonic() >= deadline:
            return False
        clock.sleep(PAUSE_S if tries < SHORT_PAUSES else LONG_PAUSE_S)
        return True

    return wait


def _inode(path: str) -> tuple[int, int] | None:
    if path == MEMORY:
        return None
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


_open_files: weakref.WeakSet[Database] = weakref.WeakSet()
_forking: list[Database] = []
_fork_mutex = threading.Lock()


def _before_fork() -> None:
    _fork_mutex.acquire()
    _forking.extend(_open_files)
    for database in _forking:
        database.before_fork()


def _after_fork_in_parent() -> None:
    for database in _forking:
        database.after_fork()
    _forking.clear()
    _fork_mutex.release()


def _after_fork_in_child() -> None:
    for database in _forking:
        database.after_fork_in_child()
    _forking.clear()
    _fork_mutex.release()


@atexit.register
def _close_at_exit() -> None:
    """Close in good order what a program leaves open, so that its file is known to be whole."""
    for database in list(_open_files):
        database.close_at_exit()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
