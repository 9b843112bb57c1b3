"""How a line is broken: what is changed, and what is left alone because no test could notice."""

import ast
import importlib.util
from pathlib import Path

import pytest

from tests.mutation import breaks, texts
from tests.mutation.__main__ import breaks_in, drawn, main
from tests.mutation.covering import NO_TESTS, TESTS, THOROUGH, WORKERS, caller_of
from tests.mutation.tree import CORE, ROOT, core_files


def ways(source: str) -> set[str]:
    return {b.applied(source) for b in breaks.breaks_of(source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a is not b", {"x = a is b"}),
        ("x = a not in b in c", {"x = a in b in c", "x = a not in b not in c"}),
        ("x = a and b", {"x = a or b"}),
        ("x = a - b", {"x = a + b"}),
        ("x = not a", {"x = (a)"}),
        ("x = 1", {"x = 2"}),
        ("x = 500", {"x = 0"}),
        ("x = True", {"x = False"}),
        ("x = 'all'", {"x = 'allX'"}),
        ("x = a if b else c", {"x = (c) if b else c", "x = a if (not (b)) else c"}),
        ("f(a, b)", {"pass", "f(b, a)"}),
        ("f(a, b=c)", {"pass", "f(a, )"}),
        ("self.x = y", {"pass"}),
        ("if a:\n    b()", {"if (not (a)):\n    b()", "if a:\n    pass"}),
        ("raise ValueError(f'not {x + 1}')", {"pass"}),
        ("def f():\n    return x", {"def f():\n    return None"}),
        ("def f():\n    return None", set()),
        ("def f():\n    return False", {"def f():\n    return True"}),
    ],
)
def test_each_way_to_break_a_line(source: str, expected: set[str]) -> None:
    assert ways(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "import a",
        "__all__ = ['x']",
        "x: Callable[[int], bool] | None",
        "Key: TypeAlias = str | bytes",
        "Clock = Callable[[], int]",
        "if TYPE_CHECKING:\n    x = 1",
        "@dataclass(frozen=True)\nclass A:\n    x: int",
        "class A(Protocol):\n    def f(self): return 1 + 1",
        "class A(Struct, frozen=True):\n    x: int",
        "def f(self):\n    raise NotImplementedError",
        "log.info('text %s', 1)",
        "x = f'a {1 + 1}'",
        "def __repr__(self):\n    return a + b",
    ],
)
def test_what_nobody_could_notice_is_left_alone(source: str) -> None:
    assert ways(source) == set()


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        ("lua", "if a == b then return c end", {"~=", "nil"}),
        ("lua", "free(r) -- a == b", {""}),
        ("lua", "x = a and b or c", {"or", "and"}),
        ("sql", "SELECT a FROM t WHERE b <= ? AND c IS NULL", {"<", "OR", "IS NOT NULL"}),
        ("sql", "SELECT a FROM t ORDER BY b DESC LIMIT 1", {"ASC", "", "2"}),
        ("sql", "-- a < b", set()),
        ("sql", "SELECT 1 FROM t", set()),
        ("sql", "INSERT OR IGNORE INTO t VALUES ('a < b')", set()),
    ],
)
def test_sql_and_lua_are_broken_by_their_text(kind: str, source: str, expected: set[str]) -> None:
    assert {b.new for b in texts.breaks_of(kind, source)} == expected


@pytest.mark.parametrize("path", [p for p in core_files() if p.endswith(".py")])
def test_every_break_of_the_core_can_be_compiled(path: str) -> None:
    source = (ROOT / path).read_text("utf-8")
    found = breaks_in(path, source)
    for one in found[:: max(1, len(found) // 10)]:
        broken = one.applied(source)
        assert broken != source
        ast.parse(broken, path)


def test_a_seed_always_draws_the_same() -> None:
    paths = [p for p in core_files() if Path(p).parent.name == "canvas"]
    first = drawn(paths, 9, 5)
    assert [str(p) for p in drawn(paths, 9, 5)] == [str(p) for p in first]
    assert [str(p) for p in drawn(paths, 9, 6)] != [str(p) for p in first]
    assert len({(p.path, p.how.line) for p in first}) == 9


def test_what_is_broken_and_asked_is_there() -> None:
    core = [f"reliable_tasks/{part}" for part in CORE]
    for name in (*core, *TESTS, WORKERS, *THOROUGH, *NO_TESTS):
        assert (ROOT / name).exists(), name
    lua = {name.partition("/lua/")[2] for name in core_files() if name.endswith(".lua")}
    assert {"reap.lua", "include/claims.lua"} <= lua, "sources"
    assert not {"built/reap.lua", "include/fields.lua"} & lua, "what is made of others"
    assert {caller_of(name) for name in core_files()} <= set(core_files())


def test_without_coverage_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        main(["--count", "1"])
    assert "pip install -e '.[dev]'" in capsys.readouterr().err
