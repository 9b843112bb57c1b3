import re
from pathlib import Path

import pytest
import redis

from locks.scripts import Script, load_script
from locks.statements import load_sql

LUA = Path(__file__).parents[2] / "locks" / "lua"
SQL = LUA.parent / "sql"


@pytest.mark.parametrize("path", sorted(LUA.glob("*.lua")), ids=lambda path: path.name)
def test_every_script_has_a_header_and_compiles(path: Path, client: redis.Redis) -> None:
    text = path.read_text()
    assert re.match(r"(-- .*\n)+-- KEYS\[1\] .*\n-- ARGV .*\n(-- .*\n)*-- Returns ", text)
    script = load_script("locks", path.name)
    assert "@include" not in script.script
    assert client.script_load(script.script) == script.sha


@pytest.mark.parametrize("path", sorted((LUA / "include").glob("*.lua")), ids=lambda p: p.name)
def test_fragments_only_define_local_functions(path: Path) -> None:
    begun = [line for line in path.read_text().splitlines() if line and not line.startswith(" ")]
    assert all(re.match(r"--|local function |local [A-Z_]+ = |end$|}$", line) for line in begun), (
        begun
    )
    if path.name != "clock.lua":
        assert "'TIME'" not in path.read_text()


@pytest.mark.parametrize("path", sorted(SQL.glob("*.sql")), ids=lambda path: path.name)
def test_every_statement_says_what_it_is_for(path: Path) -> None:
    text = load_sql("locks", path.stem)
    assert text.startswith("-- ")
    assert text.rstrip().endswith(";")


def test_a_fragment_comes_in_once_however_often_it_is_asked_for() -> None:
    text = load_script("locks", "lock_acquire.lua").script
    assert text.count("local function lock_take(") == 1
    assert text.index("local function wake_one(") < text.index("local function lock_free(")


def test_a_package_may_use_its_own_fragments_and_those_of_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lua = tmp_path / "lua_package_of_a_test" / "lua"
    (lua / "include").mkdir(parents=True)
    (lua.parent / "__init__.py").write_text("")
    (lua / "include" / "own.lua").write_text("local function own() return 1 end\n")
    (lua / "verb.lua").write_text("-- @include own.lua\n-- @include lock.lua\nreturn own()\n")
    (lua / "wrong.lua").write_text("-- @include absent.lua\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = load_script("lua_package_of_a_test", "verb.lua").script
    assert "local function own()" in text
    assert "local function lock_take(" in text
    with pytest.raises(FileNotFoundError, match=r"absent\.lua"):
        load_script("lua_package_of_a_test", "wrong.lua")


def test_a_script_in_a_pipeline_is_made_known_first(client: redis.Redis) -> None:
    script = Script("test.lua", "return KEYS[1] .. ARGV[1]")
    client.script_flush()
    with client.pipeline() as pipeline:
        script.queue(pipeline, "k", "1")
        script.queue(pipeline, "k", "2")
        assert pipeline.execute() == [b"k1", b"k2"]
