"""Every declared event, setting, signal and error is used by the package, as its page promises.

Read from the source, so that an emission which no test provokes is seen as well.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TypeVar

import pytest

from reliable_tasks import errors, events, signals
from reliable_tasks.config.names import NOTED
from reliable_tasks.config.settings import described

PACKAGE = Path(events.__file__).parent
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
_EVENT = re.compile(r"[a-z]+\.[a-z_]+")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef
E = TypeVar("E", ast.Constant, ast.Name)

RAISED_BY_BODIES = {"Ignore", "Reject"}
"""Errors that only user code raises: it is enough that the package acts on them."""


@cache
def keys_of_dicts(tree: ast.AST) -> set[str]:
    return {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def keys_spread(function: Function, spread: ast.expr) -> set[str]:
    """The keys of `**spread`: of the dicts of that name, if the function makes one."""
    named = set[str]()
    if isinstance(spread, ast.Name):
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == spread.id:
                named |= keys_of_dicts(node.value)
                inner = node.value if isinstance(node.value, ast.Dict) else ast.Dict([], [])
                for key, value in zip(inner.keys, inner.values, strict=True):
                    named |= keys_spread(function, value) if key is None else set()
    return named or keys_of_dicts(function)


@cache
def name_of(call: ast.Call) -> str:
    """The name of what is called; `events.emit` is not any other `emit`."""
    if ast.unparse(call.func) == "events.emit":
        return "events.emit"
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


@cache
def functions() -> tuple[Function, ...]:
    nodes = chain.from_iterable(map(ast.walk, TREES.values()))
    return tuple(node for node in nodes if isinstance(node, _FUNCTIONS))


def parameters(function: Function) -> set[str]:
    given = function.args
    return {arg.arg for arg in (*given.posonlyargs, *given.args, *given.kwonlyargs)}


@cache
def calls(tree: ast.AST) -> tuple[ast.Call, ...]:
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Call))


@cache
def detail_fields() -> set[str]:
    """What the outcomes of attempts say of themselves: an emission may pass it on."""
    return {
        key
        for function in functions()
        if any(name_of(call) in {"encode_detail", "_record"} for call in calls(function))
        for key in keys_of_dicts(function)
    }


class Emissions:
    """Which events are emitted, and with which fields.

    A function that emits the event which it is called with is an emitter as well: the fields that
    it adds count for all its calls.
    """

    def __init__(self) -> None:
        self.fields: dict[str, set[str]] = defaultdict(set)
        self._added: dict[str, set[str]] = {"events.emit": set(), "EventLine": set()}
        self._in_dicts: dict[str, set[str]] = defaultdict(set)
        for function in functions():
            self._in_dicts[function.name] |= keys_of_dicts(function)
        while self._find_emitters():
            pass
        for function, call, event in self._emissions(ast.Constant):
            if _EVENT.fullmatch(str(event.value)):
                self.fields[str(event.value)] |= self._fields(function, call)

    def _emissions(self, kind: type[E]) -> Iterator[tuple[Function, ast.Call, E]]:
        for function in functions():
            for call in calls(function):
                event = call.args[0] if call.args else None
                if name_of(call) in self._added and isinstance(event, kind):
                    yield function, call, event

    def _find_emitters(self) -> bool:
        """Look for functions that pass their own argument on; whether anything was found."""
        before = {name: set(fields) for name, fields in self._added.items()}
        for function, call, event in list(self._emissions(ast.Name)):
            if event.id in parameters(function):
                added = self._added.setdefault(function.name, set())
                added |= self._fields(function, call)
                if "detail" in parameters(function):
                    added |= detail_fields()
        return before != self._added

    def _fields(self, function: Function, call: ast.Call) -> set[str]:
        found = set(self._added[name_of(call)])
        for keyword in call.keywords:
            if keyword.arg is not None:
                found.add(keyword.arg)
            elif isinstance(keyword.value, ast.Attribute):
                found |= self._in_dicts[keyword.value.attr]
            else:
                found |= keys_spread(function, keyword.value)
        return found.union(*(keys_of_dicts(value) for value in call.args[1:]))


@pytest.fixture(scope="module")
def emissions() -> Emissions:
    return Emissions()


@pytest.mark.parametrize("event", events.EVENTS)
def test_every_event_is_emitted_with_the_fields_of_its_page(
    event: str, emissions: Emissions
) -> None:
    assert event in emissions.fields, f"nothing emits {event}: use it or drop it"
    missing = set(events.EVENTS[event].fields) - emissions.fields[event]
    assert not missing, f"no emission of {event} has the fields {sorted(missing)}"


def attributes_read() -> set[str]:
    return {
        node.attr
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def test_every_setting_is_read_or_said_to_be_without_effect() -> None:
    read = attributes_read()
    unread = {
        name
        for name, about in described.items()
        if name not in read and not about.doc.startswith("Accepted without effect")
    }
    assert not unread, f"nothing reads these settings: use, drop or note them: {sorted(unread)}"
    assert not set(NOTED) & read, "these are said to have no effect"


def _sent() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for function in functions():
        for call in calls(function):
            owner = [call.func.value] if isinstance(call.func, ast.Attribute) else []
            for part in (*owner, *call.args) if name_of(call) == "send" else ():
                if isinstance(part, ast.Attribute) and part.attr in SIGNALS:
                    found[part.attr] |= set()
                    for keyword in call.keywords:
                        spread = keyword.arg is None
                        found[part.attr] |= (
                            keys_spread(function, keyword.value) if spread else {str(keyword.arg)}
                        )
    return found


SIGNALS = sorted(set(signals.__all__) - {"Signal", "signals_table"})


@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_is_sent_with_the_fields_that_it_promises(name: str) -> None:
    sent = _sent()
    if getattr(signals, name).meaning.startswith("Never: "):
        assert name not in sent, f"{name} is sent, so do not say that it never is"
        return
    assert name in sent, f"nothing sends {name}: use it or drop it"
    assert sent[name] == set(getattr(signals, name).fields)


def _only_looked_for(tree: ast.AST) -> set[ast.AST]:
    """Where an error is caught, asked for or named as a type: none of this makes one."""
    parts: list[ast.AST | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            parts.append(node.type)
        elif isinstance(node, ast.Call) and name_of(node) in {"isinstance", "issubclass"}:
            parts += node.args[1:]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            parts.append(node.annotation)
        elif isinstance(node, _FUNCTIONS):
            parts.append(node.returns)
    return {inner for part in parts if part is not None for inner in ast.walk(part)}


def _errors_named(*, made: bool) -> set[str]:
    found = set[str]()
    for path, tree in TREES.items():
        looked_for = _only_looked_for(tree) if made else set()
        for node in ast.walk(tree) if path.name != "errors.py" or path.parent != PACKAGE else ():
            if node not in looked_for and isinstance(node, ast.Name | ast.Attribute):
                found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return found


NO_ERRORS = {"suggest", "ReliableTasksError", "TaskPredicate"}
"""A function, and classes that only their subclasses are made of."""


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - NO_ERRORS))
def test_every_error_is_made_somewhere(name: str) -> None:
    """Not only caught: raised, built, subclassed, or in a table of drivers' errors."""
    assert name in _errors_named(made=name not in RAISED_BY_BODIES), f"nothing raises {name}"


def test_the_reference_page_has_the_table_of_signals() -> None:
    page = PACKAGE.parent / "docs" / "reference" / "events.md"
    assert signals.signals_table() in page.read_text(encoding="utf-8")
