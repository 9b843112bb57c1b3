"""What is wrong with a Lua script: names that mean nothing, or two things."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.lua.syntax import line_of, names_of, parse, text_of, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from tests.lua.syntax import Names, Variable

__all__ = ["faults", "functions", "lines_of_code"]

_KNOWN: Final = {
    *("KEYS", "ARGV", "redis", "cmsgpack", "struct", "math", "string", "table"),
    *("ipairs", "next", "pairs", "pcall", "setmetatable", "tonumber", "type", "unpack"),
}
_TABLES_OF_FUNCTIONS: Final = {"F", "made", "general()"}


def faults(source: str) -> list[str]:
    """What is wrong with a script, each with its line."""
    root = parse(source)
    names = names_of(root)
    found = [*_globals(names), *_fields(root)]
    for variable in names.variables:
        found += _of_variable(variable)
    return [f"{line}: {text}" for line, text in sorted(found)]


def _globals(names: Names) -> Iterator[tuple[int, str]]:
    for node in names.reads:
        if text_of(node) not in _KNOWN:
            yield line_of(node), f"{text_of(node)} is declared nowhere"
    for node in names.writes:
        yield line_of(node), f"{text_of(node)} is written, and is no local variable"


def _of_variable(variable: Variable) -> Iterator[tuple[int, str]]:
    name, line = variable.name, line_of(variable.declared)
    if name == "_":
        return
    hidden, is_parameter = variable.hides, _is_parameter(variable.declared)
    if hidden and not (is_parameter and hidden.depth == 0):
        yield line, f"{name} hides the one of line {line_of(hidden.declared)}"
    if not variable.reads and variable.depth > 0:
        yield line, f"{name} is never used"


def _is_parameter(node: Node) -> bool:
    return node.parent is not None and node.parent.type == "parameters"


def _fields(root: Node) -> Iterator[tuple[int, str]]:
    """Functions that have the same name, or none."""
    defined = Counter(name for name, _ in functions(root))
    for name, node in functions(root):
        if defined[name] > 1:
            yield line_of(node), f"{defined[name]} functions are called {name}"
    for node in walk(root):
        if node.type == "dot_index_expression":
            table, name = map(text_of, node.named_children)
            if table in _TABLES_OF_FUNCTIONS and name not in defined:
                yield line_of(node), f"{table}.{name} is defined nowhere"


def functions(root: Node) -> list[tuple[str, Node]]:
    """The functions that have a name, without the table that they are a field of."""
    found = []
    for node in walk(root):
        name = node.child_by_field_name("name")
        if node.type == "function_declaration" and name is not None:
            found.append((text_of(name).rpartition(".")[2], node))
    return found


def lines_of_code(function: Node) -> int:
    """How many lines there are between the first one of a function and its `end`."""
    return max(0, function.end_point.row - function.start_point.row - 1)
