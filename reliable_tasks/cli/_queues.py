"""Queues on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliable_tasks.config.routes import queues_of
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliable_tasks.app import App

__all__ = ["QUEUES", "names_of", "served"]

QUEUES = ("-Q", "--queues", "--queue", "queues")
"""The option, in its spellings."""


def names_of(texts: Iterable[str]) -> tuple[str, ...]:
    """The names in texts that may each hold several, with commas between; each name once."""
    names = (name.strip() for text in texts for name in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def served(app: App, queues: Iterable[str], exclude: Iterable[str]) -> tuple[str, ...]:
    """The queues that a worker consumes: those named, or else those of the settings.

    Raises:
        ConfigError: the option was given, and names none.
    """
    settings, given = app.settings, tuple(queues)
    named = names_of(given)
    if given and not named:
        raise ConfigError(
            f"-Q {given[0]!r} names no queue (is a variable empty?): name one, or leave -Q out"
        )
    named = named or settings.task_queues
    if not named:
        routed = queues_of(settings.task_routes)
        routed += () if app.framework is None else app.framework.queues()
        named = tuple(dict.fromkeys([settings.task_default_queue, *map(str, routed)]))
    left_out = names_of(exclude)
    return tuple(name for name in named if name not in left_out)
