"""The pages on internals and design say what is so: drawings, layers, and each name."""

import ast
import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from tests.measure_house import arrows, sizes
from tests.measure_house.drawing import PAGE, redrawn

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
SOURCES = sizes.sources(ROOT)

_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)
_LUA_FUNCTION = re.compile(r"^(?:local )?function (\w+)\(", re.MULTILINE)
_FILE_OR_FOLDER = re.compile(r"[\w/]+(?:/|\.(?:py|lua|sql|toml))")


def names() -> Iterator[str]:
    """What stands between backticks on the page."""
    yield from re.findall(r"`([^`]+)`", _BLOCK.sub("", TEXT))


def defined(source: sizes.Source) -> Iterator[str]:
    """The full names of what a file defines."""
    module = source.path.rpartition(".")[0].removesuffix("/__init__").replace("/", ".")
    if source.path.endswith(".lua"):
        yield from (f"{module}.{name}" for name in _LUA_FUNCTION.findall(source.text))
    elif source.path.endswith(".py"):
        yield module
        yield from _inside(module, ast.parse(source.text).body)


def _inside(outer: str, body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{outer}.{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _inside(f"{outer}.{node.name}", node.body)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield f"{outer}.{node.target.id}"


def endings(full: str) -> Iterator[str]:
    """A full name, and all that is left of it without its first parts."""
    yield from accumulate(reversed(full.split(".")), lambda end, part: f"{part}.{end}")


def test_its_drawings_are_those_of_the_contracts() -> None:
    assert redrawn(ROOT, TEXT) == TEXT, "run python -m tests.measure_house --draw"


def test_the_design_lists_the_rooms_in_the_order_of_their_layers() -> None:
    layers = arrows.contracts(ROOT)[0].layers[1:]  # that of `__main__` is nobody's room
    page = (ROOT / "docs/explanation/design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page.partition("## Layers")[2], re.MULTILINE)
    there = {module.name.removesuffix(".py") for module in (ROOT / sizes.PACKAGE).iterdir()}
    rooms = [sorted(there.intersection(names)) for names, _ in layers]
    assert [sorted(re.findall(r"\w+", row)) for row in rows] == rooms


def test_each_name_on_it_is_one_of_the_code() -> None:
    known = {end for source in SOURCES for full in defined(source) for end in endings(full)}
    words = {word for source in SOURCES for word in re.findall(r"\w+", source.text)}
    paths = [source.path for source in SOURCES] + ["pyproject.toml"]

    def exists(name: str) -> bool:
        if _FILE_OR_FOLDER.fullmatch(name):
            return any(f"/{name}" in f"/{path}" for path in paths)
        return name in known if "." in name else words.issuperset(re.findall(r"\w+", name))

    assert not [name for name in names() if not exists(name)]


def test_a_name_that_is_gone_is_noticed() -> None:
    source = sizes.Source("house/room.py", "class Door:\n    key: int\n    def open(self): ...\n")
    known = {end for full in defined(source) for end in endings(full)}
    assert {"room.Door", "Door.open", "Door.key", "house.room", "open"} <= known
    assert not {"room.open", "Door.close", "oor.open"} & known


def test_it_lists_each_table_of_the_schema() -> None:
    schemas = [s.text for s in SOURCES if re.search(r"/schema\w*\.sql$", s.path)]
    tables = {table for text in schemas for table in _TABLE.findall(text)}
    assert tables <= set(names())


def test_it_lists_the_fields_of_a_record_in_their_order() -> None:
    classes = {
        node.name: node
        for source in SOURCES
        if source.path.startswith("reliable_tasks/store/redis/") and source.path.endswith(".py")
        for node in ast.walk(ast.parse(source.text))
        if isinstance(node, ast.ClassDef)
    }
    listed = re.findall(r"<!-- fields of (\w+) -->\s+`([^`]+)`", TEXT)
    assert listed
    for name, fields in listed:
        there = [n.target for n in classes[name].body if isinstance(n, ast.AnnAssign)]
        assert [t.id for t in there if isinstance(t, ast.Name)] == fields.split()
