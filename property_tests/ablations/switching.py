"""Taking one line out of the code that runs: of a Python function, an SQL statement, a Lua script.

A text that is not found, or in more than one place, is an error: an ablation that no longer takes
anything out would look like a safeguard that is well tested.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import textwrap
from functools import reduce
from typing import TYPE_CHECKING, Any
from unittest import mock

from reliable_tasks.store.redis.codec import scripts
from reliable_tasks.store.sqlite.statements import load
from tests.lua.build import LUA, build, source

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["changed"]

_SQLITE = "reliable_tasks.store.sqlite"


def changed(where: str, old: str, new: str) -> contextlib.AbstractContextManager[None]:
    """Within the block, the code at `where` has `new` in the place of `old`.

    Args:
        where: "module:function" or "module:Class.method"; "sql:statement"; "lua:script" or
            "lua:*" for all scripts that have the text (once each).
        old: what is to be found there.
        new: what takes its place.

    Raises:
        LookupError: it is not there, or not just once.
    """
    kind, _, name = where.partition(":")
    if kind == "sql":
        return _changed_statement(name, old, new)
    if kind == "lua":
        return _changed_scripts(name, old, new)
    return _changed_function(kind, name, old, new)


def _replaced(text: str, old: str, new: str, where: str) -> str:
    if text.count(old) != 1:
        raise LookupError(f"{where} has {text.count(old)} times, not once: {old}")
    return text.replace(old, new)


@contextlib.contextmanager
def _changed_function(module: str, name: str, old: str, new: str) -> Iterator[None]:
    """Swap in the compiled changed source: every reference to the function runs it."""
    home: Any = importlib.import_module(module)
    function = inspect.unwrap(reduce(getattr, name.split("."), home))
    source = textwrap.dedent(inspect.getsource(function))
    source = _replaced(source, old, new, f"{module}:{name}")
    flags = function.__code__.co_flags & _future_flags()
    scope: dict[str, Any] = {}
    exec(compile(source, f"<{name} without>", "exec", flags, True), dict(vars(home)), scope)
    before = function.__code__
    function.__code__ = inspect.unwrap(scope[function.__name__]).__code__
    try:
        yield
    finally:
        function.__code__ = before


def _future_flags() -> int:
    import __future__  # noqa: PLC0415 - the module, not the statement

    return __future__.annotations.compiler_flag


@contextlib.contextmanager
def _changed_statement(name: str, old: str, new: str) -> Iterator[None]:
    """Every module that loaded the statement gets the other one."""
    before = load(name)
    after = _replaced(before, old, new, f"queries/{name}.sql")
    with contextlib.ExitStack() as stack:
        for module in [m for n, m in sys.modules.items() if n.startswith(_SQLITE)]:
            for attribute in [a for a, text in vars(module).items() if text is before]:
                stack.enter_context(mock.patch.object(module, attribute, after))
        yield


@contextlib.contextmanager
def _changed_scripts(name: str, old: str, new: str) -> Iterator[None]:
    """Scripts are built anew, with the text in place; a server knows them by their digests."""
    names = [path.stem for path in LUA.glob("*.lua")] if name == "*" else [name]
    sources = {each: _sources.get(each) or source(each) for each in names}
    changed = {
        each: _replaced(text, old, new, f"lua/{each}.lua")
        for each, text in sources.items()
        if old in text
    }
    if not changed:
        raise LookupError(f"no Lua script {name} has: {old}")
    before = scripts.text_of  # of what may be changed already

    def text_of(each: str) -> str:
        return build(changed[each]) if each in changed else before(each)

    with mock.patch.dict(_sources, changed), mock.patch.object(scripts, "text_of", text_of):
        _forget_scripts()
        try:
            yield
        finally:
            _forget_scripts()


_sources: dict[str, str] = {}
"""Of the scripts that are changed."""


def _forget_scripts() -> None:
    for remembered in (scripts.script, scripts._relieved):
        remembered.cache_clear()
