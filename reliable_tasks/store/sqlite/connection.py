"""The connection to one file, and how it is set up."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from locks.files import FILE_MODE, make_file
from locks.sqlite_file import (
    MEMORY,
    WRITES,
    Act,
    FileGone,
    ForkedInUse,
    Patience,
    SharedFile,
    interruption,
    set_up,
)
from reliable_tasks.core import interrupts
from reliable_tasks.errors import StoreError, StoreUnavailable
from reliable_tasks.store.sqlite import schema
from reliable_tasks.store.sqlite.errors import store_error
from reliable_tasks.store.sqlite.stamp import Stamped, check_log, file_warnings, lacks_its_log

__all__ = ["MEMORY", "Database"]

CACHED_STATEMENTS: Final = 200
HURRIED: Final = "HURRIED"
CACHE_KIB: Final = 16_384
LOG_PAGES: int = 4000
"""How long the log may get before whoever writes brings it to the file."""
FEW_LOG_PAGES: int = 1000
"""As above, for those whom nobody waits for."""
LOOK_EVERY: Final = 8
RESTART_PATIENCE_MS: Final = 100
PAGE_BYTES: Final = 4096
"""SQLite's own default."""
T = TypeVar("T")


class Database(SharedFile):
    """The store's SQLite file (or memory), with the store's own errors.

    Attributes:
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
        super().__init__(path, self._connect, begin=self._look, settle=self._settle)
        self.commits = 0
        self._namespace = namespace
        self._busy_timeout_ms = busy_timeout_ms
        self._synchronous = synchronous
        self._file_mode = file_mode
        self._lacked_log = False

    # Transactions ---------------------------------------------------------------------------------

    def _look(self, connection: apsw.Connection, writes: bool) -> None:
        self.commits += writes  # whoever compares it waits for the end of this transaction
        if isinstance(connection, Stamped):
            if writes:
                connection.begin()
            else:
                connection.check_version()

    @interrupts.whole
    def _alone(self, mode: str | None, act: Act[T]) -> T:
        try:
            return super()._alone(mode, act)
        except apsw.Error as error:
            raise store_error(error, self.path, self._busy_timeout_ms) from error
        except FileGone:
            raise StoreUnavailable(
                f"{self.path} was there and is gone: put the file back, or start again without it"
            ) from None
        except ForkedInUse as error:
            raise StoreError(str(error)) from None

    def write_if_free(self, act: Act[T]) -> T:
        """As `write`, but without waiting for another process that writes.

        Raises:
            StoreBusy: there is one.
        """
        return self.write(act) if self._mine else self._alone(HURRIED, act)

    def _transaction(self, connection: apsw.Connection, mode: str, act: Act[T]) -> T:
        if mode is not HURRIED:
            return super()._transaction(connection, mode, act)
        connection.set_busy_handler(None)
        try:
            return super()._transaction(connection, WRITES, act)
        finally:
            connection.set_busy_handler(self._patience)

    def _settle(self, connection: apsw.Connection) -> None:
        if isinstance(connection, Stamped):
            connection.committed()
            if self.commits % LOOK_EVERY == 0:
                self._shorten(connection, LOG_PAGES)

    def shorten_log(self, pages: int = 0) -> None:
        """Bring the log to the file early, and begin it anew: for those whom nobody waits for."""
        with contextlib.suppress(StoreError):  # it is a help, no more
            self.use(lambda connection: self._shorten(connection, pages or FEW_LOG_PAGES))

    def _shorten(self, connection: apsw.Connection, pages: int) -> None:
        """Bring the log to the file, and begin it anew, if so much of it is not there yet.

        Others write on meanwhile. Where somebody always does, that never comes to the end of the
        log, which then is not begun anew and grows: so nobody may write during the rest. Who reads
        an older state is not waited for: the log grows until that is over.
        """
        try:
            length, in_file = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            if length - in_file < pages:
                return
            length, in_file = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if in_file == length:
                connection.set_busy_handler(Patience(RESTART_PATIENCE_MS))
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.Error as error:  # a busy or full disk: the next one will try
            if interruption(error):
                raise
        finally:
            connection.set_busy_handler(self._patience)

    def changed(self) -> Callable[[], bool]:
        """A function that says whether anybody committed anything since it was called last.

        As cheap as can be: where the file cannot be watched, a worker that waits asks some hundred
        times a second.
        """
        seen: tuple[int, int] | None = None

        def ask() -> bool:
            nonlocal seen
            before, seen = seen, self.use(self._changes)
            return seen != before

        return ask

    def _changes(self, connection: apsw.Connection) -> tuple[int, int]:
        version: Any = connection.execute("PRAGMA data_version").get
        return version, self.commits

    def warnings(self) -> list[str]:
        """What is to be known of the file, in plain words."""

        def look(_: apsw.Connection) -> list[str]:
            return file_warnings(self.path, self._file_mode, lacked_log=self._lacked_log)

        return self.use(look)

    # Opening --------------------------------------------------------------------------------------

    def _connect(self) -> apsw.Connection:
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
            connection = Stamped(self.path, schema.VERSION, statementcachesize=CACHED_STATEMENTS)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: apsw.Connection) -> None:
        if self.path != MEMORY and not Path(self.path).stat().st_size:
            connection.set_busy_timeout(self._busy_timeout_ms)
            connection.pragma("auto_vacuum", "INCREMENTAL")  # it is too late after the first page
        self._patience = set_up(connection, self._busy_timeout_ms, self._synchronous)
        connection.pragma("wal_autocheckpoint", 0)  # see `_shorten`
        connection.pragma("journal_size_limit", LOG_PAGES * PAGE_BYTES)
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("temp_store", "MEMORY")
        if schema.prepare(connection, self.path, self._namespace) and self.path != MEMORY:
            # A copy of the file alone, made before the first checkpoint, would be an empty file.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
