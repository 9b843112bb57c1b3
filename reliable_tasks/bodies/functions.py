"""Tell whether two functions are one that was imported twice, and name functions.

A program that is run as `__main__` and imported under its own name makes each of its tasks twice,
and a module that is loaded again does. Two wrappers of one decorator, or two functions of one
factory, begin at the same line of the same file as well, but they are two.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from enum import Enum
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.texts import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Modules",
    "annotations_of",
    "body_of",
    "doc_of",
    "modules_of",
    "name_of",
    "place",
    "same_function",
    "was_loaded_again",
]

Modules = dict[int, tuple[Any, Any]]
"""Dictionaries of modules by their ids, each with the `__spec__` that it was loaded by."""

_Seen = set[tuple[int, int]]
_TOLD = 2  # of the functions that are one in another, in an error


class _Relation(Enum):
    EQUAL = "nothing tells them apart"
    AGAIN = "of one source, in two modules"
    OTHER = "two functions"


def same_function(one: Any, other: Any) -> bool:
    """Whether the two are interchangeable."""
    return _compare(one, other, set()) is not _Relation.OTHER


def _compare(one: Any, other: Any, seen: _Seen) -> _Relation:
    if one is other or (id(one), id(other)) in seen:
        return _Relation.EQUAL
    seen.add((id(one), id(other)))
    if isinstance(one, functools.partial) and isinstance(other, functools.partial):
        parts = [one.func, *one.args, one.keywords], [other.func, *other.args, other.keywords]
        return _compare_all(*parts, seen)
    if inspect.isfunction(one) and inspect.isfunction(other):
        return _compare_functions(one, other, seen)
    return _Relation.EQUAL if _equal(one, other) else _Relation.OTHER


def _compare_functions(one: Any, other: Any, seen: _Seen) -> _Relation:
    code, other_code = one.__code__, other.__code__
    if code != other_code or code.co_filename != other_code.co_filename:
        return _Relation.OTHER
    if one.__globals__ is not other.__globals__:
        return _Relation.AGAIN
    return _compare_all(_held(one), _held(other), seen)


def _compare_all(ones: list[Any], others: list[Any], seen: _Seen) -> _Relation:
    """If one part was imported twice, all of it was: what it holds was made again."""
    if len(ones) != len(others):
        return _Relation.OTHER
    found = {_compare(*pair, seen) for pair in zip(ones, others, strict=True)}
    return next((r for r in (_Relation.AGAIN, _Relation.OTHER) if r in found), _Relation.EQUAL)


def _held(function: Any) -> list[Any]:
    """The values that a function holds besides its code: its closure and its defaults."""
    cells = [_content(cell) for cell in function.__closure__ or ()]
    return [*cells, function.__kwdefaults__, *(function.__defaults__ or ())]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty as yet: a function that calls itself
        return None


def _equal(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - a user's own __eq__ may raise anything
        return False


# Loading again -----------------------------------------------------------------------------------


def modules_of(function: Any) -> Modules:
    """The modules in which a function and what it wraps live, and what they were loaded by.

    `importlib.reload` runs a module anew in the same dictionary, with a new `__spec__`.
    """
    found = (each.__globals__ for each in _functions_in(function))
    return {id(space): (space, space.get("__spec__")) for space in found}


def _functions_in(function: Any) -> Iterator[Any]:
    """A function, and those that it holds."""
    seen, todo = set[int](), [function]
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, functools.partial):
            todo.append(each.func)
        elif inspect.isfunction(each):
            todo += _held(each)
            yield each


def was_loaded_again(before: Modules, now: Modules) -> bool:
    """Whether one of the modules has been loaded again in between."""
    return any(key in before and before[key][1] is not spec for key, (_, spec) in now.items())


# Words -------------------------------------------------------------------------------------------


def place(function: Any) -> str:
    """Where a function is defined, for people; for a wrapper also what it wraps."""
    places = [_line(each) for each in _functions_in(function)][:_TOLD]
    return " around ".join(places) or shown(function)


def _line(function: Any) -> str:
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def name_of(function: Any) -> str | None:
    """The last part of a task's name, where a callable has one: a partial has none."""
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else None


def body_of(function: Any, bind: bool) -> Any:
    """What becomes a task's `run`: the callable, as an attribute of the task's class."""
    if not (inspect.isroutine(function) or isinstance(function, functools.partial | type)):
        function = function.__call__  # which tells whether it is a coroutine function
    if not bind:
        return staticmethod(function)
    return function if inspect.isfunction(function) else _taking_self(function)


def _taking_self(function: Any) -> Any:
    """A function that hands the task on: only functions become methods by themselves."""

    async def awaited(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await function(self, *args, **kwargs)

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method: Any = awaited if inspect.iscoroutinefunction(function) else called
    with contextlib.suppress(TypeError, ValueError):  # some builtins tell nothing of theirs
        method.__signature__ = inspect.signature(function)
    return method


def doc_of(function: Callable[..., Any]) -> str | None:
    """A callable's docstring; for a partial, that of its function."""
    return getattr(getattr(function, "func", function), "__doc__", None)


def annotations_of(function: Any) -> dict[str, Any]:
    """A callable's annotations, as they are written; none of a partial or an object."""
    found = getattr(function, "__annotations__", None)
    return dict(found) if isinstance(found, dict) else {}
