"""Give back to the system what a file no longer needs, in small steps, while others work on it."""

from collections.abc import Callable
from typing import Final

import apsw

from reliable_tasks.errors import StoreError
from reliable_tasks.store.sqlite.connection import MEMORY, PAGE_BYTES, Database
from reliable_tasks.store.sqlite.stamp import is_ours
from reliable_tasks.store.sqlite.statements import load

__all__ = ["vacuum"]

STEP_PAGES: Final = 100
SESSIONS_LIVE: Final = load("sessions/live")

Told = Callable[[int, int], object]


def vacuum(database: Database, now: int, told: Told) -> tuple[int, int]:
    """Shrink a file by the pages that are free now.

    Args:
        database: the file.
        now: the store's time.
        told: told how many of how many pages are done.

    Returns:
        how large it was, and is, in bytes.

    Raises:
        StoreError: there is no file, or it has to be rewritten as a whole while workers are there.
    """
    if database.path == MEMORY:
        raise StoreError("a store in memory has no file")
    if not is_ours(database.path):
        raise StoreError(f"{database.path} is not the file of a store: give another path")
    before = _number(database, "page_count") * PAGE_BYTES
    if not _number(database, "auto_vacuum"):
        _rewrite(database, now)
    free = _number(database, "freelist_count")
    for done in range(STEP_PAGES, free + STEP_PAGES, STEP_PAGES):
        database.write(lambda c: c.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall())
        told(min(done, free), free)
    database.shorten_log(1)
    return before, _number(database, "page_count") * PAGE_BYTES


def _number(database: Database, pragma: str) -> int:
    number: int = database.use(lambda c: c.execute(f"PRAGMA {pragma}").get)
    return number


def _rewrite(database: Database, now: int) -> None:
    """Make a file of which parts can be given back, of one by an older release."""
    live: int = database.write(lambda c: c.execute(SESSIONS_LIVE, (now,)).get)
    if live:
        raise StoreError(
            f"{database.path} was made by an older release: the first time it has to be rewritten "
            f"as a whole, and nobody can write meanwhile: stop the workers ({live} processes)"
        )

    def rewrite(connection: apsw.Connection) -> None:
        connection.pragma("auto_vacuum", "INCREMENTAL")
        connection.execute("VACUUM")

    database.use(rewrite)
