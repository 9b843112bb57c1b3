"""The command line: `reliable-tasks`, also `python -m reliable_tasks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._context import Chosen
from ._group import cli

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliable_tasks.app import App

__all__ = ["cli", "main"]


def main(argv: Sequence[str] | None = None, app: App | None = None) -> None:
    """Run the command line and end the process with its exit code.

    Args:
        argv: what the line says; None: what this program was given.
        app: the app where the line names none.
    """
    cli.main(argv, prog_name="reliable-tasks", obj=Chosen(given=app))
