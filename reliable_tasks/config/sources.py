"""Where settings come from: dicts, modules and objects, with old and new spellings."""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from reliable_tasks.config.masks import shown
from reliable_tasks.config.names import known_names, resolve
from reliable_tasks.config.settings import described
from reliable_tasks.errors import ConfigError, suggest

__all__ = ["candidates", "import_object", "items", "one_spelling", "pairs"]

_LOOKS_LIKE_A_SETTING = ("CELERY", "BROKER")


def import_object(dotted: str) -> object:
    """Import the module or object that the program names: `a.b`, `a.b:c` or `a.b.c`.

    Raises:
        ConfigError: there is none, or it imports something that is not there. What else goes
            wrong inside the module is raised as it is.
    """
    module, _, attribute = dotted.partition(":")
    if not all(part.isidentifier() for part in module.split(".")):
        raise ConfigError(f"the configuration {dotted!r} is not the dotted name of a module")
    try:
        found: object = importlib.import_module(module)
    except ImportError as error:
        parent, dot, last = module.rpartition(".")
        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        if absent and dot and not attribute:
            return import_object(f"{parent}:{last}")
        raise ConfigError(
            f"the configuration {dotted!r} cannot be imported ({error}): check the name, and that "
            "its directory is on the path"
        ) from error
    try:
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except AttributeError as error:
        raise ConfigError(f"the configuration {dotted!r} is not there: {error}") from error
    return found


def items(sources: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """All pairs of several mappings."""
    for source in sources:
        yield from source.items()


def candidates(source: object) -> list[str]:
    """The names of a module or an object that may be settings."""
    names = vars(source) if isinstance(source, ModuleType) else dir(source)
    return [name for name in names if not name.startswith("_")]


def pairs(source: object, namespace: str | None) -> Iterator[tuple[str, Any]]:
    """What a source sets, as it spells it: all of a dict, of others what looks like a setting."""
    prefix = f"{namespace.rstrip('_').upper()}_" if namespace else ""
    if isinstance(source, Mapping):
        yield from ((name, source[name]) for name in source if str(name).startswith(prefix))
        return
    for name in candidates(source):
        if prefix:
            if name.startswith(prefix):
                yield name, getattr(source, name)
        elif resolve(name) is not None:
            value = getattr(source, name)
            # A module's `from datetime import timezone` is not a setting.
            helper = isinstance(value, ModuleType | type) or callable(value)
            if not helper or name != name.lower() or name == "task_routes":
                yield name, value
        elif name.isupper() and name.startswith(_LOOKS_LIKE_A_SETTING):
            yield name, getattr(source, name)


def one_spelling(
    given: Iterable[tuple[str, Any]], namespace: str | None = None
) -> dict[str, tuple[str, Any]]:
    """Give each setting its present name; return `{name: (spelling, value)}`."""
    prefix = f"{namespace.rstrip('_').upper()}_" if namespace else ""
    found: dict[str, tuple[str, Any]] = {}
    for spelling, value in given:
        short = str(spelling).removeprefix(prefix)
        name = (resolve(short.lower()) if prefix else None) or resolve(str(spelling))
        if name is None:
            known = {f"{prefix}{n.upper()}" for n in described} if prefix else known_names()
            raise ConfigError(f"{spelling!r} is not a setting{suggest(str(spelling), known)}")
        other, before = found.setdefault(name, (spelling, value))
        if other != spelling and before != value:
            raise ConfigError(
                f"{other}={shown(before, name)} and {spelling}={shown(value, name)} are two "
                f"spellings of {name!r} with different values; keep one of them"
            )
        found[name] = (spelling, value)
    return found
