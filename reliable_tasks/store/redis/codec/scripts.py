"""The store's Lua scripts, made faster to start.

Each call of a script runs it from the top, and there every function costs: it is made, and is
collected later. With a hundred of them that is most of what a small call costs. So the numbers by
which the fields of a record are known are put in where they are used; the functions become fields
of one table, which is made large enough at once; and those that stand between `-- @rare` and
`-- @end` are made all together when the first of them is missed. What they do stays the same; only
the source reads better without.

Between these two lines stand functions only; what they share with others is declared before.

What stands between `-- @general` and `-- @end general`, at most once in a script, becomes the body
of a function `general`. It is run when first called and returns that table; until then all of it
costs nothing, so that a script whose common path is short pays for no more than that.
"""

import functools
import re
from collections.abc import Sequence
from typing import Any, Final

from locks.scripts import Script, load_script

__all__ = ["relief", "script"]

_PACKAGE: Final = "reliable_tasks.store.redis"
_NUMBERS: Final = re.compile(
    r"^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = (\d+(?:, \d+)*)(?: --.*)?$", re.MULTILINE
)
_FUNCTION: Final = re.compile(r"^(?:local )?function (\w+)\(", re.MULTILINE)
_CALL: Final = re.compile(r"(?<![\w.:])(\w+)\(")
_CAPITALS: Final = re.compile(r"\b[A-Z][A-Z_]*\b")
_RARE: Final = re.compile(r"^-- @rare\n(.*?)^-- @end\n", re.MULTILINE | re.DOTALL)
_GENERAL: Final = re.compile(r"^-- @general\n(.*?)^-- @end general\n", re.MULTILINE | re.DOTALL)
_GROWING: Final = frozenset({"enqueue", "fire", "put_entry", "replay", "report", "step"})
"""Verbs that a server at its `maxmemory` refuses: what they bring would stay."""
_SMALL: Final = 65_536
_COMMENT: Final = re.compile(r"^\s*--(?! @).*\n|[ \t]+--\s.*$", re.MULTILINE)


@functools.cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua`, ready to be called.

    Raises:
        FileNotFoundError: it, or a fragment that it includes, is not there.
    """
    loaded = load_script(_PACKAGE, f"{name}.lua")
    text = _inline(loaded.script)
    general = _GENERAL.search(text)
    if not general:
        return Script(loaded.name, _gather(text))
    body = f"if made then return made end\n{_gather(general[1])}made = F\nreturn F\n"
    function = f"local made\nlocal function general()\n{body}end\n"
    return Script(loaded.name, text[: general.start()] + function + text[general.end() :])


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


def _inline(text: str) -> str:
    """Put numbers that have a name in capitals in the place of their names."""
    numbers: dict[str, str] = {}
    for names, values in _NUMBERS.findall(text):
        numbers |= dict(zip(names.split(", "), values.split(", "), strict=True))
    text = _COMMENT.sub("", _NUMBERS.sub("", text))
    return _CAPITALS.sub(lambda m: numbers.get(m[0], m[0]), text)


def _gather(text: str) -> str:
    """Make the functions of the outermost level fields of one table."""
    names = set(_FUNCTION.findall(text))
    if not names:
        return text
    text = _FUNCTION.sub(r"function \1(", text)
    text = _CALL.sub(lambda m: f"F.{m[0]}" if m[1] in names else m[0], text)
    blocks = list(_RARE.finditer(text))
    rare = "".join(block[1] for block in blocks)
    often = sorted(names - set(re.findall(r"^function F\.(\w+)", rare, re.MULTILINE)))
    table = f"local F = {{ {', '.join(f'{name} = false' for name in often)} }}\n"
    if not blocks:
        return table + text
    missed = f"setmetatable(F, nil)\n{rare}return F[name]\n"
    made = f"setmetatable(F, {{ __index = function(_, name)\n{missed}end }})\n"
    end = blocks[-1].end()
    return table + _RARE.sub("", text[:end]) + made + text[end:]
