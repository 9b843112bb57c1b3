"""Every way to break one line of Python a little: the places, and the text that goes there.

A break is a change of the text, not of a tree, so that its difference reads as one a colleague had
made. What cannot be noticed is left out: docstrings, annotations, `__all__` and `__slots__`, what
only a type checker reads, and the words of messages and log lines.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Break", "breaks_of", "lines_of_functions"]


@dataclass(frozen=True, slots=True)
class Break:
    """One change of one place.

    Attributes:
        line: where it begins, counted from 1.
        what: the kind of break, in words.
        start, end: the characters of the source that are replaced.
        new: what takes their place.
    """

    line: int
    what: str
    start: int
    end: int
    new: str

    def applied(self, source: str) -> str:
        """The broken source."""
        return source[: self.start] + self.new + source[self.end :]


_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_SYMBOLS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.FloorDiv: "*",
    ast.Div: "*",
    ast.Mod: "+",
    ast.BitOr: "&",
    ast.BitAnd: "|",
}
_SIGNS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "//",
    ast.Div: "/",
    ast.Mod: "%",
    ast.BitOr: "|",
    ast.BitAnd: "&",
}
_LOGGERS = re.compile(r"^(_?log|_?logger|logging|warnings)$", re.IGNORECASE)
_SAYING = {"debug", "info", "warning", "error", "exception", "critical", "warn", "log", "say"}
_FOR_TYPES = {"cast", "TypeVar", "ParamSpec", "NewType", "overload"}
_FOR_READERS = {"__repr__", "__str__"}
_NOT_NOTICED = {"daemon", "name", "strict", "stacklevel", "doc"}  # arguments that change no deed
_NAMES = re.compile(r"[\w:.*-]+")
_LARGE = 3  # a number beyond is a size or a time: one more of it is not a break


class _Places:
    """Where the nodes of a source stand in its characters."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = [line.encode() for line in source.splitlines(keepends=True)]
        self._begins = [0]
        for line in source.splitlines(keepends=True):
            self._begins.append(self._begins[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        """The index of a place that `ast` names by bytes."""
        return self._begins[line - 1] + len(self._lines[line - 1][:column].decode())

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.at(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.at(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        return self.source[self.start(node) : self.end(node)]


def breaks_of(source: str) -> list[Break]:
    """All breaks of a Python source, by line."""
    places = _Places(source)
    found = [b for node in _code(ast.parse(source)) for b in _breaks(node, places)]
    return sorted(found, key=lambda b: (b.line, b.start, b.end, b.what))


def lines_of_functions(source: str) -> set[int]:
    """The lines that run when a function is called, not when its module is imported."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.update(range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1))
    return found


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes whose change a test could notice; each has its parent as `parent`."""
    for child in ast.iter_child_nodes(node):
        child.parent = node  # type: ignore[attr-defined]
        if not _is_silent(child, node):
            yield child
            yield from _code(child)


def _is_silent(node: ast.AST, parent: ast.AST) -> bool:
    """Whether nothing in this node could be noticed by a test."""
    if isinstance(parent, ast.Raise | ast.Assert):
        return True  # the words of an error; that it is raised at all is a break of its own
    notes = [getattr(parent, "annotation", None), getattr(parent, "returns", None)]
    if node in [*notes, *getattr(parent, "decorator_list", ())]:
        return True  # what is said to a type checker; whether a value is frozen, or has slots
    if isinstance(node, ast.stmt):
        return _is_silent_statement(node)
    match node:
        case ast.keyword(arg=name):
            return isinstance(parent, ast.ClassDef) or name in _NOT_NOTICED
        case ast.Call():
            return _says(node) or (isinstance(node.func, ast.Name) and node.func.id in _FOR_TYPES)
    return isinstance(node, ast.JoinedStr)


def _is_silent_statement(node: ast.stmt) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Global() | ast.Nonlocal():
            return True
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return node.name in _FOR_READERS or _is_for_types(node)
        case ast.Expr(value=ast.Constant()):
            return True  # a docstring, or the dots of a protocol
        case ast.If(test=test):
            return "TYPE_CHECKING" in ast.unparse(test)
        case ast.Assign() | ast.AnnAssign():
            return _assigns_names_only(node)
    return False


def _is_for_types(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
    bases = {ast.unparse(base) for base in node.bases} if isinstance(node, ast.ClassDef) else set()
    return "overload" in marks or any(base.startswith("Protocol") for base in bases)


def _assigns_names_only(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if {"__all__", "__slots__", "__match_args__"} & {ast.unparse(t) for t in targets}:
        return True
    if isinstance(node, ast.AnnAssign):
        return "TypeAlias" in ast.unparse(node.annotation) or node.value is None
    at_top = isinstance(getattr(node, "parent", None), ast.Module)
    kinds = ast.Subscript | ast.BinOp  # `Clock = Callable[[], int]`, `Key = str | bytes`
    return (
        at_top
        and isinstance(node.value, kinds)
        and ast.unparse(targets[0])[:1].isupper()
        and (not ast.unparse(targets[0]).isupper())
    )


def _says(node: ast.Call) -> bool:
    """Whether it only writes a log line or warns."""
    function = node.func
    if not isinstance(function, ast.Attribute) or function.attr not in _SAYING:
        return False
    home = ast.unparse(function.value).rpartition(".")[2].removesuffix("()")
    return bool(_LOGGERS.match(home)) or home in {"get_logger", "log_of", "_log"}


def _breaks(node: ast.AST, places: _Places) -> Iterator[Break]:
    if isinstance(node, ast.expr):
        yield from _of_expression(node, places)
        yield from _of_test(node, places)
    if isinstance(node, ast.stmt):
        yield from _of_statement(node, places)


def _swap(
    places: _Places, left: ast.expr, right: ast.expr, old: str, new: str, what: str
) -> Iterator[Break]:
    """Change the operator that stands between two expressions."""
    start, end = places.end(left), places.start(right)
    between = places.source[start:end]
    words = r"\s+".join(map(re.escape, old.split()))
    pattern = rf"(?<![\w<>=!*/]){words}(?![\w<>=*/])"
    match = re.search(pattern, re.sub(r"#.*", lambda m: " " * len(m[0]), between))
    if match:
        line = left.end_lineno or left.lineno
        line += between[: match.start()].count("\n")
        yield Break(line, what, start + match.start(), start + match.end(), new)


def _of_expression(node: ast.expr, places: _Places) -> Iterator[Break]:
    match node:
        case ast.Compare() | ast.BoolOp() | ast.BinOp():
            yield from _of_operator(node, places)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _replaced(node, places, f"({places.text(operand)})", "dropped not")
        case ast.Constant(value=value):
            yield from _of_constant(node, value, places)
        case ast.Call():
            yield from _of_call(node, places)
        case ast.IfExp(body=body, orelse=other):
            yield _replaced(body, places, f"({places.text(other)})", "the other branch always")


def _of_operator(node: ast.Compare | ast.BoolOp | ast.BinOp, places: _Places) -> Iterator[Break]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=rights):
            for before, op, after in zip([left, *rights], ops, rights, strict=False):
                old, new = _SYMBOLS[type(op)], _COMPARISONS[type(op)]
                yield from _swap(places, before, after, old, new, "another comparison")
        case ast.BoolOp(op=op, values=values):
            old, new = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
            for before, after in pairwise(values):
                yield from _swap(places, before, after, old, new, f"{new} for {old}")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            if not isinstance(left, ast.Constant) or not isinstance(left.value, str | bytes):
                old, new = _SIGNS[type(op)], _ARITHMETIC[type(op)]
                yield from _swap(places, left, right, old, new, "another operator")


def _of_constant(node: ast.Constant, value: object, places: _Places) -> Iterator[Break]:
    new: object = None
    if isinstance(value, bool):
        new = not value
    elif isinstance(value, int | float):
        new = value + 1 if abs(value) <= _LARGE else 0
    elif isinstance(value, str) and _is_word(node, value):
        new = value + "X"
    elif isinstance(value, bytes) and _is_word(node, value.decode("latin-1")):
        new = value + b"X"
    if new is not None:
        yield _replaced(node, places, repr(new), "changed constant")


def _is_word(node: ast.Constant, text: str) -> bool:
    """A name or a mark, not something to be read by people."""
    parent = getattr(node, "parent", None)
    return bool(_NAMES.fullmatch(text)) and not isinstance(parent, ast.JoinedStr)


def _of_call(node: ast.Call, places: _Places) -> Iterator[Break]:
    words = [a for a in node.args if not isinstance(a, ast.Starred)]
    if len(words) == len(node.args) and len(words) >= 2:
        first, second = words[0], words[1]
        if ast.dump(first) != ast.dump(second):
            middle = places.source[places.end(first) : places.start(second)]
            new = places.text(second) + middle + places.text(first)
            span = (places.start(first), places.end(second))
            yield Break(first.lineno, "swapped arguments", *span, new)
    for keyword in node.keywords:
        if keyword.arg is not None and keyword.arg not in _NOT_NOTICED:
            value = keyword.value
            start = places.at(keyword.lineno, keyword.col_offset)
            rest = re.match(r"\s*,\s*", places.source[places.end(value) :])
            end = places.end(value) + (rest.end() if rest else 0)
            yield Break(keyword.lineno, "left out argument", start, end, "")


def _of_test(node: ast.expr, places: _Places) -> Iterator[Break]:
    """Turn a condition round."""
    parent = getattr(node, "parent", None)
    tests = getattr(parent, "ifs", []) or [getattr(parent, "test", None)]
    if any(node is test for test in tests) and not isinstance(node, ast.Compare | ast.Constant):
        yield _replaced(node, places, f"(not ({places.text(node)}))", "turned condition")


def _of_statement(node: ast.stmt, places: _Places) -> Iterator[Break]:
    match node:
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield _replaced(value, places, "None", "return None")
        case ast.Expr(value=ast.Yield() | ast.YieldFrom()):
            pass
        case ast.Expr(value=ast.Call() as call) if _says(call):
            pass
        case ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Continue() | ast.Break():
            yield _replaced(node, places, "pass", "removed statement")
        case ast.Raise(exc=raised):
            if raised is not None and "NotImplementedError" in places.text(raised):
                return  # nobody comes there
            if raised is not None or isinstance(node.parent, ast.ExceptHandler):  # type: ignore[attr-defined]
                yield _replaced(node, places, "pass", "removed statement")
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield _replaced(node, places, "pass", "removed statement")


def _is_none(node: ast.expr) -> bool:
    """Or what is asked for its truth, and as false as None."""
    return isinstance(node, ast.Constant) and (node.value is None or node.value is False)


def _replaced(node: ast.expr | ast.stmt, places: _Places, new: str, what: str) -> Break:
    return Break(node.lineno, what, places.start(node), places.end(node), new)
