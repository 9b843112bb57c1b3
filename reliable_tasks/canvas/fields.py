"""Attributes stored as items of a dictionary, and helpers for a signature's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Field", "linked", "listed", "over"]

T = TypeVar("T")
_TIMING = frozenset({"countdown", "eta"})


def listed(value: Any) -> list[Any]:
    """Return several values as a list, and a single one as a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def linked(option: str, value: Any, signature: Callable[[Any], Any]) -> list[Any]:
    """Return callbacks as signatures; None means none.

    Raises:
        ConfigError: one is not a signature; the error names the option.
    """
    try:
        return [] if value is None else [signature(each) for each in listed(value)]
    except ConfigError as exc:
        raise ConfigError(f"{option}: {exc}") from None


def over(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Merge options: `given` wins, and a countdown replaces an eta and vice versa.

    The lists of stamps are joined.
    """
    if "stamped_headers" in own and "stamped_headers" in given:
        listed = dict.fromkeys((*own["stamped_headers"], *given["stamped_headers"]))
        given = {**given, "stamped_headers": list(listed)}
    gone = _TIMING if not _TIMING.isdisjoint(given) else frozenset()
    return {**{name: value for name, value in own.items() if name not in gone}, **given}


class Field(Generic[T]):
    """An attribute stored as an item of the dictionary, or of one nested in it."""

    def __init__(self, *path: str) -> None:
        self._path = path[:-1]
        self._key = path[-1]

    def _home(self, sig: dict[str, Any]) -> dict[str, Any]:
        home: dict[str, Any] = sig
        for name in self._path:
            home = home[name]
        return home

    def __get__(self, sig: dict[str, Any], owner: object = None) -> T:
        home = self._home(sig) if self._path else sig
        return home.get(self._key)  # type: ignore[return-value]

    def __set__(self, sig: dict[str, Any], value: T) -> None:
        self._home(sig)[self._key] = value
