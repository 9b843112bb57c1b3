"""`python -m tests.measure_house`, on a house of three rooms and on this one."""

import subprocess
import sys
from pathlib import Path

from tests.measure_house import arrows, sizes
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]

ROOT = Path(__file__).parents[1]

CONTRACT = """
[[tool.importlinter.contracts]]
name = "down"
type = "layers"
containers = ["reliable_tasks"]
layers = ["attic", "left | right", "(store)"]
"""
ATTIC = '''"""A docstring."""

from reliable_tasks import left


def look(of):
    """Another,
    of two lines."""
    # a comment
    return """a text
    of two lines"""
'''
LEFT = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reliable_tasks import right

def up():
    from reliable_tasks import attic
"""
RIGHT = """
from reliable_tasks import left
"""


def measure(*args: str | Path) -> str:
    command = [sys.executable, "-m", "tests.measure_house", *args]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=170
    ).stdout


def value(report: str, name: str) -> str:
    (found,) = (line for line in report.splitlines() if line.startswith(f"{name} "))
    return found.removeprefix(name).strip()


def test_a_house_of_three_rooms(tmp_path: Path) -> None:
    house = tmp_path / "reliable_tasks"
    (house / "store").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(CONTRACT)
    (house / "__init__.py").touch()
    (house / "attic.py").write_text(ATTIC)
    (house / "left.py").write_text(LEFT)
    (house / "right.py").write_text(RIGHT + "# a comment too many\n" * sizes.MAX_FILE)
    (house / "store" / "find.lua").write_text("-- Finds.\n\nreturn 1\n")
    (house / "store" / "find.sql").write_text("-- Finds.\nSELECT 1\n")
    report = measure(tmp_path)
    assert value(report, "reliable_tasks *.py") == str(4 + 5 + 1)
    assert value(report, "reliable_tasks *.lua") == "1"
    assert value(report, "reliable_tasks *.sql") == "1"
    assert value(report, "attic") == "4"
    assert value(report, "store") == "2"
    assert value(report, "lines: median, 95 %, longest").split(", ")[-1] == "6"
    assert value(report, "files and functions over the limits") == "1"
    assert "reliable_tasks/right.py: 402" in report
    assert value(report, "modules at the top (at most 16)") == "3"
    assert value(report, "folders at the top") == "0"  # it has no module
    assert value(report, "modules with a single importer") == "1"
    assert value(report, "circles at run time") == "1"
    assert "  2: reliable_tasks.attic, reliable_tasks.left\n" in report
    assert value(report, "circles with imports for types") == "1"
    assert "  3: reliable_tasks.attic, reliable_tasks.left, reliable_tasks.right\n" in report
    assert value(report, "arrows against the layers at run time") == "2"
    assert "  reliable_tasks.left -> reliable_tasks.attic\n" in report
    assert "  reliable_tasks.right -> reliable_tasks.left\n" in report
    assert value(report, "arrows against the layers with imports for types") == "3"


def test_a_body_is_measured_without_its_docstring() -> None:
    look, up = (next(sizes.Source("a.py", text).functions()) for text in (ATTIC, LEFT))
    assert (sizes.body_lines(look), sizes.body_lines(up)) == (2, 1)


def test_a_heap_may_import_itself() -> None:
    contract = arrows.Contract("house", ((("a", "b"), False), (("c", "d"), True)))
    assert not contract.forbids("house.a", "house.b")
    assert not contract.forbids("house.a", "house.c")
    assert contract.forbids("house.c", "house.d")
    assert contract.forbids("house.c", "house.a")


def test_this_house(tmp_path: Path, redis_server: RedisServer) -> None:
    stores = f"sqlite:///{tmp_path}/walk.db", redis_server.url
    report = measure("--walk", stores[0], "--walk", stores[1])
    rooms, core = report.split("Code lines by room\n")[1].split("\nThe strict core\n")
    assert sum(int(line.split()[1]) for line in rooms.splitlines() if line) == sum(
        int(value(report, f"{package} *{kind}"))
        for package in sizes.PACKAGES
        for kind in (".py", ".lua", ".sql")
    )
    assert all(int(value(core, part)) > 0 for part in sizes.STRICT_CORE)
    assert int(value(report, "arrows between rooms")) > 0
    sqlite, redis = report.split("\nadd.delay() on ")[1:]
    for walk, store in (sqlite, "store/sqlite/store.py"), (redis, "store/redis/store.py"):
        calls, functions, files = map(int, value(walk, "calls, functions, files").split(","))
        assert calls >= functions > files > 0
        assert f"reliable_tasks/{store}::" in walk
    assert "1 reliable_tasks/tasks/task.py::Task.delay\n" in sqlite
