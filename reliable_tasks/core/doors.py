"""The door that an app's messages come in by where a broker stands before its store.

The package announces who keeps it; an app, which stands below, only asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reliable_tasks.store.protocol import Store

__all__ = ["Door", "announce", "door"]


class Door(Protocol):
    """What an app asks of the bridge."""

    def store_of(self, app: Any) -> Store:
        """The store as a program sees it that knows the broker."""
        ...

    def companion(self, app: Any, queues: Sequence[str]) -> Callable[[], int]:
        """The bridge that a worker runs in a process of its own; it ends with this process."""
        ...


_announced: Callable[[], Door] | None = None


def announce(load: Callable[[], Door]) -> None:
    """Say how to reach the door; loading it raises ConfigError where its libraries are missing."""
    global _announced  # noqa: PLW0603 - there is one
    _announced = load


def door() -> Door:
    """The door.

    Raises:
        ConfigError: there is none, or its libraries are not installed.
    """
    if _announced is None:
        raise ConfigError("nothing here speaks to brokers: import reliable_tasks first")
    return _announced()
