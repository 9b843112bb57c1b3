"""Where settings come from: dicts, modules and objects, with old and new spellings."""

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from reliable_tasks.config.masks import shown
from reliable_tasks.config.names import resolve
from reliable_tasks.config.own import check_name
from reliable_tasks.errors import ConfigError

__all__ = ["candidates", "items", "one_spelling", "pairs", "prefix_of"]


def items(sources: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """All pairs of several mappings."""
    for source in sources:
        yield from source.items()


def candidates(source: object) -> list[str]:
    """The names of a module or an object that may be settings."""
    names = vars(source) if isinstance(source, ModuleType) else dir(source)
    return [name for name in names if not name.startswith("_")]


def prefix_of(namespace: str | None) -> str:
    """What the names of a namespace begin with."""
    return f"{namespace.rstrip('_').upper()}_" if namespace else ""


def pairs(source: object, namespace: str | None) -> Iterator[tuple[str, Any]]:
    """What a source sets, as it spells it: all of a dict, of others what is no helper."""
    prefix = prefix_of(namespace)
    if isinstance(source, Mapping):
        yield from ((name, source[name]) for name in source if str(name).startswith(prefix))
        return
    for name in candidates(source):
        if prefix:
            if name.startswith(prefix):
                yield name, getattr(source, name)
            continue
        value = _value_of(source, name)
        # A module's `from datetime import timezone` is not a setting.
        helper = isinstance(value, ModuleType | type) or callable(value)
        if not helper or (name != name.lower() and resolve(name)) or name == "task_routes":
            yield name, value


def _value_of(source: object, name: str) -> Any:
    if resolve(name) is not None:
        return getattr(source, name)
    try:
        return getattr(source, name)
    except Exception:  # noqa: BLE001 - a property of an object's own, which is no setting
        return None


def one_spelling(
    given: Iterable[tuple[str, Any]], namespace: str | None = None
) -> tuple[dict[str, tuple[str, Any]], dict[str, Any]]:
    """Give each setting its present name.

    Returns:
        `{name: (spelling, value)}`; and what is no setting, for the program itself to read.

    Raises:
        ConfigError: two spellings of one setting differ, or a name is almost that of a setting.
    """
    prefix = prefix_of(namespace)
    found: dict[str, tuple[str, Any]] = {}
    others: dict[Any, Any] = {}
    for spelling, value in given:
        short = str(spelling).removeprefix(prefix)
        name = (resolve(short.lower()) if prefix else None) or resolve(str(spelling))
        if name is None:
            others[spelling] = value
            continue
        other, before = found.setdefault(name, (spelling, value))
        if other != spelling and before != value:
            raise ConfigError(
                f"{other}={shown(before, name)} and {spelling}={shown(value, name)} are two "
                f"spellings of {name!r} with different values; keep one of them"
            )
        found[name] = (spelling, value)
    return found, {check_name(name, prefix, found): x for name, x in others.items()}
