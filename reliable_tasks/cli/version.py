"""`version`."""

import click

from reliable_tasks import __version__

__all__ = ["command"]


@click.command("version")
def command() -> None:
    """Show the version."""
    click.echo(__version__)
