"""`backup`: a whole copy of an SQLite store, while workers go on."""

from __future__ import annotations

from pathlib import Path

import click

from ._context import Chosen, app_options
from ._say import say

__all__ = ["command"]


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@app_options
@click.pass_obj
def command(chosen: Chosen, file: Path, force: bool) -> None:
    """Write a whole copy of a SQLite store to FILE, while workers go on.

    A copy that `cp` makes lacks what stands in the log beside the file. This one is the store as
    it was at one moment, checked, and has its name only when it is complete. To restore, stop all
    that use the store, move its file and the -wal and -shm beside it away, and copy this one there.
    """
    store = chosen.open_app().store
    from reliable_tasks.store.sqlite import SqliteStore  # noqa: PLC0415 - only this needs it

    if not isinstance(store, SqliteStore):
        raise click.UsageError(
            f"{store.location} keeps its own files: let the server write one with BGSAVE (or "
            "BGREWRITEAOF), and copy that from its directory; see docs/how-to/backup.md"
        )
    counts = store.backup(str(file), force=force)
    states = ", ".join(f"{n} {state}" for state, n in counts.states.items()) or "none"
    say(f"copied {store.location} to {file}\nmessages  {states}")
