"""Locks in an SQLite file, through one connection per file and process, opened when needed."""

import os
import weakref
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from locks import _clock, keys
from locks._ops import Busy, Holder, Kind, Subject, Taken
from locks.errors import LockError, LockStoreError
from locks.files import make_file
from locks.sqlite_file import Act, ForkedInUse, SharedFile, set_up
from locks.statements import load_sql

__all__ = ["SqliteBackend"]

BUSY_TIMEOUT_MS: Final = 10_000
SWEEP_AFTER_MS: Final = 24 * 3600 * 1000
SHORTEST_POLL_S: Final = 0.001
LONGEST_POLL_S: Final = 0.01
T = TypeVar("T")


def _connect(path: str) -> apsw.Connection:
    make_file(path)
    connection = apsw.Connection(path)
    try:
        set_up(connection, BUSY_TIMEOUT_MS, "FULL")
        if not _has_schema(connection):
            with connection:
                connection.execute(load_sql("locks", "schema"))
    except BaseException:
        connection.close()
        raise
    return connection


def _has_schema(connection: apsw.Connection) -> bool:
    query = "SELECT count(*) FROM sqlite_schema WHERE name = 'semaphore_leases'"
    return bool(connection.execute(query).get)


_files: weakref.WeakValueDictionary[str, SharedFile] = weakref.WeakValueDictionary()


def _file(path: str) -> SharedFile:
    """The process's connection to a file; what two threads made at once does no harm."""
    found = _files.get(path)
    if found is None:
        found = _files.setdefault(path, SharedFile(path, partial(_connect, path), reopen=True))
    return found


def _told(path: str, how: Callable[[Callable[[apsw.Connection], T]], T], act: Act[T]) -> T:
    """The same, with the errors of this package."""
    try:
        return how(act)
    except apsw.BusyError as error:
        raise LockStoreError(
            f"{path} was locked by another process for {BUSY_TIMEOUT_MS} ms; "
            "look for one that keeps a transaction open"
        ) from error
    except (apsw.Error, ForkedInUse) as error:
        raise LockStoreError(f"{path} could not be used: {error}") from error


class SqliteBackend:
    """A namespace of locks in a file."""

    def __init__(self, path: str | os.PathLike[str], namespace: str) -> None:
        if str(path) in {"", ":memory:"}:
            raise LockError(f"path {str(path)!r}: a lock needs a file that others can open too")
        keys.prefix(namespace)
        self._namespace = namespace
        self._file = _file(str(Path(path).absolute()))
        self.origin: tuple[Hashable, str] = (self._file.path, namespace)

    def _write(self, act: Act[T]) -> T:
        return _told(self._file.path, self._file.write, act)

    def _use(self, act: Act[T]) -> T:
        return _told(self._file.path, self._file.use, act)

    def take(
        self, subject: Subject, owner: str, ttl_ms: int, wait_ms: int = 0, now: int | None = None
    ) -> Taken | Busy:
        """See Backend; who waits is not recorded here."""
        del wait_ms
        instant = _clock.now_ms() if now is None else now
        row = {"name": self._name(subject), "owner": owner, "now": instant}
        row["until"] = instant + ttl_ms if ttl_ms else 0
        return self._write(lambda connection: _take(connection, subject, row))

    def renew(
        self, subject: Subject, owner: str, ttl_ms: int, now: int | None = None
    ) -> int | None:
        """See Backend."""
        instant = _clock.now_ms() if now is None else now
        row = {"name": self._name(subject), "owner": owner, "now": instant}
        row["until"] = instant + ttl_ms if ttl_ms else 0
        statement = load_sql("locks", f"{subject.kind}_renew")
        until_ms: int | None = self._write(lambda c: c.execute(statement, row).get)
        return until_ms

    def free(
        self, subject: Subject, owner: str, now: int | None = None, *, forced: bool = False
    ) -> bool:
        """See Backend; no reply is ever lost here, so no trace is left."""
        del forced
        instant = _clock.now_ms() if now is None else now
        row = {"name": self._name(subject), "owner": owner, "now": instant}
        statement = load_sql("locks", f"{subject.kind}_free")
        return self._write(lambda c: c.execute(statement, row).get) is not None

    def read(self, subject: Subject, now: int | None = None) -> tuple[int | None, list[Holder]]:
        """See Backend."""
        instant = _clock.now_ms() if now is None else now
        row = {"name": self._name(subject), "now": instant}
        return None, self._use(lambda c: _read(c, subject.kind, row))

    def names(self) -> Iterator[tuple[Kind, str]]:
        """See Backend."""
        low = self._namespace + ":"
        bounds = {"low": low, "high": self._namespace + ";"}  # ';' is the letter after ':'
        kinds: tuple[Kind, ...] = ("lock", "semaphore")
        for kind in kinds:
            statement = load_sql("locks", f"{kind}_names")
            for (name,) in self._use(partial(_rows, statement, bounds)):
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
        return self._use(lambda c: (c.pragma("data_version"), c.total_changes()))


def _rows(statement: str, row: dict[str, Any], connection: apsw.Connection) -> list[Any]:
    return connection.execute(statement, row).fetchall()


def _take(connection: apsw.Connection, subject: Subject, row: dict[str, Any]) -> Taken | Busy:
    instant = row["now"]
    holders = _read(connection, subject.kind, row)
    for holder in holders:
        if holder.owner == row["owner"]:
            return Taken(holder.fence, holder.since_ms, holder.until_ms)
    if len(holders) >= subject.limit:
        return _busy(subject.kind, holders, instant)
    _sweep(connection, subject.kind, row)
    fence = connection.execute(load_sql("locks", "fence_next")).get
    connection.execute(load_sql("locks", f"{subject.kind}_take"), row | {"fence": fence})
    return Taken(fence, instant, row["until"])


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
