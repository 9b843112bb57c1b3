"""What Lua has to know of Python's classes: made from them by `python -m tests.lua.build`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reliable_tasks.core.message import Edge, OnceLock
from reliable_tasks.core.once import Scope
from reliable_tasks.core.outcome import HOOK_DELIVERIES
from reliable_tasks.store.redis.codec import fast_path, layout
from reliable_tasks.store.redis.codec.schedules import Slots
from reliable_tasks.store.values import AUDIT_COUNTED_MS, AUDIT_ROW_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["headers"]

_MADE: Final = "Made by `python -m tests.lua.build`."


def headers() -> dict[str, str]:
    """The fragments that are made, by their names."""
    return {"fields.lua": _fields(), "scopes.lua": _scopes()}


def _fields() -> str:
    """Positions of fields, and the numbers that both sides know."""
    bytes_ = {f"IS_{name}": getattr(fast_path, name) for name in _FIRST_BYTES}
    numbers = {
        **bytes_,
        "IS_ARRAY": fast_path.ARRAY[0],
        "QUEUED_HEAD": fast_path.QUEUED_HEAD.size,
        "CLAIMED_HEAD": fast_path.CLAIMED_HEAD.size,
        "PLACED": fast_path.PLACED.size,
        "INLINE": layout.INLINE,
        "HOOK_DELIVERIES": HOOK_DELIVERIES,
        "AUDIT_ROW_BYTES": AUDIT_ROW_BYTES,
        "AUDIT_COUNTED_MS": AUDIT_COUNTED_MS,
    }
    parts = [
        f"-- Positions of fields in msgpack's arrays. {_MADE}\n",
        _positions("c of a record: what changes", layout.Control.__struct_fields__),
        _positions("m of a record: what was enqueued", layout.Static.__struct_fields__),
        _positions("m[ONCE], x.once", OnceLock.__struct_fields__),
        _positions("x.edges[n]", Edge.__struct_fields__),
        _positions("a message to store", layout.Row._fields, "ROW_"),
        _positions("who claimed a message", fast_path.Stamp.__struct_fields__, "STAMP_"),
        _positions("a schedule entry: what changes", Slots._fields, "SLOT_"),
        _numbers("first bytes, sizes of what stands before the array, limits", numbers),
    ]
    text = "\n".join(parts)
    names = re.findall(r"\b[A-Z][A-Z_]+\b(?=.* = )", text)
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"these names mean two fields: {sorted(twice)}")
    return text


_FIRST_BYTES: Final = ("QUEUED", "CLAIMED", "SUCCEEDED", "SILENT")


def _positions(about: str, fields: Sequence[str], prefix: str = "") -> str:
    names = [prefix + field.removesuffix("_ms").upper() for field in fields]
    return _numbers(about, {name: at for at, name in enumerate(names, 1)})


def _numbers(about: str, numbers: Mapping[str, int]) -> str:
    lines = [f"-- {about}"]
    pairs = [*numbers.items()]
    for first in range(0, len(pairs), 6):
        some = pairs[first : first + 6]
        names, values = ", ".join(n for n, _ in some), ", ".join(str(n) for _, n in some)
        lines.append(f"local {names} = {values}")
    return "".join(f"{line}\n" for line in lines)


def _scopes() -> str:
    """The sets of once-scopes."""
    held_until = {s for s in Scope if s.is_held_from_enqueue}
    sets = {
        "HELD_UNTIL": held_until,
        "HELD_WHILE": {s for s in Scope if s.is_held_while_running},
        "FREED_BY_CLAIM": {s for s in Scope if s.is_freed_by_claim},
        "FREED_BY_END": held_until - {s for s in Scope if s.outlives_message},
    }
    return f"-- Sets of once-scopes. {_MADE}\n\n" + "".join(map(_set, sets, sets.values()))


def _set(name: str, scopes: AbstractSet[str]) -> str:
    entries = "".join(f"  {scope} = true,\n" for scope in sorted(scopes))
    return f"local {name} = {{\n{entries}}}\n"
