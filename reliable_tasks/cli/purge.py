"""`purge`: revoke everything that waits on a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reliable_tasks.core.message import State
from reliable_tasks.errors import suggest

from ._context import Chosen, app_options
from ._queues import QUEUES, names_of
from ._say import ask, say

if TYPE_CHECKING:
    from reliable_tasks.app import App

__all__ = ["command", "purge_queues"]


@click.command("purge")
@click.option(*QUEUES, multiple=True, metavar="NAMES", help="These queues; all that hold messages.")
@click.option("-X", "--exclude-queues", multiple=True, metavar="NAMES", help="But not these.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@app_options
@click.pass_obj
def command(
    chosen: Chosen, queues: tuple[str, ...], exclude_queues: tuple[str, ...], force: bool
) -> None:
    """Revoke everything that is queued or scheduled on queues.

    What runs goes on; dead letters and results stay. The messages end as REVOKED.
    """
    app = chosen.open_app()
    purge_queues(app, names_of(queues), names_of(exclude_queues), force=force)


def purge_queues(
    app: App, queues: tuple[str, ...], exclude: tuple[str, ...], *, force: bool
) -> int:
    """Revoke what waits on `queues` (on all, if none is named); returns how many messages.

    Raises:
        click.ClickException: nothing waits on a queue that was named.
        click.Abort: the user said no.
    """
    waiting = {
        name: states.get(State.QUEUED, 0) + states.get(State.SCHEDULED, 0)
        for name, states in app.store.counts().queues.items()
    }
    for name in queues:
        if not waiting.get(name):
            raise click.ClickException(f"nothing waits on queue {name!r}{suggest(name, waiting)}")
    chosen = [n for n in queues or sorted(waiting) if waiting[n] and n not in exclude]
    total = sum(waiting[name] for name in chosen)
    if not total:
        say("Nothing waits.")
        return 0
    listed = ", ".join(f"{waiting[name]} on {name!r}" for name in chosen)
    if not force:
        ask(f"Revoke {total} waiting messages ({listed})?")
    done = sum(_purge(app, name, waiting[name]) for name in chosen)
    rest = "" if done >= total else " The others had started or ended meanwhile."
    say(f"Purged {done} of {total}.{rest}")
    return done


def _purge(app: App, queue: str, found: int) -> int:
    """Revoke what was found; what is enqueued meanwhile would keep this going for ever."""
    done = 0
    while done < found:
        purged = app.store.purge(queue, found - done)
        if not purged:
            break
        done += purged
    return done
