"""Locks in an SQLite file, through one connection per file and process, opened when needed.

A fork must not carry an open connection over: SQLite's own locks would be shared or dropped without
its knowing. So every connection is closed before a fork and opened again by whoever needs it. A
fork made by other code than Python's (uWSGI forks in C) calls no hook: there the child, told by its
process id, leaves what it inherited alone and opens its own.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from locks import _clock, keys
from locks._ops import Busy, Holder, Kind, Subject, Taken
from locks.errors import LockError, LockStoreError
from locks.files import make_file
from locks.statements import load_sql

__all__ = ["SqliteBackend"]

BUSY_TIMEOUT_MS: Final = 10_000
SWEEP_AFTER_MS: Final = 24 * 3600 * 1000
SHORTEST_POLL_S: Final = 0.001
LONGEST_POLL_S: Final = 0.01


class _File:
    """The process's connection to one file; every use holds the mutex."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pid = os.getpid()
        self.mutex = threading.RLock()
        self._connection: apsw.Connection | None = None
        self._inode: tuple[int, int] | None = None

    @contextlib.contextmanager
    def connection(self) -> Iterator[apsw.Connection]:
        """The open connection, to the file that has the path now."""
        with self.mutex, _translated(self.path):
            if self._connection is None or self._inode != _inode(self.path):
                self.close()
                self._connection = _connect(self.path)
                self._inode = _inode(self.path)
            yield self._connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """The connection with the write lock on the file, committed at the end."""
        with self.connection() as connection:
            if not connection.get_autocommit():
                raise LockStoreError(
                    f"{self.path} is in use by a call that this one interrupted, in the same "
                    "thread; do not use locks in signal handlers and __del__ methods"
                )
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.BusyError as error:
        raise LockStoreError(
            f"{path} was locked by another process for {BUSY_TIMEOUT_MS} ms; "
            "look for one that keeps a transaction open"
        ) from error
    except apsw.Error as error:
        raise LockStoreError(f"{path} could not be used: {error}") from error


def _connect(path: Path) -> apsw.Connection:
    make_file(str(path))
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        _use_wal(connection)
        connection.pragma("synchronous", "FULL")
        if not _has_schema(connection):
            with connection:
                connection.execute(load_sql("locks", "schema"))
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: apsw.Connection) -> None:
    """Switch to the write-ahead log; SQLite does not wait by itself where others open too."""
    deadline = _clock.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if _clock.monotonic() > deadline:
                raise
            _clock.sleep(LONGEST_POLL_S)
        else:
            return


def _has_schema(connection: apsw.Connection) -> bool:
    query = "SELECT count(*) FROM sqlite_schema WHERE name = 'semaphore_leases'"
    return bool(connection.execute(query).get)


class _Files:
    """The files that this process has in use."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._mutex = threading.RLock()
        self._known: weakref.WeakValueDictionary[Path, _File] = weakref.WeakValueDictionary()
        self._closed: list[_File] = []

    def of(self, path: Path) -> _File:
        with self._mutex:
            found = self._known.get(path)
            if found is None:
                found = self._known[path] = _File(path)
            return found

    def before_fork(self) -> None:
        self._mutex.acquire()
        self._closed.extend(self._known.values())
        for file in self._closed:
            file.mutex.acquire()
            file.close()

    def after_fork(self) -> None:
        for file in self._closed:
            file.mutex.release()
        self._closed.clear()
        self._mutex.release()


_files = _Files()
# A connection that was inherited is kept for good: to close it would end the parent's locks, too.
_inherited: list[object] = []


def _own_files() -> _Files:
    global _files  # noqa: PLW0603 - one for each process
    if _files.pid != os.getpid():
        _inherited.append(_files)
        _files = _Files()
    return _files


def _file(path: Path) -> _File:
    return _own_files().of(path)


def _before_fork() -> None:
    _own_files().before_fork()


def _after_fork() -> None:
    _files.after_fork()  # in the child, too, those that were closed before


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class SqliteBackend:
    """A namespace of locks in a file."""

    def __init__(self, path: str | os.PathLike[str], namespace: str) -> None:
        if str(path) in {"", ":memory:"}:
            raise LockError(f"path {str(path)!r}: a lock needs a file that others can open too")
        keys.prefix(namespace)
        self._namespace = namespace
        self._path = Path(path).absolute()
        self._opened = _file(self._path)
        self.origin: tuple[Hashable, str] = (self._path, namespace)

    @property
    def _file(self) -> _File:
        """This process's: a fork's parent has another."""
        if self._opened.pid != os.getpid():
            _inherited.append(self._opened)
            self._opened = _file(self._path)
        return self._opened

    def take(
        self, subject: Subject, owner: str, ttl_ms: int, wait_ms: int = 0, now: int | None = None
    ) -> Taken | Busy:
        """See Backend; who waits is not recorded here."""
        del wait_ms
        instant = _clock.now_ms() if now is None else now
        row = {"name": self._name(subject), "owner": owner, "now": instant}
        with self._file.transaction() as connection:
            holders = _read(connection, subject.kind, row)
            for holder in holders:
                if holder.owner == owner:
                    return Taken(holder.fence, holder.since_ms, holder.until_ms)
            if len(holders) >= subject.limit:
                return _busy(subject.kind, holders, instant)
            _sweep(connection, subject.kind, row)
            fence = connection.execute(load_sql("locks", "fence_next")).get
            until_ms = instant + ttl_ms if ttl_ms else 0
            row |= {"fence": fence, "until": until_ms}
            connection.execute(load_sql("locks", f"{subject.kind}_take"), row)
        return Taken(fence, instant, until_ms)

    def renew(
        self, subject: Subject, owner: str, ttl_ms: int, now: int | None = None
    ) -> int | None:
        """See Backend."""
        instant = _clock.now_ms() if now is None else now
        row = {"name": self._name(subject), "owner": owner, "now": instant}
        row["until"] = instant + ttl_ms if ttl_ms else 0
        with self._file.connection() as connection:
            until_ms: int | None = connection.execute(
                load_sql("locks", f"{subject.kind}_renew"), row
            ).get
        return until_ms

    def free(
        self, subject: Subject, owner: str, now: int | None = None, *, forced: bool = False
    ) -> bool:
        """See Backend; no reply is ever lost here, so no trace is left."""
        del forced
        instant = _clock.now_ms() if now is None else now
        row = {"name": self._name(subject), "owner": owner, "now": instant}
        with self._file.connection() as connection:
            fence = connection.execute(load_sql("locks", f"{subject.kind}_free"), row).get
        return fence is not None

    def read(self, subject: Subject, now: int | None = None) -> tuple[int | None, list[Holder]]:
        """See Backend."""
        instant = _clock.now_ms() if now is None else now
        with self._file.connection() as connection:
            row = {"name": self._name(subject), "now": instant}
            return None, _read(connection, subject.kind, row)

    def names(self) -> Iterator[tuple[Kind, str]]:
        """See Backend."""
        low = self._namespace + ":"
        bounds = {"low": low, "high": self._namespace + ";"}  # ';' is the letter after ':'
        kinds: tuple[Kind, ...] = ("lock", "semaphore")
        for kind in kinds:
            with self._file.connection() as connection:
                rows = list(connection.execute(load_sql("locks", f"{kind}_names"), bounds))
            for (name,) in rows:
                yield kind, name.removeprefix(low)

    def wait(self, subject: Subject, seconds: float) -> None:
        """See Backend."""
        deadline = _clock.monotonic() + seconds
        for pause in self.watch(subject):
            left = deadline - _clock.monotonic()
            if left <= 0:
                return
            _clock.sleep(min(pause, left))

    def watch(self, subject: Subject) -> Iterator[float]:
        """Look at the file; yield for how many seconds to pause; end when a place is free.

        Looking costs a few microseconds as long as nobody has written to the file.
        """
        seen = None
        pause = SHORTEST_POLL_S
        while True:
            version = self._version()
            if version != seen and len(self.read(subject)[1]) < subject.limit:
                return
            seen = version
            yield pause
            pause = min(pause * 2, LONGEST_POLL_S)

    def _name(self, subject: Subject) -> str:
        return keys.sqlite_name(self._namespace, subject.name)

    def _version(self) -> tuple[int, int]:
        """Changes whenever the file does: by other connections, or by this one."""
        with self._file.connection() as connection:
            return connection.pragma("data_version"), connection.total_changes()


def _read(connection: apsw.Connection, kind: Kind, row: dict[str, Any]) -> list[Holder]:
    return [Holder(*found) for found in connection.execute(load_sql("locks", f"{kind}_read"), row)]


def _busy(kind: Kind, holders: list[Holder], instant: int) -> Busy:
    ends = [holder.until_ms for holder in holders if holder.until_ms]
    return Busy(min(ends) - instant if ends else None, holders[0].owner if kind == "lock" else None)


def _sweep(connection: apsw.Connection, kind: Kind, row: dict[str, Any]) -> None:
    """Remove what has ended: leases of this semaphore; other locks only when long gone.

    A lock's ended record is overwritten by the next holder. Records that nobody takes again would
    pile up; the margin keeps a clock that jumped from ending them early.
    """
    if kind == "semaphore":
        connection.execute(load_sql("locks", "semaphore_sweep"), row)
    else:
        before = {"before": row["now"] - SWEEP_AFTER_MS}
        connection.execute(load_sql("locks", "lock_sweep"), before)
