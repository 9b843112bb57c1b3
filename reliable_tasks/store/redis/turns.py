"""A look at whose turn it is, which is all that most who ask need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Turns"]

ALONE: Final = b"alone"


class Turns:
    """The turns of a namespace, as take_turn.lua writes them down.

    Args:
        command: sends a command.
        key: the prefix of all keys.
    """

    def __init__(self, command: Callable[..., Any], key: str) -> None:
        self._command = command
        self._key = key
        self._seen: Sequence[bytes | None] = (None, None)

    def are_taken(self, which: str, host: str) -> bool:
        """Whether to reap and to look after a host are others' turns now.

        Who asks twice and finds the same does not believe it: if the server's clock was set back,
        a key lasts for longer than it was meant to.
        """
        before = self._seen
        self._seen = self._command(
            "MGET", f"{self._key}turn:{which}", f"{self._key}turn:host:{host}"
        )
        reaps, looks = self._seen
        is_fresh = reaps != before[0] and (looks in {ALONE, None} or looks != before[1])
        return is_fresh and reaps is not None and looks is not None
