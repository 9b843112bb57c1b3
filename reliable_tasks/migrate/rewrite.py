"""From a file's bytes to those with the imports rewritten, and what is left to be done by hand."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reliable_tasks.migrate.leftovers import Left, leftovers
from reliable_tasks.migrate.targets import is_celerys, moved, moved_module, words

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Left", "Rewritten", "rewrite"]

_BOM = b"\xef\xbb\xbf"
_FROM = re.compile(rb"from[ \t]+([\w.]+)(?=[ \t\\])")
_LINE_END = re.compile(rb"\r?\n")
_REST_OF_ALIAS = re.compile(rb"[ \t]*,?[ \t]*")


_Moved = tuple[ast.alias, tuple[str, str] | None]
"""A name that is imported, and the module and name that it becomes; None where it stays."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What became of a file.

    Attributes:
        data: its bytes, rewritten.
        left: what could not be, by line.
    """

    data: bytes
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    text: bytes


def rewrite(data: bytes) -> Rewritten:
    """Rewrite the imports of Celery and celery_once in a file of Python.

    Raises:
        SyntaxError: it does not parse.
        UnicodeDecodeError: it is not UTF-8.
    """
    bom = _BOM if data.startswith(_BOM) else b""
    body = data.removeprefix(_BOM)
    body.decode()
    tree = _parsed(body)
    places = _Places(body)
    edits: list[_Edit] = []
    left = list(leftovers(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            edits += _of_import(node, places, left)
        elif isinstance(node, ast.ImportFrom) and not node.level and is_celerys(node.module):
            edits += _of_import_from(node, places, left)
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        body = body[: edit.start] + edit.text + body[edit.end :]
    if edits:
        _parsed(body)  # whatever was rewritten: a file that does not parse is never written
    return Rewritten(bom + body, tuple(sorted(left)))


def _parsed(body: bytes) -> ast.Module:
    with warnings.catch_warnings(action="ignore"):  # of a program's literals; they stay as they are
        return ast.parse(body)


class _Places:
    """Where a node stands, as offsets into the file's bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.newline = b"\r\n" if b"\r\n" in data else b"\n"
        self._starts = [0]
        for line in data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.stmt | ast.alias) -> tuple[int, int]:
        start = self._starts[node.lineno - 1] + node.col_offset
        assert node.end_lineno is not None  # noqa: S101 - the parser always says
        assert node.end_col_offset is not None  # noqa: S101
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset

    def before(self, start: int) -> bytes:
        """What stands on the line before an offset."""
        return self.data[self.data.rfind(b"\n", 0, start) + 1 : start]


def _of_import(node: ast.Import, places: _Places, left: list[Left]) -> Iterator[_Edit]:
    for alias in node.names:
        if not is_celerys(alias.name):
            continue
        target = moved_module(alias.name)
        if target is None:
            parent, _, name = alias.name.rpartition(".")
            left.append(Left(node.lineno, alias.name, words(parent or alias.name, name)))
            continue
        package = alias.name.partition(".")[0]
        text = f"{target} as {alias.asname or package}"
        if "." in alias.name and not alias.asname:  # it binds the package
            text = f"reliable_tasks as {package}, {target}"
        yield _Edit(*places.span(alias), text.encode())


def _of_import_from(node: ast.ImportFrom, places: _Places, left: list[Left]) -> Iterator[_Edit]:
    module = node.module or ""
    targets = [(alias, moved(module, alias.name)) for alias in node.names]
    for alias, target in targets:
        if target is None:
            left.append(Left(alias.lineno, f"{module}.{alias.name}", words(module, alias.name)))
    if all(target is None for _, target in targets):
        return
    # Names that go elsewhere than the first, or stay, get a statement of their own.
    stays = targets[0][1][0] if targets[0][1] else module
    first = [(a, t) for a, t in targets if (t[0] if t else module) == stays]
    others = [(a, t) for a, t in targets if (t[0] if t else module) != stays]
    start, end = places.span(node)
    written = places.data[start:end]
    found = _FROM.match(written)
    if found is None or (others and not written.endswith(b")")):
        yield _Edit(start, end, _statement(stays, first))
    else:
        yield _Edit(start + found.start(1), start + found.end(1), stays.encode())
        for alias, target in first:
            yield from _renamed(alias, target, places)
        for alias, _ in others:
            yield _removed(alias, places)
    if others:
        before = places.before(start)
        between = b"; " if before.strip() else places.newline + before
        yield _Edit(end, end, _more(others, module, between))


def _more(others: list[_Moved], module: str, between: bytes) -> bytes:
    """Further statements, one for each module."""
    by_module: dict[str, list[_Moved]] = {}
    for alias, target in others:
        by_module.setdefault(target[0] if target else module, []).append((alias, target))
    return b"".join(between + _statement(name, names) for name, names in by_module.items())


def _statement(module: str, names: list[_Moved]) -> bytes:
    parts = [_as_written(alias, target) for alias, target in names]
    return f"from {module} import {', '.join(parts)}".encode()


def _as_written(alias: ast.alias, target: tuple[str, str] | None) -> str:
    name = target[1] if target else alias.name
    bound = alias.asname or alias.name
    return name if name == bound else f"{name} as {bound}"


def _renamed(alias: ast.alias, target: tuple[str, str] | None, places: _Places) -> Iterator[_Edit]:
    if target is not None and target[1] != alias.name:
        yield _Edit(*places.span(alias), _as_written(alias, target).encode())


def _removed(alias: ast.alias, places: _Places) -> _Edit:
    start, end = places.span(alias)
    rest = _REST_OF_ALIAS.match(places.data, end)
    end = rest.end() if rest else end
    before = places.before(start)
    if not before.strip() and (line_end := _LINE_END.match(places.data, end)):
        return _Edit(start - len(before), line_end.end(), b"")  # nothing else is on its line
    return _Edit(start, end, b"")
