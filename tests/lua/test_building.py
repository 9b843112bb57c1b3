"""Scripts as they are built for servers, and what is found to be wrong with one."""

import re
import textwrap
from pathlib import Path

import pytest

from reliable_tasks.store.redis.codec.scripts import script
from tests.lua.build import LUA, build
from tests.lua.lint import faults

SOURCES = sorted(path for path in LUA.rglob("*.lua") if path.parent.name != "built")
NAMES = sorted(path.stem for path in LUA.glob("*.lua"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
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
    assert text.index("function F.static(") < text.index("setmetatable(F, {")


@pytest.mark.parametrize("name", NAMES)
def test_outermost_names_of_a_script_are_its_only_ones(name: str) -> None:
    """Functions are moved, so a name must mean the same wherever it stands."""
    found = re.findall(r"^local ([\w, ]+?)(?: =|$)", script(name).script, re.MULTILINE)
    names = [each for line in found for each in line.split(", ")]
    assert len(names) == len(set(names))


def test_names_of_numbers_do_not_reach_the_server() -> None:
    text = script("exchange").script
    assert "c[STATE]" not in text
    assert "'succeeded'" in text


def built(text: str) -> str:
    return build(textwrap.dedent(text))


def test_functions_know_each_other_wherever_they_stand() -> None:
    assert built(
        """
        local SIZE = 3
        local function first(a) return second(a, SIZE) end
        -- @rare
        local function second(first) return first end -- the parameter
        local function never() end
        -- @end
        return pcall(first, 'first SIZE')
        """
    ) == textwrap.dedent(
        """\
        local F = { first = false }
        function F.first(a) return F.second(a, 3) end
        setmetatable(F, { __index = function(_, missed)
        setmetatable(F, nil)
        function F.second(first) return first end
        return F[missed]
        end })
        return pcall(F.first, 'first SIZE')
        """
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("local function a() end\nlocal function a() end", "the same name"),
        ("-- @rare\nlocal a = 1\n-- @end\nreturn a", "among the rare"),
        ("return +", "is not Lua"),
    ],
)
def test_what_cannot_be_built_is_refused(text: str, words: str) -> None:
    with pytest.raises(SyntaxError, match=words):
        build(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("return a", "1: a is declared nowhere"),
        ("a = 1", "1: a is written, and is no local variable"),
        ("local function a() b = 1 end\na()", "1: b is written, and is no local variable"),
        ("local a = 1\nlocal a = a\nreturn a", "2: a hides the one of line 1"),
        ("local function a(b)\nend\na()", "1: b is never used"),
        ("for b in pairs({}) do local c = b end", "1: c is never used"),
        ("local F = {}\nreturn F.a()", "2: F.a is defined nowhere"),
        ("local F = {}\nfunction F.a() end\nfunction F.a() end", "2: 2 functions are called a"),
        ("repeat local a = next(KEYS) until a", None),
        ("local a = 1\nlocal function b(a, _) return a end\nreturn b(a)", None),
    ],
)
def test_what_is_wrong_with_a_script_is_found(text: str, fault: str | None) -> None:
    found = faults(text)
    assert (fault in found) if fault else not found, found
