"""SQLite's errors in the store's words: translated once, here."""

import contextlib
from collections.abc import Iterator
from typing import Final

import apsw

from reliable_tasks.errors import (
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

__all__ = ["store_error", "translated"]


_WORDS: Final[tuple[tuple[tuple[type[apsw.Error], ...], type[StoreError], str], ...]] = (
    (
        (apsw.BusyError, apsw.LockedError),
        StoreBusy,
        (
            "{location} was locked by another process for {busy_timeout_ms} ms (busy_timeout_ms); "
            "look for one that keeps a transaction open"
        ),
    ),
    (
        (apsw.FullError,),
        StoreFull,
        (
            "{location} cannot grow: the disk or the file's limit is full; nothing of this call "
            "was applied, make room and call again"
        ),
    ),
    (
        (apsw.ReadOnlyError, apsw.PermissionsError),
        StoreReadOnly,
        (
            "{location} cannot be written to: make the file and its directory writable for this "
            "user (SQLite keeps a -wal and a -shm file beside it)"
        ),
    ),
    (
        (apsw.CantOpenError,),
        StoreUnavailable,
        ("{location} cannot be opened: is it a file, in a directory that this user may write to?"),
    ),
    (
        (apsw.NotADBError,),
        StoreError,
        "{location} is not an SQLite database; choose another path",
    ),
    (
        (apsw.CorruptError,),
        StoreError,
        (
            "{location} is damaged ({error}); stop all workers, keep a copy of the file and its "
            "-wal, and recover it with `sqlite3 FILE .recover`"
        ),
    ),
    ((apsw.IOError,), StoreUnavailable, "{location} cannot be read or written now: {error}"),
    (
        (apsw.TooBigError, apsw.NoMemError),
        StoreError,
        "{location} cannot hold a value of this size: {error}",
    ),
)
_OTHERWISE: Final = (StoreError, "{location}: SQLite says {error}")


@contextlib.contextmanager
def translated(location: str, busy_timeout_ms: int) -> Iterator[None]:
    """Raise the store's own errors in place of the driver's."""
    try:
        yield
    except apsw.Error as error:
        raise store_error(error, location, busy_timeout_ms) from error


def store_error(error: apsw.Error, location: str, busy_timeout_ms: int) -> StoreError:
    """The store's own error for one of the driver's."""
    matches = ((kind, words) for kinds, kind, words in _WORDS if isinstance(error, kinds))
    kind, words = next(matches, _OTHERWISE)
    said = words.format(location=location, busy_timeout_ms=busy_timeout_ms, error=error)
    return kind(said)
