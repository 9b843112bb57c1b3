"""What a handle stands for, and what comes before it."""

from __future__ import annotations

from typing import Any

__all__ = ["lineage"]


def lineage(handle: Any) -> list[str]:
    """The ids of a handle's messages and of those before them in their chains, the last first."""
    found = dict[str, None]()
    visited = set[int]()
    todo = [handle]
    while todo:
        each = todo.pop()
        if each is None or id(each) in visited:
            continue
        visited.add(id(each))
        todo.append(each._parent)  # noqa: SLF001 - as known here; nothing is asked for
        members = getattr(each, "results", None)
        if members is not None:  # a group, which is no message itself
            todo.extend(reversed(members))
        elif each.stored:
            found[each.id] = None
    return list(found)
