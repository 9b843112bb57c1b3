"""The log of commands that run until they are told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reliable_tasks.config.conf import Settings

    from ._context import Chosen, F

__all__ = ["level_option", "set_up_log"]


def _level(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    from reliable_tasks.log.setup import level_of  # noqa: PLC0415 - `--help` needs none of it

    level_of(value)
    return value


def level_option(command: F) -> F:
    """Give a command `--loglevel`, as Celery has it."""
    option = click.option(
        "-l",
        "--loglevel",
        default="WARNING",
        show_default=True,
        callback=_level,
        metavar="LEVEL",
        help="Log from this level on: DEBUG, INFO, WARNING, ERROR.",
    )
    return option(command)


def set_up_log(settings: Settings, chosen: Chosen, level: str, file: str | None) -> None:
    """Show the log as the settings and the command line say."""
    from reliable_tasks.log.setup import configure  # noqa: PLC0415 - `--help` needs none of it

    printed = settings.worker_redirect_stdouts_level if settings.worker_redirect_stdouts else None
    configure(
        level,
        json=settings.worker_log_json,
        file=file,
        redirect_stdouts=printed,
        hijack_root=settings.worker_hijack_root_logger,
        colour=chosen.colour,
    )
