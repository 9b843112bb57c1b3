"""Build the Redis store's scripts: `python -m tests.lua.build`.

Each `lua/<name>.lua` becomes `lua/built/<name>.lua`, which is what servers run. It does the same,
and starts faster: a server runs a script from the top at each call, where every function costs,
since it is made and later collected: with a hundred of them, most of what a small call costs. So:

- `-- @include x.lua` is replaced by that fragment, the first time.
- A number whose name is in capitals is put in where it is used.
- The functions of the outermost level become fields of one table `F`, made large enough at once.
  They know each other wherever they stand. In a script that has a fast path this holds for those
  between `-- @fields` and `-- @end fields` only, which belong to the general path.
- Those between `-- @rare` and `-- @end` are made all together when the first of them is missed.
- What a script never uses is left out.
"""

from __future__ import annotations

import bisect
import functools
import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lua.headers import headers
from tests.lua.syntax import names_of, parse, text_of, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tree_sitter import Node

__all__ = ["BUILT", "LUA", "build", "built_scripts", "source", "write_all"]

LUA: Final = Path(str(files("reliable_tasks.store.redis"))) / "lua"
BUILT: Final = LUA / "built"

_HOMES: Final = (LUA / "include", LUA, Path(str(files("locks"))) / "lua" / "include")
_INCLUDE: Final = re.compile(r"^-- @include (\S+)\n", re.MULTILINE)
_FROM: Final = "-- @from "
_CONSTANT: Final = re.compile(r"[A-Z][A-Z_]*")
_FIELD_OF_GENERAL: Final = re.compile(r"(?:general\(\)|made|F)\.(\w+)")
_DOES_NOTHING: Final = {
    *("number", "string", "true", "false", "nil", "identifier"),
    *("table_constructor", "function_definition", "unary_expression", "binary_expression"),
}


# Sources ------------------------------------------------------------------------------------------


def built_scripts() -> dict[str, str]:
    """The text of each script by its name, as it is to be built."""
    return {
        name: f"-- Built of {name}.lua by `python -m tests.lua.build`.\n{build(source(name))}"
        for name in sorted(path.stem for path in LUA.glob("*.lua"))
    }


@functools.cache
def source(name: str) -> str:
    """A script with its fragments in place; marks tell where each part comes from."""
    return _resolved(f"{name}.lua", LUA / f"{name}.lua", set())


def _resolved(name: str, path: Path, seen: set[str]) -> str:
    def fragment(match: re.Match[str]) -> str:
        included = match[1]
        if included in seen:
            return ""
        seen.add(included)
        found = next(home / included for home in _HOMES if (home / included).is_file())
        return f"{_resolved(included, found, seen)}{_FROM}{name}\n"

    return f"{_FROM}{name}\n" + _INCLUDE.sub(fragment, path.read_text("utf-8"))


# Statements ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Part:
    """A statement of a level whose statements are kept or left out as a whole.

    Attributes:
        node: the statement.
        fragment: the file that it comes from.
        is_rare: whether it stands between the marks of the rare.
        name: of a function that becomes a field of F; "" for others.
        uses: the parts that declare what it uses.
    """

    node: Node
    fragment: str
    is_rare: bool
    name: str = ""
    uses: set[_Part] = field(default_factory=set)

    @property
    def only_declares(self) -> bool:
        """Whether it does nothing that matters where nobody uses what it declares."""
        if self.node.type == "function_declaration":
            return self.node.children[0].type == "local"
        return self.node.type == "variable_declaration" and all(
            value.type in _DOES_NOTHING for value in self._declaration()[1]
        )

    def numbers(self) -> dict[str, str]:
        """The numbers that it declares, by name, if that is all it does."""
        if self.node.type != "variable_declaration":
            return {}
        names, values = self._declaration()
        texts = map(text_of, names)
        if len(names) != len(values) or any(value.type != "number" for value in values):
            return {}
        found = dict(zip(texts, map(text_of, values), strict=True))
        return found if all(map(_CONSTANT.fullmatch, found)) else {}

    def _declaration(self) -> tuple[list[Node], list[Node]]:
        """Names and values of a `local` statement."""
        inner = self.node.named_children[0]
        if inner.type != "assignment_statement":
            return inner.named_children, []
        names, values = inner.named_children
        return names.named_children, values.named_children


def _parts_of(nodes: Iterable[Node], *, are_fields: bool) -> list[_Part]:
    parts, fragment, is_rare = [], "", False
    for node in nodes:
        text = text_of(node)
        if text == "-- @rare":
            is_rare = True
        elif text == "-- @end":
            is_rare = False
        elif text.startswith(_FROM):
            fragment = text.removeprefix(_FROM)
        elif node.type != "comment" and text != "local F = {}":
            part = _Part(node, fragment, is_rare)
            if are_fields and node.type == "function_declaration" and part.only_declares:
                part.name = text_of(_name_of(node))
            if is_rare and not part.name:
                raise SyntaxError(
                    f"{fragment}: among the rare stand functions only, not {text[:60]}"
                )
            parts.append(part)
    fields = [part.name for part in parts if part.name]
    if twice := {name for name in fields if fields.count(name) > 1}:
        raise SyntaxError(f"several functions have the same name: {sorted(twice)}")
    return parts


def _name_of(function: Node) -> Node:
    name = function.child_by_field_name("name")
    assert name is not None
    return name


# Building -----------------------------------------------------------------------------------------


def _start_of(edit: tuple[int, int, str]) -> int:
    return edit[0]


def build(text: str) -> str:
    """A script as a server runs it.

    Args:
        text: its source, with the fragments in place.

    Raises:
        SyntaxError: it is not Lua, or two functions have the same name.
    """
    root = parse(text)
    marks = [node for node in walk(root) if text_of(node) in {"-- @fields", "-- @end fields"}]
    outer = _parts_of(root.children, are_fields=not marks)
    building = _Building(text.encode(), outer)
    if not marks:
        building.refer(root)
        return building.table(outer)
    first, last = marks
    inside = range(first.end_byte, last.start_byte)
    siblings = first.parent.children if first.parent else []
    inner = _parts_of([n for n in siblings if n.start_byte in inside], are_fields=True)
    building.inner = inner
    building.refer(root)
    building.edits.append((first.start_byte, last.end_byte, building.table(inner)))
    return building.lines(outer)


class _Building:
    """A source, and what is changed in it.

    Attributes:
        inner: the parts of the general path, where a script has one.
        edits: ranges of bytes, and what takes their place.
    """

    def __init__(self, source: bytes, outer: list[_Part]) -> None:
        self._source = source
        self._outer = outer
        self._kept: set[_Part] = set()
        self.inner: list[_Part] = []
        self.edits: list[tuple[int, int, str]] = []

    def refer(self, root: Node) -> None:
        """Find out what uses what, and let names stand for fields and numbers."""
        names = names_of(root)
        fields = {part.name: part for part in (*self._outer, *self.inner) if part.name}
        for variable in names.variables:
            home = self._part_at(variable.declared)
            self._use(home, [*variable.reads, *variable.writes])
            if fields.get(variable.name) is home and variable.declared == _name_of(home.node):
                self._replace(variable.reads, f"F.{variable.name}")
            elif variable.name in home.numbers():
                self._replace(variable.reads, home.numbers()[variable.name])
        for node in names.reads:  # of functions that stand further down
            if part := fields.get(text_of(node)):
                self._use(part, [node])
                self._replace([node], f"F.{part.name}")
        for node in walk(root):
            found = _FIELD_OF_GENERAL.fullmatch(text_of(node)) if "index" in node.type else None
            if found and found[1] in fields:
                self._use(fields[found[1]], [node])
            elif node.type == "comment":
                self._replace([node], "")
        for name, part in fields.items():
            start, end = part.node.start_byte, _name_of(part.node).end_byte
            self.edits.append((start, end, f"function F.{name}"))
        self._keep()

    def _part_at(self, node: Node) -> _Part:
        """The part in which a node lies, the inner one if there are two."""
        for parts in (self.inner, self._outer):
            at = bisect.bisect(parts, node.start_byte, key=lambda part: part.node.start_byte) - 1
            if at >= 0 and node.start_byte < parts[at].node.end_byte:
                return parts[at]
        return _Part(node, "", is_rare=False)

    def _use(self, part: _Part, nodes: list[Node]) -> None:
        for node in nodes:
            self._part_at(node).uses.add(part)

    def _replace(self, nodes: list[Node], text: str) -> None:
        self.edits += [(node.start_byte, node.end_byte, text) for node in nodes]

    def _keep(self) -> None:
        """Keep what does something, and what that needs."""
        waiting = [part for part in (*self._outer, *self.inner) if not part.only_declares]
        while waiting:
            part = waiting.pop()
            if part not in self._kept:
                self._kept.add(part)
                waiting.extend(part.uses)

    def table(self, parts: list[_Part]) -> str:
        """Parts whose functions are fields of F."""
        kept = [part for part in parts if part in self._kept]
        often = sorted(part.name for part in kept if part.name and not part.is_rare)
        rare = [part for part in kept if part.is_rare]
        made = (
            f"local F = {{ {', '.join(f'{name} = false' for name in often)} }}\n" if often else ""
        )
        if not rare:
            return made + self.lines(kept)
        last = parts.index(rare[-1])
        missed = (
            "setmetatable(F, { __index = function(_, missed)\nsetmetatable(F, nil)\n"
            f"{self.lines(rare)}return F[missed]\nend }})\n"
        )
        before = [part for part in parts[:last] if not part.is_rare]
        return (
            (made or "local F = {}\n") + self.lines(before) + missed + self.lines(parts[last + 1 :])
        )

    def lines(self, parts: list[_Part]) -> str:
        """The text of those parts that are kept, with the names of the files they come from."""
        texts, fragment = [], ""
        for part in parts:
            if part not in self._kept or part.numbers():
                continue
            if part.fragment != fragment:
                fragment = part.fragment
                texts.append(f"-- {fragment}")
            texts += [line for line in self._text(part.node).splitlines() if line.strip()]
        return "".join(f"{line.rstrip()}\n" for line in texts)

    def _text(self, node: Node) -> str:
        pieces, at, end = [], node.start_byte, node.end_byte
        self.edits.sort(key=lambda edit: (edit[0], -edit[1]))  # what lies within another is last
        first, last = (bisect.bisect_left(self.edits, at, key=_start_of) for at in (at, end))
        for start, behind, text in self.edits[first:last]:
            if at <= start:
                pieces += [self._source[at:start].decode(), text]
                at = behind
        return "".join([*pieces, self._source[at:end].decode()])


# Files --------------------------------------------------------------------------------------------


def write_all() -> None:
    """Write what is made of Python's classes, and the scripts that servers run."""
    for name, text in headers().items():
        (LUA / "include" / name).write_text(text, "utf-8")
    BUILT.mkdir(exist_ok=True)
    wanted = built_scripts()
    for path in BUILT.glob("*.lua"):
        if path.stem not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (BUILT / f"{name}.lua").write_text(text, "utf-8")


if __name__ == "__main__":
    write_all()
