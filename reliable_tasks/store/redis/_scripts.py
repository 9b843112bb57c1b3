"""The store's Lua scripts, made faster to start.

Each call of a script runs it from the top, and there every function costs: it is made, and is
collected later. With a hundred of them that is most of what a small call costs. So the numbers by
which the fields of a record are known are put in where they are used; the functions become fields
of one table, which is made large enough at once; and those that a plain call does not need are made
all together when the first of them is missed. What they do stays the same; only the source reads
better without.
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
_NAMES: Final = """
admit audit_id audit_row break_child count_down expiry_of field follow follow_errback forget
free held_by is_dead let_one_go_on lock_entry lock_extend lock_free lock_of lock_owner lock_take
mirror move_aside nudge nudge_one on_free open_stage open_to_parents overwrite park parked
parked_first put_input receipt receipt_again refuse set_extra set_field stage_open succeed take
tell_watcher time_left uncount unpark waiter_add waiter_remove wake_one
"""
_SELDOM: Final = frozenset(_NAMES.split())
"""Functions of the fragments that a plain enqueue and a plain exchange do without."""

_FUNCTION: Final = re.compile(r"^(?:local )?function (\w+)\(", re.MULTILINE)
_WHOLE_FUNCTION: Final = re.compile(
    r"^function F\.(\w+)\((?:[^\n]* end|.*?\nend)\n", re.MULTILINE | re.DOTALL
)
_COMMENT: Final = re.compile(r"^\s*--.*\n|[ \t]+--\s.*$", re.MULTILINE)


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
    text = _FUNCTION.sub(r"function F.\1(", text)
    calls = re.compile(r"(?<![\w.:])(" + "|".join(sorted(names)) + r")\(")
    text = _set_apart(calls.sub(r"F.\1(", text))
    room = ", ".join(f"{name} = false" for name in sorted(names - _SELDOM))
    return f"local F = {{ {room} }}\n{text}"


def _set_apart(text: str) -> str:
    """Make the functions that are seldom needed when one of them is."""
    found = [m for m in _WHOLE_FUNCTION.finditer(text) if m[1] in _SELDOM]
    if not found:
        return text
    end = found[-1].end()
    seldom = "".join(m[0] for m in found)
    often = _WHOLE_FUNCTION.sub(lambda m: "" if m[1] in _SELDOM else m[0], text[:end])
    missed = f"setmetatable(F, nil)\n{seldom}return F[name]\n"
    made = f"setmetatable(F, {{ __index = function(_, name)\n{missed}end }})\n"
    return often + made + text[end:]
