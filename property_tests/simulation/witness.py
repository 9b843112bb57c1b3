"""Who is told what simulated bodies do, and the exception that stands for the end of a process."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["PoisonError", "Witness"]


class PoisonError(BaseException):
    """The process that runs this body dies of it."""


class Witness(Protocol):
    """Who is told of what bodies do to the world outside, and may interfere."""

    def effect(self, task: Any) -> None:
        """A body had its effect."""
        ...

    def charge(self, message_id: str) -> None:
        """A step had its effect."""
        ...

    def charged(self, message_id: str) -> None:
        """A step was recorded, and its body goes on."""
        ...

    def unknown(self, message_id: str) -> None:
        """A body was told that nobody knows of its step."""
        ...

    def misbehaves(self, place: str, deed: str) -> None:
        """User code does this here; it may be the last thing that its process does."""
        ...
