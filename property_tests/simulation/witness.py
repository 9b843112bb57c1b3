"""The observer of what simulated bodies do, and the exception that ends their process."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["PoisonError", "Witness"]


class PoisonError(BaseException):
    """The process that runs this body dies of it."""


class Witness(Protocol):
    """Observes the side effects of bodies, and may interfere."""

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
        """A body got StepOutcomeUnknown for its step."""
        ...

    def misbehaves(self, place: str, deed: str) -> None:
        """User code does this here; it may be the last thing that its process does."""
        ...
