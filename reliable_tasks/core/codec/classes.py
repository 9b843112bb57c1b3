"""Exception classes and what their instances hold, looked at without running code of theirs.

A class may bring a metaclass, properties and magic methods; a module, a `__getattr__` that imports.
So all of this goes through the descriptors of the built-in types.
"""

import builtins
import sys
from collections.abc import Iterator
from pathlib import PurePath
from types import MemberDescriptorType, ModuleType
from typing import Any

__all__ = [
    "attributes_of",
    "loaded",
    "make",
    "name_of_main",
    "runs_no_code_below",
    "set_attribute",
    "slots_of",
]

_BUILTIN: dict[int, Any] = {
    id(value): value
    for value in vars(builtins).values()
    if isinstance(value, type) and issubclass(value, BaseException)
}
"""By id, because a class may have a metaclass that hashes in its own way."""

_of_module: Any = vars(ModuleType)["__dict__"].__get__
_of_class: Any = vars(type)["__dict__"].__get__
_mro: Any = vars(type)["__mro__"].__get__
_of_instance: Any = vars(BaseException)["__dict__"].__get__
_set_args: Any = vars(BaseException)["args"].__set__


# Finding a class ---------------------------------------------------------------------------------


def name_of_main() -> str | None:
    """The name by which other programs import the module that runs as `__main__`."""
    main = sys.modules.get("__main__")
    if not issubclass(type(main), ModuleType):
        return None
    names: dict[str, Any] = _of_module(main)
    spec_name = getattr(names.get("__spec__"), "name", None)  # `python -m`
    if isinstance(spec_name, str) and spec_name != "__main__":
        return spec_name
    file = names.get("__file__")
    stem = PurePath(file).stem if isinstance(file, str) else ""
    return stem if stem.isidentifier() else None


def loaded(module: str, qualname: str) -> tuple[Any, str]:
    """The exception class of this name, if its module was imported; and why not, if there is none.

    The module that runs as `__main__` is found by its own name as well.
    """
    there: Any = sys.modules.get(module)
    if there is None and module == name_of_main():
        there = sys.modules.get("__main__")
    if not issubclass(type(there), ModuleType):
        return None, f"{module} is not imported here; import it where the result is asked for"
    names, found = _of_module(there), None
    for part in qualname.split("."):
        found = names.get(part)
        if not issubclass(type(found), type):
            return None, f"{module} has no class of this name here"
        names = _of_class(found)
    if not issubclass(found, BaseException):  # type: ignore[arg-type]
        return None, f"{module} has another class of this name here, which is no exception"
    if not issubclass(found, Exception):  # type: ignore[arg-type]
        return None, "it is no Exception, and would end the program that asks for the result"
    return found, ""


# Making an instance ------------------------------------------------------------------------------


def make(cls: Any, args: tuple[Any, ...]) -> Any:
    """An instance with these `args`; only built-in constructors are run, none of the class's own.

    None where its memory is laid out by C code of others, which their constructor has to fill.
    """
    bases = [_BUILTIN[id(base)] for base in _mro(cls) if id(base) in _BUILTIN]
    for call in (args, ()):
        for base in bases:
            try:
                exc = base.__new__(cls, *call)
                base.__init__(exc, *call)
            except Exception:  # noqa: BLE001, S112 - not the one that laid it out, or other args
                continue
            if call is not args:
                _set_args(exc, args)
            return exc
    return None


def runs_no_code_below(cls: Any) -> bool:
    """Whether a class can be subclassed without running code of its own."""
    own = [base for base in _mro(cls) if base is not object]
    return type(cls) is type and not any("__init_subclass__" in _of_class(base) for base in own)


# What an instance holds --------------------------------------------------------------------------


def attributes_of(exc: BaseException) -> dict[str, Any]:
    """The dictionary of its attributes itself."""
    attributes: dict[str, Any] = _of_instance(exc)
    return attributes


def slots_of(exc: BaseException) -> Iterator[tuple[str, Any]]:
    """The names and values of its `__slots__`."""
    for cls in _mro(type(exc)):
        if id(cls) in _BUILTIN or cls is object:
            continue
        for name, slot in _of_class(cls).items():
            if type(slot) is MemberDescriptorType:
                try:
                    yield name, slot.__get__(exc)
                except AttributeError:
                    continue  # nothing was put there


def set_attribute(exc: BaseException, name: str, value: object) -> None:
    """Set an attribute, past the class's own `__setattr__` and properties."""
    for cls in _mro(type(exc)):
        slot = _of_class(cls).get(name)
        if type(slot) is MemberDescriptorType and id(cls) not in _BUILTIN:
            slot.__set__(exc, value)
            return
    _of_instance(exc)[name] = value
