"""`version`."""

import click

from reliable_tasks import __version__

from ._say import say

__all__ = ["command"]


@click.command("version")
def command() -> None:
    """Show the version."""
    say(__version__)
