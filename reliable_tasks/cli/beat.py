"""`beat`: run the schedule."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from reliable_tasks import __version__

from ._accepted import not_needed, refused, umask_option
from ._banner import health_of
from ._context import Chosen, app_options
from ._logging import level_option, set_up_log
from ._pidfile import pidfile_of
from ._say import mention, say

if TYPE_CHECKING:
    from reliable_tasks.app import App

__all__ = ["command"]


@click.command("beat")
@click.option("--pidfile", metavar="FILE", help="Write the process's number there.")
@click.option("-f", "--logfile", metavar="FILE", help="Log there instead of standard error.")
@click.option(
    "--allow-unknown-tasks",
    is_flag=True,
    help="Entries may name tasks that are not registered here.",
)
@click.option("-n", "--hostname", metavar="NAME", help="Its name in the log: name@%h, %h the host.")
@umask_option
@level_option
@refused
@not_needed(
    {
        ("-s", "--schedule", "--schedule-filename"): "the schedule's state lives in the store",
        ("-S", "--scheduler"): "there is one scheduler, and entries can be changed while it runs",
        ("--max-interval",): "beat sleeps until the next slot or a change",
        ("--executable",): "a beat runs in the Python that starts it",
    },
    {
        ("--enable-remote-control",): "a beat asks the store, and nobody asks a beat",
        ("--no-enable-remote-control",): "a beat asks the store, and nobody asks a beat",
    },
)
@app_options
@click.pass_obj
def command(
    chosen: Chosen,
    loglevel: str,
    logfile: str | None,
    pidfile: str | None,
    allow_unknown_tasks: bool,
    hostname: str | None,
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
    from reliable_tasks.worker.options import expand_hostname  # noqa: PLC0415

    run_hooks(app)
    with pidfile_of(pidfile):
        if not chosen.quiet:
            say(_banner(app))
        name = expand_hostname(hostname) if hostname else None
        code = run_beat(app, name=name, allow_unknown=allow_unknown_tasks)
        if not chosen.quiet:
            mention("beat: stopped; the schedule is in the store")
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
