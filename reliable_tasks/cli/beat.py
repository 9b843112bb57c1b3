"""`beat`: run the schedule."""

from __future__ import annotations

import click

from ._context import Chosen, app_options
from ._logging import level_option, set_up_log
from ._pidfile import pidfile_of

__all__ = ["command"]


@click.command("beat")
@click.option("--pidfile", metavar="FILE", help="Write the process's number there.")
@click.option("-f", "--logfile", metavar="FILE", help="Log there instead of standard error.")
@click.option("-s", "--schedule", hidden=True, expose_value=False, help="It lives in the store.")
@click.option("-S", "--scheduler", hidden=True, expose_value=False, help="There is one.")
@click.option("--max-interval", hidden=True, expose_value=False, help="Nothing polls.")
@level_option
@app_options
@click.pass_obj
def command(chosen: Chosen, loglevel: str, logfile: str | None, pidfile: str | None) -> None:
    """Run the schedule: enqueue what is due.

    Any number may run at once: each slot fires once.
    """
    app = chosen.find_app()
    app.import_modules()
    set_up_log(app.settings, chosen, loglevel, logfile)
    from reliable_tasks.beat.service import run_beat  # noqa: PLC0415 - `--help` needs none of it

    with pidfile_of(pidfile):
        if not chosen.quiet:
            click.echo(
                f"beat: {len(app.settings.beat_schedule)} entries, store {app.store.location}"
            )
        code = run_beat(app)
    raise click.exceptions.Exit(code)
