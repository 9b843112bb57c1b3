"""`vacuum`: make the file of an SQLite store smaller, while workers go on."""

from __future__ import annotations

import sys

import click

from ._context import Chosen, app_options
from ._say import overwrite, say

__all__ = ["command"]


@click.command("vacuum")
@app_options
@click.pass_obj
def command(chosen: Chosen) -> None:
    """Give the free pages of an SQLite store's file back to the system, while workers go on.

    What has expired leaves free pages, which are used again: a file is as large as the most that
    was ever in it. This makes it smaller, in steps of milliseconds. It may be interrupted.
    """
    store = chosen.open_app().store
    from reliable_tasks.store.sqlite import SqliteStore  # noqa: PLC0415 - only this needs it

    if not isinstance(store, SqliteStore):
        raise click.UsageError(
            f"{store.location} keeps its messages in memory, and gives back what it can by itself; "
            "see docs/how-to/deploy-redis.md"
        )
    shown = sys.stderr.isatty()

    def told(done: int, free: int) -> None:
        if shown:
            overwrite("" if done == free else f"{done:,} of {free:,} free pages given back")

    before, after = store.vacuum(told)
    say(f"{store.location}: {before / 2**20:.1f} MiB, now {after / 2**20:.1f}")
