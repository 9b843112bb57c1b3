"""Parts that several chains have in common until somebody looks at them.

`a | b | c | …` makes a chain of each prefix, and each is to be usable on its own: to change a part
of one must not change another. To copy all parts for each `|` takes time that grows with the
square of the length. So a chain that `|` has made shares its parts, which nobody has seen yet, with
the chains made of it; whoever asks for them gets copies, made then and for that chain alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SharedParts"]


class SharedParts(list[Any]):
    """A list of signatures that may be in other such lists, too; to look into it makes copies."""

    __slots__ = ("is_shared",)

    def __init__(self, parts: Iterable[Any]) -> None:
        super().__init__(parts)
        self.is_shared = True

    def unseen(self) -> list[Any] | None:
        """The parts themselves, to be shared on; None once somebody has seen them."""
        return super().copy() if self.is_shared else None

    def own(self) -> None:
        """Make them this list's own."""
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


# What gives parts away or changes them. The rest (len, ==, in, repr) only reads.
for _name in (
    *("__add__", "__delitem__", "__getitem__", "__iadd__", "__imul__", "__iter__", "__mul__"),
    *("__reversed__", "__rmul__", "__setitem__", "append", "clear", "copy", "extend", "insert"),
    *("pop", "remove", "reverse", "sort"),
):
    setattr(SharedParts, _name, _owning(_name))
