"""What a program does with Celery beyond its imports, and which has no counterpart here."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reliable_tasks.app import App
from reliable_tasks.celery_names import instead
from reliable_tasks.control import Control
from reliable_tasks.migrate.companions import companion
from reliable_tasks.migrate.targets import is_celerys, moved_module, resolved, words

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Left", "leftovers"]

_BY_NAME = frozenset({"__import__", "import_module", "importorskip", "patch"})
"""Calls whose first argument is a dotted name."""


@dataclass(frozen=True, slots=True, order=True)
class Left:
    """Something that is left to be done by hand.

    Attributes:
        line: where.
        name: what, as Celery calls it.
        words: what is here instead.
    """

    line: int
    name: str
    words: str


def leftovers(tree: ast.Module) -> Iterator[Left]:
    """What uses a name that is not here: of Celery's modules, of apps, of the libraries around."""
    bound = _Bound(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _by_name(node)
        elif isinstance(node, ast.Assign):
            yield from _plugins(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _companions(node)
        if not isinstance(node, ast.Attribute):
            continue
        path = _path(node)
        if path and path[0] in bound.modules:
            yield from _of_module(bound.modules[path[0]], path[1:], node.lineno)
        elif path and path[0] in bound.apps:
            yield from _of_app(path, node.lineno)


class _Bound:
    """The names in a file that stand for modules of Celery's, and those that stand for apps.

    Names of ours count as well, so that what is left is told of again once imports are rewritten.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.modules: dict[str, str] = {}
        self.apps: set[str] = set()
        self._makers: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                self._import_from(node)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                self._assign(node, _path(node.value.func))

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = _celerys(alias.name)
            if name is not None:
                whole = name if alias.asname else name.partition(".")[0]
                self.modules[alias.asname or alias.name.partition(".")[0]] = whole

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = _celerys(node.module or "")
        for alias in node.names if module else ():
            bound = alias.asname or alias.name
            if moved_module(f"{module}.{alias.name}") is not None:
                self.modules[bound] = f"{module}.{alias.name}"
            elif alias.name in {"App", "Celery"}:
                self._makers.add(bound)
            elif alias.name == "current_app":
                self.apps.add(bound)

    def _assign(self, node: ast.Assign, maker: tuple[str, ...]) -> None:
        if maker[-1:] == ("Celery",) or (len(maker) == 1 and maker[0] in self._makers):
            self.apps |= {target.id for target in node.targets if isinstance(target, ast.Name)}


def _celerys(module: str) -> str | None:
    """The module under its name in Celery; None where it is of neither package."""
    package, _, inner = module.partition(".")
    if package == "reliable_tasks":
        return f"celery.{inner}".rstrip(".")
    return module if is_celerys(module) else None


def _of_module(module: str, path: tuple[str, ...], line: int) -> Iterator[Left]:
    missing = resolved(module, path) if path else None
    # Of `a.b.c` the parts `a.b` and `a` are nodes as well: only the whole of it is told.
    if missing is not None and missing[1] == path[-1]:
        yield Left(line, ".".join(missing), words(*missing))


def _of_app(path: tuple[str, ...], line: int) -> Iterator[Left]:
    owner, section = (Control, "Control") if path[1:-1] == ("control",) else (App, "App")
    if len(path) != (3 if owner is Control else 2) or hasattr(owner, path[-1]):
        return
    if said := instead(section, path[-1]):
        yield Left(line, ".".join(path), said)


def _companions(node: ast.Import | ast.ImportFrom) -> Iterator[Left]:
    if isinstance(node, ast.Import):
        names = [(alias.lineno, alias.name, companion(alias.name)) for alias in node.names]
    else:
        module = "" if node.level else node.module or ""
        names = [
            (alias.lineno, f"{module}.{alias.name}", companion(module, alias.name))
            for alias in node.names
        ]
    for line, name, said in names:
        if said:
            yield Left(line, name, said)


def _by_name(call: ast.Call) -> Iterator[Left]:
    function = _path(call.func)
    first = call.args[0] if call.args else None
    if function and function[-1] in _BY_NAME and isinstance(first, ast.Constant):
        yield from _in_string(first)


def _plugins(assign: ast.Assign) -> Iterator[Left]:
    if any(isinstance(to, ast.Name) and to.id == "pytest_plugins" for to in assign.targets):
        for node in ast.walk(assign.value):
            if isinstance(node, ast.Constant):
                yield from _in_string(node)


def _in_string(node: ast.Constant) -> Iterator[Left]:
    if isinstance(node.value, str) and is_celerys(node.value):
        yield Left(node.lineno, node.value, "a name in a string is not rewritten: change it here")


def _path(node: ast.expr) -> tuple[str, ...]:
    """The parts of `a.b.c`; none if it is anything else."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (inner := _path(node.value)):
        return (*inner, node.attr)
    return ()
