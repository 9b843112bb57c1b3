"""`beat`: run the schedule."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from reliable_tasks import __version__

from ._banner import health_of
from ._context import Chosen, app_options
from ._logging import level_option, set_up_log
from ._pidfile import pidfile_of
from ._say import say

if TYPE_CHECKING:
    from reliable_tasks.app import App

__all__ = ["command"]


def _not_needed(reason: str) -> object:
    def callback(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None and not ctx.ensure_object(Chosen).quiet:
            say(f"{parameter.opts[0]} {value}: not needed, {reason}", err=True)

    return callback


@click.command("beat")
@click.option("--pidfile", metavar="FILE", help="Write the process's number there.")
@click.option("-f", "--logfile", metavar="FILE", help="Log there instead of standard error.")
@click.option(
    "--allow-unknown-tasks",
    is_flag=True,
    help="Entries may name tasks that are not registered here.",
)
@click.option(
    "-s",
    "--schedule",
    "--schedule-filename",
    hidden=True,
    expose_value=False,
    callback=_not_needed("the schedule's state lives in the store"),
)
@click.option(
    "-S",
    "--scheduler",
    hidden=True,
    expose_value=False,
    callback=_not_needed("there is one scheduler, and entries can be changed while it runs"),
)
@click.option(
    "--max-interval",
    hidden=True,
    expose_value=False,
    callback=_not_needed("beat sleeps until the next slot or a change"),
)
@level_option
@app_options
@click.pass_obj
def command(
    chosen: Chosen,
    loglevel: str,
    logfile: str | None,
    pidfile: str | None,
    allow_unknown_tasks: bool,
) -> None:
    """Run the schedule: enqueue what is due.

    Any number may run at once: each slot fires once. TERM or Ctrl-C ends it; killing it loses
    nothing.
    """
    app = chosen.find_app()
    app.import_modules()
    set_up_log(app.settings, chosen, loglevel, logfile)
    from reliable_tasks.beat.service import run_beat  # noqa: PLC0415 - `--help` needs none of it
    from reliable_tasks.beat.sync import run_hooks  # noqa: PLC0415

    run_hooks(app)
    with pidfile_of(pidfile):
        if not chosen.quiet:
            say(_banner(app))
        code = run_beat(app, allow_unknown=allow_unknown_tasks)
    raise click.exceptions.Exit(code)


def _banner(app: App) -> str:
    settings = app.settings
    lines = [
        f"reliable-tasks {__version__}: beat (process {os.getpid()})",
        "",
        f"  app        {app.main or app!r}",
        f"  store      {app.store.location}",
        f"  entries    {len(settings.beat_schedule)} of the code",
        f"  time zone  {settings.timezone}",
        f"  catch-up   {settings.beat_catch_up}",
        *(f"  WARNING    {warning}" for warning in health_of(app.store).warnings),
    ]
    return "\n".join([*lines, ""])
