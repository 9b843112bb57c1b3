"""Parts that several chains share until somebody reads them.

`a | b | c | …` makes a chain of each prefix, and each must be usable on its own: changing a part of
one must not change another. Copying all parts for each `|` would take time quadratic in the length.
So a chain made by `|` shares its parts with the chains made of it, as long as nobody has read them;
reading them makes copies for that chain alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SharedParts"]


class SharedParts(list[Any]):
    """A list of signatures that other such lists may hold, too; reading it makes copies."""

    __slots__ = ("is_shared",)

    def __init__(self, parts: Iterable[Any]) -> None:
        super().__init__(parts)
        self.is_shared = True

    def unseen(self) -> list[Any] | None:
        """Return the parts to share with another list; None once somebody has read them."""
        return super().copy() if self.is_shared else None

    def own(self) -> None:
        """Replace shared parts by copies of this list's own."""
        if self.is_shared:
            self.is_shared = False
            own = [part.clone() for part in super().__iter__()]
            super().__setitem__(slice(None), own)

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return list, (list(self),)


def _owning(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def owned(self: SharedParts, *args: Any, **kwargs: Any) -> Any:
        self.own()
        return method(self, *args, **kwargs)

    return owned


# The methods that hand out or change parts. The rest (len, ==, in, repr) can share them.
for _name in (
    *("__add__", "__delitem__", "__getitem__", "__iadd__", "__imul__", "__iter__", "__mul__"),
    *("__reversed__", "__rmul__", "__setitem__", "append", "clear", "copy", "extend", "insert"),
    *("pop", "remove", "reverse", "sort"),
):
    setattr(SharedParts, _name, _owning(_name))
