"""How the Redis store reads URLs and options, and prepares its scripts: without a server."""

import re
from pathlib import Path
from typing import Any

import pytest

from reliable_tasks import errors
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore, _scripts, acl_rules
from reliable_tasks.store.redis._connect import parse
from reliable_tasks.store.redis._scripts import script


@pytest.mark.parametrize(
    ("url", "kind", "clean"),
    [
        ("redis://h:1/2", "redis", "redis://h:1/2"),
        ("valkey://h", "redis", "redis://h"),
        ("valkeys://u:p@h/1", "rediss", "rediss://u:p@h/1"),
        ("unix:///a.sock?db=3", "unix", "unix:///a.sock?db=3"),
        ("redis+socket:///a.sock?virtual_host=3", "unix", "unix:///a.sock?db=3"),
        ("redis+cluster://h:1", "cluster", "redis://h:1"),
        ("rediss://h:1?cluster=true", "cluster", "rediss://h:1"),
    ],
)
def test_a_url_is_read_in_all_its_forms(url: str, kind: str, clean: str) -> None:
    target = parse(url, {})
    assert (target.kind, target.url) == (kind, clean)


def test_sentinels_are_read_from_a_url() -> None:
    target = parse("redis+sentinel://u:p%40@h1,h2:7000,[::1]:8/main?db=3", {})
    assert target.hosts == (("h1", 26379), ("h2", 7000), ("::1", 8))
    assert (target.service, target.options["db"]) == ("main", 3)
    assert (target.options["username"], target.options["password"]) == ("u", "p@")
    assert "p%40" not in target.location


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("rediz://h", {}, "did you mean 'redis'"),
        ("sentinel://h1,h2", {}, "names no service"),
        ("redis://h", {"socket_timout": 1}, "did you mean 'socket_timeout'"),
    ],
)
def test_what_is_wrong_with_a_url_is_told(url: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.ConfigError, match=words):
        RedisStore(url, v.StoreOptions(), transport_options=options)


def test_celerys_own_transport_options_do_no_harm() -> None:
    assert "visibility_timeout" not in parse("redis://h", {"visibility_timeout": 1}).options


def test_rules_name_the_namespace_alone() -> None:
    rules = acl_rules("a*b").split()
    assert rules[:3] == [r"~{a\*b}:*", r"&{a\*b}:*", "-@all"]
    assert "+client|unblock" in rules
    assert "+waitaof" not in acl_rules("a", (7, 0)).split()


LUA = Path(_scripts.__file__).parent / "lua"


@pytest.mark.parametrize("path", sorted(LUA.glob("**/*.lua")), ids=lambda path: path.name)
def test_between_the_marks_of_the_rare_stand_functions_only(path: Path) -> None:
    """They are moved behind everything else, so what they share must not be moved with them."""
    text = path.read_text()
    assert text.count("-- @rare\n") == text.count("-- @end\n")
    for block in re.findall(r"^-- @rare\n(.*?)^-- @end\n", text, re.MULTILINE | re.DOTALL):
        outermost = re.findall(r"^\w+.*", block, re.MULTILINE)
        assert all(re.match(r"(local )?function |end$", line) for line in outermost)


def test_functions_that_are_seldom_needed_are_set_apart() -> None:
    text = script("enqueue").script
    assert text.index("setmetatable(F, {") < text.index("function F.admit(")
    assert text.index("function F.load(") < text.index("setmetatable(F, {")


@pytest.mark.parametrize("name", sorted(path.stem for path in LUA.glob("*.lua")))
def test_outermost_names_of_a_script_are_its_only_ones(name: str) -> None:
    """Functions are moved, so a name must mean the same wherever it stands."""
    found = re.findall(r"^local ([\w, ]+?)(?: =|$)", script(name).script, re.MULTILINE)
    names = [each for line in found for each in line.split(", ")]
    assert len(names) == len(set(names))


def test_names_of_numbers_do_not_reach_the_server() -> None:
    text = script("exchange").script
    assert "c[STATE]" not in text
    assert "'succeeded'" in text
