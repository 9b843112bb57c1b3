"""`revoke`: stop messages from running."""

from __future__ import annotations

import signal as signals

import click

from reliable_tasks.errors import suggest

from ._context import Chosen, app_options
from ._say import say

__all__ = ["command"]

_WORDS = {
    "revoked": "revoked",
    "running": "running: it is not tried again",
    "ended": "has ended already",
    "unknown": "unknown",
}


def _signal_name(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    name = value.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    known = [one.name for one in signals.Signals]
    if name not in known:
        raise click.BadParameter(f"{value!r} is not a signal{suggest(name, known)}")
    return name


@click.command("revoke")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--terminate", is_flag=True, help="Stop the bodies that run, too.")
@click.option("--signal", default="SIGTERM", callback=_signal_name, help="With --terminate: how.")
@app_options
@click.pass_obj
def command(chosen: Chosen, ids: tuple[str, ...], terminate: bool, signal: str) -> None:
    """Stop messages from running.

    A running one may still succeed, but is not tried again; with --terminate its process is
    stopped. Exits with 1 when an ID is unknown.
    """
    app = chosen.open_app()
    replies = app.store.revoke(ids, terminate=terminate, signal=signal)
    for reply in replies:
        words = _WORDS[reply.found]
        if reply.found == "running" and terminate:
            words = f"running: its worker sends it {signal}"
        say(f"{reply.id}: {words}")
    if any(reply.found == "unknown" for reply in replies):
        raise click.exceptions.Exit(1)
