"""The store's Lua scripts, made faster to start.

Each call of a script runs it from the top, and there every function that captures a local variable
costs a search among all that are captured: with a hundred of them that is most of what a small call
costs. So the numbers by which the fields of a record are known are put in where they are used, and
the functions become fields of one table. Those that stand between `-- @rare` and `-- @end` are made
only when one of them is called. What they do stays the same; only the source reads better without.

Between these two lines stand functions only; what they share with others is declared before.
"""

import functools
import re
from typing import Final

from locks.scripts import Script, load_script

__all__ = ["script"]

_PACKAGE: Final = "reliable_tasks.store.redis"
_NUMBERS: Final = re.compile(
    r"^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = (\d+(?:, \d+)*)(?: --.*)?$", re.MULTILINE
)
_FUNCTION: Final = re.compile(r"^(?:local )?function (\w+)\(", re.MULTILINE)
_RARE: Final = re.compile(r"^-- @rare\n(.*?)^-- @end\n", re.MULTILINE | re.DOTALL)
_TABLE: Final = """local F = {}
"""
_LAZY_TABLE: Final = """local F, make_rare = {}
setmetatable(F, { __index = function(_, name)
  make_rare()
  return rawget(F, name)
end })
"""
_COMMENT: Final = re.compile(r"^\s*--(?! @).*\n|[ \t]+--\s.*$", re.MULTILINE)


@functools.cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua`, ready to be called.

    Raises:
        FileNotFoundError: it, or a fragment that it includes, is not there.
    """
    loaded = load_script(_PACKAGE, f"{name}.lua")
    return Script(loaded.name, _gather(_inline(loaded.script)))


def _inline(text: str) -> str:
    """Put numbers that have a name in capitals in the place of their names."""
    numbers: dict[str, str] = {}
    for names, values in _NUMBERS.findall(text):
        numbers |= dict(zip(names.split(", "), values.split(", "), strict=True))
    if not numbers:
        return text
    text = _COMMENT.sub("", _NUMBERS.sub("", text))
    return re.sub(r"\b(?:" + "|".join(numbers) + r")\b", lambda m: numbers[m[0]], text)


def _gather(text: str) -> str:
    """Make the functions of the outermost level fields of one table."""
    names = set(_FUNCTION.findall(text))
    if not names:
        return text
    text = _FUNCTION.sub(r"function \1(", text)
    calls = re.compile(r"(?<![\w.:])(" + "|".join(sorted(names)) + r")\(")
    return _put_off_rare(calls.sub(r"F.\1(", text))


def _put_off_rare(text: str) -> str:
    """Make the rare functions where the last of them stands, once the first one is called."""
    blocks = list(_RARE.finditer(text))
    if not blocks:
        return _TABLE + text
    rare = "".join(block[1] for block in blocks)
    made_here = f"function make_rare()\n{rare}end\n"
    end = blocks[-1].end()
    return _LAZY_TABLE + _RARE.sub("", text[:end]) + made_here + text[end:]
