"""How a chord member that added others to its chord returns all their values as one."""

from typing import Any

__all__ = ["extension", "extension_of"]

_EXTENDED = "__rt_extended__"


def extension(value: Any, added: list[Any]) -> dict[str, list[Any]]:
    """A member's own value and those of the calls that it added, as one value."""
    return {_EXTENDED: [value, *added]}


def extension_of(value: Any) -> list[Any] | None:
    """The member's own value and those it added; None where it added none."""
    if type(value) is dict and len(value) == 1 and _EXTENDED in value:
        found: list[Any] = value[_EXTENDED]
        return found
    return None
