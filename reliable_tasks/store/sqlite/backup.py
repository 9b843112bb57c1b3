"""A whole copy of a file that others are working on."""

import contextlib
import os
from pathlib import Path

import apsw

from locks.files import make_file
from reliable_tasks.core import clock
from reliable_tasks.core.ids import new_id
from reliable_tasks.errors import StoreError, StoreUnavailable
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite import schema
from reliable_tasks.store.sqlite.connection import MEMORY
from reliable_tasks.store.sqlite.errors import translated
from reliable_tasks.store.sqlite.reads import Reader
from reliable_tasks.store.sqlite.stamp import fresh_stamp, is_ours

__all__ = ["write_copy"]


def write_copy(
    source: str, target: str, options: v.StoreOptions, *, mode: int, force: bool
) -> v.Counts:
    """Copy a store as it is at one moment; the copy has its name only when it is complete.

    Args:
        source: the store's file.
        target: the copy.
        options: of the store.
        mode: the permissions of the copy.
        force: replace a file that is there.

    Returns:
        what is in the copy.

    Raises:
        StoreError: there is no store, or the copy cannot be made.
    """
    target = str(Path(target).expanduser().absolute())
    _check(source, target, force=force)
    begun = f"{target}.{new_id()}.part"
    try:
        make_file(begun, mode)
        counts = _copy(source, begun, options)
        _sync(begun)
        if force:
            os.replace(begun, target)  # noqa: PTH105 - as the other three
        else:
            os.link(begun, target)
            os.unlink(begun)  # noqa: PTH108
        _sync(os.path.dirname(target))  # noqa: PTH120
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        for rest in ("", "-journal", "-wal", "-shm"):
            Path(begun + rest).unlink(missing_ok=True)
    return counts


def _check(source: str, target: str, *, force: bool) -> None:
    if source == MEMORY:
        raise StoreError("a store in memory cannot be backed up: it ends with its process")
    if not is_ours(source):
        raise StoreUnavailable(f"{source} is not the file of a store: give another path")
    if not Path(target).parent.is_dir():
        raise StoreError(f"{target} cannot be written: make the directory {Path(target).parent}")
    if Path(target).exists():
        if Path(target).samefile(source):
            raise StoreError(f"{target} is the store itself: give another path")
        if not force:
            raise StoreError(f"{target} is there already: give another path, or --force")
    for log in (f"{target}-wal", f"{target}-shm", f"{target}-journal"):
        if Path(log).exists():
            raise StoreError(
                f"{log} would be taken for that of the copy: end who uses {target}, and move it "
                "away, or give another path"
            )


def _copy(source: str, target: str, options: v.StoreOptions) -> v.Counts:
    with (
        translated(source, options.busy_timeout_ms),
        contextlib.closing(apsw.Connection(source, flags=apsw.SQLITE_OPEN_READWRITE)) as old,
        contextlib.closing(apsw.Connection(target)) as new,
    ):
        old.set_busy_timeout(options.busy_timeout_ms)
        # All in one step is one look at the store: others read and write on meanwhile.
        with new.backup("main", old, "main") as copying:
            copying.step(-1)
        new.pragma("journal_mode", "delete")  # so that there is this one file
        new.pragma("user_version", fresh_stamp(schema.VERSION))
        (said,) = new.execute("PRAGMA quick_check(1)").fetchall()[0]
        if said != "ok":
            raise StoreError(f"{source} is damaged ({said}): the copy was not kept")
        return Reader(new, clock.now_ms(), options).counts()


def _sync(path: str) -> None:
    """Let it reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
