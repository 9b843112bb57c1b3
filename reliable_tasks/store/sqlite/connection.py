"""The connection to one file, and how it is set up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from locks.files import FILE_MODE, make_file
from locks.sqlite_file import MEMORY, Act, FileGone, ForkedInUse, Patience, SharedFile, use_wal
from reliable_tasks.core import interrupts
from reliable_tasks.errors import StoreError, StoreUnavailable
from reliable_tasks.store.sqlite import schema as _schema
from reliable_tasks.store.sqlite.errors import store_error
from reliable_tasks.store.sqlite.stamp import Stamped, check_log, file_warnings, lacks_its_log

__all__ = ["MEMORY", "Database"]

CACHED_STATEMENTS: Final = 200
CACHE_KIB: Final = 16_384
CHECKPOINT_PAGES: Final = 4000
T = TypeVar("T")


class Database:
    """One SQLite file (or memory), as the threads of this process share it.

    Attributes:
        path: absolute path of the file, or `MEMORY`.
        commits: grows with each transaction that this process has written.
    """

    def __init__(
        self,
        path: str,
        *,
        namespace: str,
        busy_timeout_ms: int,
        synchronous: str,
        file_mode: int = FILE_MODE,
    ) -> None:
        self.path = path
        self.commits = 0
        self._namespace = namespace
        self._busy_timeout_ms = busy_timeout_ms
        self._synchronous = synchronous
        self._file_mode = file_mode
        self._lacked_log = False
        self._file = SharedFile(path, self._open, settle=_settle)

    # Transactions ---------------------------------------------------------------------------------

    def write(self, act: Act[T]) -> T:
        """Call `act` in a transaction that holds the file's write lock: all of it or nothing.

        It is called again where its transaction had to give way to a call in its midst.
        """

        def counted(connection: apsw.Connection) -> T:
            self.commits += 1  # whoever compares it waits for the end of this
            if isinstance(connection, Stamped):
                connection.begin()
            return act(connection)

        return self._told(self._file.write, counted)

    def read(self, act: Act[T]) -> T:
        """Call `act` with a consistent look at the file, which waits for no writer."""

        def checked(connection: apsw.Connection) -> T:
            if isinstance(connection, Stamped):
                connection.check_version()
            return act(connection)

        return self._told(self._file.read, checked)

    def changes(self) -> tuple[int, int]:
        """Another value after anything was committed, by this process or another.

        As cheap as can be: a worker that waits asks some hundred times a second.
        """
        return self._told(self._file.use, self._changes)

    def _changes(self, connection: apsw.Connection) -> tuple[int, int]:
        version: Any = connection.execute("PRAGMA data_version").get
        return version, self.commits

    def warnings(self) -> list[str]:
        """What is to be known of the file, in plain words."""

        def look(_: apsw.Connection) -> list[str]:
            return file_warnings(self.path, self._file_mode, lacked_log=self._lacked_log)

        return self._told(self._file.use, look)

    @interrupts.whole
    def _told(self, how: Callable[[Act[T]], T], act: Act[T]) -> T:
        """The same, with the store's own errors."""
        try:
            return how(act)
        except apsw.Error as error:
            raise store_error(error, self.path, self._busy_timeout_ms) from error
        except FileGone:
            raise StoreUnavailable(
                f"{self.path} was there and is gone: put the file back, or start again without it"
            ) from None
        except ForkedInUse as error:
            raise StoreError(str(error)) from None

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        self._file.close()

    # Opening --------------------------------------------------------------------------------------

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
            self._lacked_log = self._lacked_log or lacks_its_log(self.path)
            connection = Stamped(self.path, _schema.VERSION, statementcachesize=CACHED_STATEMENTS)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: apsw.Connection) -> None:
        connection.set_busy_handler(Patience(self._busy_timeout_ms))
        if self.path != MEMORY:
            use_wal(connection, self._busy_timeout_ms)
            connection.pragma("synchronous", self._synchronous)
            connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("temp_store", "MEMORY")
        if _schema.prepare(connection, self.path, self._namespace) and self.path != MEMORY:
            # A copy of the file alone, made before the first checkpoint, would be an empty file.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _settle(connection: apsw.Connection) -> None:
    if isinstance(connection, Stamped):
        connection.committed()
