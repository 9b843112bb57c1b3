"""The store's Lua scripts, as `tests/lua/build.py` has built them."""

import functools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

from locks.scripts import Script

__all__ = ["relief", "script"]

_GROWING: Final = frozenset({"enqueue", "fire", "put_entry", "replay", "report", "step"})
"""Verbs that a server at its `maxmemory` refuses: what they bring would stay."""
_SMALL: Final = 65_536


@functools.cache
def script(name: str) -> Script:
    """The script `lua/built/<name>.lua`.

    Raises:
        FileNotFoundError: there is none.
    """
    return Script(f"{name}.lua", text_of(name))


def text_of(name: str) -> str:
    """The source that servers get."""
    path = files("reliable_tasks.store.redis") / "lua" / "built" / f"{name}.lua"
    return path.read_text("utf-8")


def relief(name: str, args: Sequence[Any]) -> Script | None:
    """The same script for a server at its `maxmemory`; None where that is right to refuse it.

    Without it nothing would ever become less: leases lapse, what has expired stays, the queue is
    not worked off. The server refuses what may need memory only as the first write of a script. So
    this one begins with a write that needs none.

    Args:
        name: of a script that was refused, and so has written nothing.
        args: its ARGV; what is large, such as the results of a commit, waits until there is room.
    """
    size = sum(len(arg) for arg in args if isinstance(arg, bytes))
    return None if name in _GROWING or size > _SMALL else _relieved(name)


@functools.cache
def _relieved(name: str) -> Script:
    return Script(name, f"redis.call('DEL', KEYS[1] .. 'room')\n{script(name).script}")
