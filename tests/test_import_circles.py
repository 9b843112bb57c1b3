"""No module imports, by whatever way, one that imports it: read from the source, without a tool."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGES = ("reliable_tasks", "locks")

# Circles of which an arrow is for type checkers alone. They may only shrink, and go.
OF_TYPES = [
    {
        # What a task is made of takes tasks, and a task gives signatures of itself.
        f"reliable_tasks.{name}"
        for name in (
            *("canvas", "canvas.arguments", "canvas.compile", "canvas.eager", "canvas.enqueue"),
            *("canvas.freeze", "canvas.plan", "canvas.primitives", "canvas.replacing"),
            *("canvas.sender", "canvas.signatures"),
            *("tasks.asking", "tasks.calls", "tasks.options", "tasks.task"),
        )
    },
    {"locks._renewal", "locks._taker"},  # who renews keeps what it renews for
]

Graph = dict[str, set[str]]


def graph(*, types: bool) -> Graph:
    """Who imports whom, at the top or in a function; with `types`, for type checkers as well."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    sources = {name_of(path): path for path in paths}
    found: Graph = {}
    for name, path in sources.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[name] = {
            imported
            for node in imports_of(tree, types=types)
            for imported in imported_by(node, package, sources)
            if imported != name
        }
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(tree: ast.AST, *, types: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for branch in (node.body if types else [], node.orelse):
                yield from imports_of(ast.Module(branch, []), types=types)
        else:
            yield from imports_of(node, types=types)


def imported_by(
    node: ast.Import | ast.ImportFrom, package: str, known: dict[str, Path]
) -> Iterator[str]:
    """The modules that an import loads of this package: `from a import b` may load `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
        return
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
    for alias in node.names:
        longer = f"{base}.{alias.name}"
        if longer in known:
            yield longer
        elif base in known:
            yield base


def circles(arrows: Graph) -> list[set[str]]:
    """Groups of modules of which each reaches each."""
    reached = {name: reach(name, arrows) for name in arrows}
    found = list[set[str]]()
    for name in sorted(arrows):
        circle = {other for other in reached[name] if name in reached[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


def reach(name: str, arrows: Graph) -> set[str]:
    seen, todo = set[str](), [name]
    while todo:
        for each in arrows[todo.pop()] - seen:
            seen.add(each)
            todo.append(each)
    return seen


def test_there_are_no_circles_at_run_time() -> None:
    assert circles(graph(types=False)) == []


def test_circles_for_type_checkers_only_shrink() -> None:
    found = circles(graph(types=True))
    for circle in found:
        assert any(circle <= known for known in OF_TYPES), (
            f"a new circle of types: {sorted(circle)}"
        )
    assert len(found) == len(OF_TYPES), "well done: take the circles that are gone off the list"
    assert set().union(*found) == set().union(*OF_TYPES), (
        "well done: take these modules off the list"
    )


def test_a_circle_is_found_wherever_its_imports_are() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
    tree = ast.parse(
        "import os\nif TYPE_CHECKING:\n    from x import T\nelse:\n    import y\n"
        "def f():\n    from . import z\n"
    )
    assert len(list(imports_of(tree, types=False))) == 3
    assert len(list(imports_of(tree, types=True))) == 4
    known = {"p.q": Path(), "p.r": Path(), "p": Path()}
    (node,) = ast.parse("from . import q, name").body
    assert isinstance(node, ast.ImportFrom)
    assert list(imported_by(node, "p", known)) == ["p.q", "p"]
