"""Celery's options that do nothing here: a word about each one that is given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ._context import Chosen
from ._say import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._context import F

__all__ = ["not_needed", "refused", "umask_option"]


def _name(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len)


def _telling(why: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None and not ctx.ensure_object(Chosen).quiet:
            given = "" if isinstance(value, bool) else f" {value}"
            say(f"{_name(parameter)}{given}: not needed, {why}", err=True)

    return callback


def _hidden(
    command: F,
    names: tuple[str, ...],
    callback: Callable[[click.Context, click.Parameter, Any], None],
    text: str,
    **kind: Any,
) -> F:
    """Give a command an option that does no more than to call back."""
    option = click.option(
        *names, hidden=True, expose_value=False, callback=callback, help=text, **kind
    )
    return option(command)


def not_needed(
    options: Mapping[tuple[str, ...], str], flags: Mapping[tuple[str, ...], str] | None = None
) -> Callable[[F], F]:
    """Take options with a value, and flags, that need nothing here; each is told why."""

    def decorate(command: F) -> F:
        for names, why in options.items():
            text = f"Not needed: {why}."
            command = _hidden(command, names, _telling(why), text, metavar="VALUE")
        for names, why in (flags or {}).items():
            text = f"Not needed: {why}."
            command = _hidden(command, names, _telling(why), text, is_flag=True, default=None)
        return command

    return decorate


_SUPERVISED = "let systemd, supervisord or your container run it, which also restarts it"
_AS_USER = "start it as that user: User= and Group= of systemd, user= of supervisord, su or USER"
_REFUSED = (
    (("-D", "--detach"), True, _SUPERVISED),
    (("--uid",), False, _AS_USER),
    (("--gid",), False, _AS_USER),
)


def _refuse(why: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            raise click.UsageError(f"{_name(parameter)} is not here: {why}", ctx)

    return callback


def refused(command: F) -> F:
    """Refuse what a process manager does: taking these in silence would leave a root process."""
    for names, is_flag, why in _REFUSED:
        command = _hidden(command, names, _refuse(why), f"Refused: {why}.", is_flag=is_flag)
    return command


def _set_umask(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    try:
        mask = int(value, 8)
    except ValueError:
        mask = -1
    if not 0 <= mask <= 0o777:  # noqa: PLR2004 - all bits of a file's mode
        raise click.BadParameter(f"{value!r} is not a mask of file modes in octal, such as 022")
    os.umask(mask)


def umask_option(command: F) -> F:
    """Give a command `--umask`, as Celery has it."""
    option = click.option(
        "--umask",
        expose_value=False,
        metavar="OCTAL",
        callback=_set_umask,
        help="Make files with this mask.",
    )
    return option(command)
