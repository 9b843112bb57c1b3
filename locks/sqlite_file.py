"""One SQLite file as the threads of a process share it: one connection, one user at a time.

An exception may come at any moment out of a signal's handler (Ctrl-C, a time limit), and whatever
it interrupts must neither stay locked nor leave a transaction open. So both are entered and left by
`with` statements on objects that are written in C, between whose two ends no handler can run.

A handler, or a `__del__`, may also call us in the midst of a call of the same thread. It gets a
connection of its own, and the transaction that it would wait for gives way: it is rolled back, and
begun again afterwards.
"""

import atexit
import os
import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

import apsw

from locks import _clock, forks

__all__ = [
    "MEMORY",
    "WRITES",
    "Act",
    "FileGone",
    "ForkedInUse",
    "Patience",
    "SharedFile",
    "interruption",
    "set_up",
]

MEMORY: Final = ":memory:"
READS: Final = "DEFERRED"
WRITES: Final = "IMMEDIATE"
PAUSE_S: Final = 0.0005
LONG_PAUSE_S: Final = 0.002
SHORT_PAUSES: Final = 100
LAST_WAIT_S: Final = 1.0
T = TypeVar("T")
Act: TypeAlias = Callable[[apsw.Connection], T]

_in_use: set[str] = set()
"""Files that another thread of the parent's was using when this process was made of it."""


class FileGone(Exception):
    """The file that was open has been deleted or moved away."""


class ForkedInUse(Exception):
    """The process is a copy of one in which another thread was using the file."""


class SharedFile:
    """The connection to a file: opened when needed, closed before a fork.

    Args:
        path: absolute path of the file, or `MEMORY`.
        open_: opens a connection and sets it up.
        reopen: whether a file that is gone is made anew; otherwise `FileGone` is raised.
        begin: called first in each transaction, with whether it is to write.
        settle: called after each transaction that was to write.
    """

    def __init__(
        self,
        path: str,
        open_: Callable[[], apsw.Connection],
        *,
        reopen: bool = False,
        begin: Callable[[apsw.Connection, bool], object] | None = None,
        settle: Callable[[apsw.Connection], object] | None = None,
    ) -> None:
        self.path = path
        self._open = open_
        self._reopen = reopen
        self._begin = begin
        self._settle = settle
        self._connection: apsw.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._fresh_locks()
        forks.watch(self)

    def _fresh_locks(self) -> None:
        self._lock: Any = threading.RLock()
        self._turn = threading.Lock()
        self._busy = False
        self._gave_way = False

    # Use ------------------------------------------------------------------------------------------

    def write(self, act: Act[T]) -> T:
        """Call `act` in a transaction that holds the file's write lock: all of it or nothing.

        It is called again where its transaction had to give way.
        """
        return self._alone(WRITES, act)

    def read(self, act: Act[T]) -> T:
        """Call `act` in a transaction that sees the file as it is now, and waits for no writer."""
        return self._alone(READS, act)

    def use(self, act: Act[T]) -> T:
        """Call `act`, which only reads, outside of any transaction."""
        return self._alone(None, act)

    def close(self) -> None:
        """Close the connection; the next use opens another.

        A call of the same thread, in whose midst we are, keeps it.
        """
        forks.check()
        if not self._mine:
            with self._turn, self._lock:
                self._close()

    def close_at_exit(self) -> None:
        """Close the connection unless a thread that will never end its call has it."""
        forks.check()
        if self._lock.acquire(timeout=LAST_WAIT_S):
            try:
                self._close()
            finally:
                self._lock.release()

    @property
    def _mine(self) -> bool:
        """Whether this thread is in the midst of a call."""
        owned: bool = self._lock._is_owned()  # noqa: SLF001 - as threading.Condition asks
        return owned

    def _alone(self, mode: str | None, act: Act[T]) -> T:
        """Call `act` in a transaction of this mode (None: in none) while nobody else uses us."""
        forks.check()
        if self._mine:
            return self._amid(mode, act)
        while True:
            try:
                # Whoever waits comes before one who was just in. Otherwise a thread that writes
                # without a pause could keep the others, or a fork, waiting for ever.
                if self._busy or self._turn.locked():
                    with self._turn, self._lock:
                        return self._used(mode, act)
                with self._lock:
                    return self._used(mode, act)
            except _GaveWay:
                continue

    def _used(self, mode: str | None, act: Act[T]) -> T:
        self._busy = True
        try:
            connection = self._ready()
            return act(connection) if mode is None else self._transaction(connection, mode, act)
        except apsw.Error as error:
            if self._gave_way:
                raise _GaveWay from error
            raise interruption(error) or error from None
        finally:
            self._busy = False

    def _transaction(self, connection: apsw.Connection, mode: str, act: Act[T]) -> T:
        connection.transaction_mode = mode
        failure: BaseException | None = None
        try:
            with connection:
                try:
                    if self._begin is not None:
                        self._begin(connection, mode == WRITES)
                    done = act(connection)
                except BaseException as exc:
                    failure = exc
                    raise
        except apsw.Error:
            # A full disk or a failed write may already have ended the transaction: what did so
            # counts, not that there was none left to be ended.
            if failure is not None:
                raise failure from None
            raise
        finally:
            failure = None  # it refers to this frame
        if mode == WRITES and self._settle is not None:
            self._settle(connection)
        return done

    def _ready(self) -> apsw.Connection:
        """The open connection, with nothing left over, to the file that has the path now."""
        if self.path in _in_use:
            raise ForkedInUse(
                f"{self.path} cannot be used in this process: it was forked, not by Python, while "
                "another thread was using the file; fork before threads use it, or in each process "
                "load the program anew (uWSGI: lazy-apps = true)"
            )
        if self._gave_way:
            self._take_back()
        if self._connection is not None and self._connection.in_transaction:
            self._close()
        if self._inode is not None and (found := _inode(self.path)) != self._inode:
            self._close()  # what is written to a file that was deleted or replaced would be lost
            if found is None and not self._reopen:
                raise FileGone(self.path)
        if self._connection is None:
            self._connection = self._open()
            self._inode = _inode(self.path)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    # In the midst of a call of the same thread ----------------------------------------------------

    def _amid(self, mode: str | None, act: Act[T]) -> T:
        self._give_way()
        connection = self._connection
        if self.path == MEMORY and connection is not None:
            return self._amid_in_memory(connection, mode, act)
        inner = SharedFile(
            self.path, self._open, reopen=self._reopen, begin=self._begin, settle=self._settle
        )
        try:
            return inner._alone(mode, act)
        finally:
            inner.close()

    def _give_way(self) -> None:
        """Undo the transaction that is open: what is still to come of it fails."""
        connection = self._connection
        if connection is not None and connection.in_transaction:
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA query_only = ON")
            self._gave_way = True

    def _amid_in_memory(self, connection: apsw.Connection, mode: str | None, act: Act[T]) -> T:
        connection.execute("PRAGMA query_only = OFF")
        try:
            return act(connection) if mode is None else self._transaction(connection, mode, act)
        finally:
            if self._gave_way:
                connection.execute("PRAGMA query_only = ON")

    def _take_back(self) -> None:
        if self.path != MEMORY:
            self._close()
        elif self._connection is not None:
            self._connection.execute("PRAGMA query_only = OFF")
        self._gave_way = False

    # Forks ----------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Wait for the call that runs, and let no connection cross the fork."""
        if self._mine:
            self._lock.acquire()
            self._give_way()
            return
        with self._turn:
            self._lock.acquire()
        if self.path != MEMORY:
            self._close()

    def after_fork(self) -> None:
        """Go on, in the process that forked."""
        if self._mine:
            self._lock.release()

    def forked(self) -> None:
        """Let go of the parent's connection without a word to the file.

        It has to be closed: SQLite keeps book of the locks of a process, and would take those of
        the parent for ours. Checkpointing and deleting the log at a close is the parent's to do.
        """
        if not self._lock.acquire(blocking=False):
            _in_use.add(self.path)
        elif self._connection is not None and self.path != MEMORY:
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self._close()
        self._fresh_locks()


def set_up(connection: apsw.Connection, timeout_ms: int, synchronous: str) -> Callable[[int], bool]:
    """Set the busy timeout; a file gets the write-ahead log and this `synchronous` as well.

    Returns:
        the handler that was set.
    """
    patience = Patience(timeout_ms)
    connection.set_busy_handler(patience)
    if connection.filename:
        _use_wal(connection, timeout_ms)
        connection.pragma("synchronous", synchronous)
    return patience


def _use_wal(connection: apsw.Connection, timeout_ms: int) -> None:
    """Switch to the write-ahead log; SQLite does not wait by itself where others open too."""
    deadline = _clock.monotonic() + timeout_ms / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError as error:
            if _clock.monotonic() >= deadline or interruption(error):
                raise
            _clock.sleep(LONG_PAUSE_S)
        else:
            return


class Patience:
    """A busy handler: tries often, since writers hold the lock for a few milliseconds.

    SQLite's own sleeps up to 100 ms at a time, and the longest waiting comes last.
    """

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_s = timeout_ms / 1000
        self._deadline = 0.0

    def __call__(self, tries: int) -> bool:
        """Sleep before the next try; False to give up."""
        if tries == 0:
            self._deadline = _clock.monotonic() + self._timeout_s
        if _clock.monotonic() >= self._deadline:
            return False
        _clock.sleep(PAUSE_S if tries < SHORT_PAUSES else LONG_PAUSE_S)
        return True


class _GaveWay(Exception):
    """The transaction was rolled back for a call in the midst of it."""


def _inode(path: str) -> tuple[int, int] | None:
    if path == MEMORY:
        return None
    try:
        status = os.stat(path)  # noqa: PTH116 - before each use: half of Path's time
    except OSError:
        return None
    return status.st_dev, status.st_ino


def interruption(error: apsw.Error) -> BaseException | None:
    """The exception out of a signal's handler that ended the waiting for the file, if one did."""
    cause = error.__context__
    trace = cause.__traceback__ if cause is not None else None
    while trace is not None:
        if trace.tb_frame.f_code is Patience.__call__.__code__:
            return cause
        trace = trace.tb_next
    return None


@atexit.register
def _close_at_exit() -> None:
    """Close in good order what a program leaves open, so that its file is known to be whole."""
    for thing in forks.watched():
        if isinstance(thing, SharedFile):
            thing.close_at_exit()
