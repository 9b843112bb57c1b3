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

from locks.scripts import Script
from reliable_tasks.store.redis.codec import scripts as _scripts
from reliable_tasks.store.sqlite.statements import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    """Compile the changed source, and let the function run that; all who know it notice."""
    home: Any = importlib.import_module(module)
    function = reduce(getattr, name.split("."), home)
    source = textwrap.dedent(inspect.getsource(function))
    source = _replaced(source, old, new, f"{module}:{name}")
    flags = function.__code__.co_flags & _future_flags()
    scope: dict[str, Any] = {}
    exec(compile(source, f"<{name} without>", "exec", flags, True), dict(vars(home)), scope)
    before, function.__code__ = function.__code__, scope[function.__name__].__code__
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
    """Scripts are loaded anew, with the text in place; a server knows them by their digests."""
    found = []
    before: Callable[[str, str], Script] = vars(_scripts)["load_script"]  # perhaps changed already

    def loaded(package: str, filename: str) -> Script:
        script = before(package, filename)
        if name not in {"*", filename.removesuffix(".lua")} or old not in script.script:
            return script
        found.append(filename)
        return Script(script.name, _replaced(script.script, old, new, f"lua/{filename}"))

    with mock.patch.object(_scripts, "load_script", loaded):
        _scripts.script.cache_clear()
        for path in (importlib.resources.files("reliable_tasks.store.redis") / "lua").iterdir():
            if path.name.endswith(".lua"):
                _scripts.script(path.name.removesuffix(".lua"))
        if not found:
            raise LookupError(f"no Lua script {name} has: {old}")
        try:
            yield
        finally:
            _scripts.script.cache_clear()
