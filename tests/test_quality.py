"""The rules that tools can check: lint, format, types, layers, sizes, and safeguards."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from locks.scripts import load_script
from property_tests.ablations.runner import without
from property_tests.ablations.safeguards import ABLATIONS
from tests.lua import lint
from tests.lua.build import BUILT, LUA, built_scripts
from tests.lua.headers import headers
from tests.lua.syntax import parse
from tests.measure_house import sizes
from tests.measure_house.arrows import circles
from tests.measure_house.sizes import MAX_FILE, MAX_FUNCTION, body_lines

ROOT = Path(__file__).parents[1]
TESTING = ("tests", "property_tests", "benchmarks")
FOLDERS = ("reliable_tasks", "locks", *TESTING)
TOOLS = {
    "ruff-check": ("ruff", "check", "--no-cache", "."),
    "ruff-format": ("ruff", "format", "--no-cache", "--check", "."),
    "mypy": ("mypy",),
    "lint-imports": ("lint-imports", "--no-cache"),
}

# What is longer than the rule allows, and how long it may be. The numbers may only shrink.
LONG_FILES = {
    "tests/beat/test_entries.py": 423,
}
LONG_FUNCTIONS: dict[str, int] = {}
LONG_LUA_FUNCTIONS: dict[str, int] = {}

# How large the house may be at most: `python -m tests.measure_house`. The numbers may only shrink.
STRICT_CORE = 8_090  # code lines
MODULES_AT_THE_TOP = 16


@pytest.mark.xdist_group("quality")
@pytest.mark.parametrize("tool", TOOLS)
def test_tool_has_nothing_to_say(tool: str) -> None:
    name, *args = TOOLS[tool]
    command = Path(sys.executable).with_name(name)
    done = subprocess.run(
        [command, *args], cwd=ROOT, capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 0, f"{tool}:\n{done.stdout[-8000:]}\n{done.stderr[-2000:]}"


def sources() -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_files_stay_short() -> None:
    long = {name: lines for name, text in sources() if (lines := text.count("\n")) > MAX_FILE}
    check_ratchet("files", long, LONG_FILES, MAX_FILE)


def test_functions_fit_a_screen() -> None:
    long = {
        f"{name}::{function.name}": lines
        for name, text in sources()
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := body_lines(function)) > MAX_FUNCTION
    }
    check_ratchet("functions", long, LONG_FUNCTIONS, MAX_FUNCTION)


def test_tests_do_not_import_each_other_in_circles() -> None:
    graph = grimp.build_graph(*TESTING, exclude_type_checking_imports=False, cache_dir=None)
    world = "property_tests.simulation.world"
    assert "property_tests.simulation.workers" in graph.find_modules_directly_imported_by(world)
    assert circles(graph) == []


def test_every_safeguard_is_where_its_ablation_takes_it_out() -> None:
    for ablation in ABLATIONS:
        with without(ablation):
            pass


def test_the_strict_core_stays_small() -> None:
    lines = sum(sizes.strict_core(sizes.sources(ROOT)).values())
    assert lines <= STRICT_CORE, f"the strict core has grown to {lines} lines; merge or move some"
    design = (ROOT / "docs/explanation/design.md").read_text(encoding="utf-8")
    assert f"under {STRICT_CORE:,} lines" in design


def test_modules_live_in_rooms() -> None:
    modules = {path.name for path in (ROOT / sizes.PACKAGE).glob("*.py")} - {"__init__.py"}
    assert len(modules) <= MODULES_AT_THE_TOP, f"give some of these a room: {sorted(modules)}"


def lua_sources() -> Iterator[tuple[str, str]]:
    for folder in (LUA, ROOT / "locks" / "lua"):
        for path in sorted(folder.rglob("*.lua")):
            if BUILT not in path.parents:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_lua_stays_short() -> None:
    sources = dict(lua_sources())
    files = {
        name: lines for name, text in sources.items() if (lines := text.count("\n")) > MAX_FILE
    }
    check_ratchet("Lua files", files, {}, MAX_FILE)
    functions = {
        f"{name}::{function}": lines
        for name, text in sources.items()
        for function, node in lint.functions(parse(text))
        if (lines := lint.lines_of_code(node)) > MAX_FUNCTION
    }
    check_ratchet("Lua functions", functions, LONG_LUA_FUNCTIONS, MAX_FUNCTION)


def test_servers_get_what_was_built_last() -> None:
    """After a change of a Lua file: `python -m tests.lua.build`."""
    there = {path.stem: path.read_text(encoding="utf-8") for path in BUILT.glob("*.lua")}
    assert there == built_scripts()
    for name, text in headers().items():
        assert (LUA / "include" / name).read_text(encoding="utf-8") == text


def test_nothing_is_wrong_with_the_lua_that_servers_get() -> None:
    texts = {f"built/{name}.lua": text for name, text in built_scripts().items()}
    for path in (ROOT / "locks" / "lua").glob("*.lua"):
        texts[f"locks/{path.name}"] = load_script("locks", path.name).script
    found = [f"{name}:{fault}" for name, text in texts.items() for fault in lint.faults(text)]
    assert not found, "\n".join(found)


def test_every_lua_function_is_used_by_a_script() -> None:
    """What a script does not use is left out of it: what no script has is used by none."""
    built = {name for path in BUILT.glob("*.lua") for name in function_names(path.read_text())}
    sources = {name for path in LUA.rglob("*.lua") for name in function_names(path.read_text())}
    assert sources == built


def function_names(text: str) -> list[str]:
    return [name for name, _ in lint.functions(parse(text))]


def check_ratchet(what: str, found: dict[str, int], listed: dict[str, int], limit: int) -> None:
    grown = {n: k for n, k in found.items() if k > listed.get(n, limit)}
    assert not grown, f"these {what} are over {limit} lines, or have grown; split them: {grown}"
    mended = sorted(set(listed) - set(found))
    assert not mended, f"well done: take these {what} off the list: {mended}"
