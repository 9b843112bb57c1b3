"""How much code there is, and where: without blank lines, comments and docstrings."""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = "reliable_tasks"
PACKAGES = (PACKAGE, "locks")

MAX_FILE = 400
MAX_FUNCTION = 50

STRICT_CORE = ("store/values", "store/protocol", "store/sqlite", "worker", "attempts", "tasks")
"""What a task needs to be called, stored in an SQLite file and run, by the rooms' beginnings."""

Function = ast.FunctionDef | ast.AsyncFunctionDef

_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True)
class Source:
    """A file of the product: its path from the root, and what stands in it."""

    path: str
    text: str

    @property
    def room(self) -> str:
        """The module or folder at the top of its package to which it belongs."""
        package, *inner = self.path.split("/")
        return (inner[0] if package == PACKAGE else package).removesuffix(".py")

    @property
    def code_lines(self) -> int:
        """How many lines are code."""
        if not self.path.endswith(".py"):
            lines = (line.strip() for line in self.text.splitlines())
            return sum(1 for line in lines if line and not line.startswith("--"))
        docstrings: set[int] = set()
        for node in ast.walk(ast.parse(self.text)):
            if is_docstring(node):
                docstrings.update(range(node.lineno, (node.end_lineno or 0) + 1))
        code: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in _LAYOUT:
                code.update(range(token.start[0], token.end[0] + 1))
        return len(code - docstrings)

    def functions(self) -> Iterator[Function]:
        """The functions and methods, inner ones included."""
        for node in ast.walk(ast.parse(self.text)) if self.path.endswith(".py") else ():
            if isinstance(node, Function):
                yield node


def is_docstring(node: ast.AST) -> TypeGuard[ast.Expr]:
    """Whether it is a text that nobody uses, below an attribute, too."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def body_lines(function: Function) -> int:
    """Lines from the first statement to the last: what one reads in order to follow it."""
    body = function.body[1:] if is_docstring(function.body[0]) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def sources(root: Path) -> list[Source]:
    """The product's files of Python, Lua and SQL, but for what is built of others."""
    return [
        Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((root / package).rglob("*"))
        if path.suffix in {".py", ".lua", ".sql"} and path.parent.name != "built"
    ]


def by_room(files: list[Source]) -> dict[str, int]:
    """Code lines of each room, the largest first."""
    rooms: Counter[str] = Counter()
    for source in files:
        rooms[source.room] += source.code_lines
    return dict(rooms.most_common())


def strict_core(files: list[Source]) -> dict[str, int]:
    """Code lines of each part of the strict core."""
    return {
        part: sum(s.code_lines for s in files if s.path.startswith(f"{PACKAGE}/{part}"))
        for part in STRICT_CORE
    }


def function_lengths(files: list[Source]) -> tuple[int, float, float, int]:
    """How many there are, and of their lines the median, the 95th percentile and the most."""
    lines = [(f.end_lineno or 0) - f.lineno + 1 for s in files for f in s.functions()]
    percentile = statistics.quantiles(lines, n=20)[-1] if len(lines) > 1 else max(lines)
    return len(lines), statistics.median(lines), percentile, max(lines)


def over_limits(files: list[Source]) -> list[str]:
    """Files and functions that are longer than the house rules allow."""
    found = [f"{s.path}: {n}" for s in files if (n := s.text.count("\n")) > MAX_FILE]
    found += [
        f"{source.path}::{function.name}: {lines}"
        for source in files
        for function in source.functions()
        if (lines := body_lines(function)) > MAX_FUNCTION
    ]
    return found
