"""What a command itself has to say, also where prints have become lines of the log."""

from __future__ import annotations

import sys

import click

__all__ = ["say"]


def say(text: str, *, err: bool = False) -> None:
    """Print to the standard stream itself, not to what stands in for it in the log."""
    stream = sys.stderr if err else sys.stdout
    click.echo(text, file=getattr(stream, "stands_for", stream))
