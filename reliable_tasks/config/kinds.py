"""The kinds of values that settings have: how each is checked, parsed and frozen.

A check returns the value as it is kept and raises ValueError with the remedy; the caller adds the
name of the setting. Nothing here knows a setting by name.
"""

# ruff: noqa: TRY004 - a value of a wrong type is one kind of wrong value, and told in the same way

import datetime as dt
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from reliable_tasks.core import call_options, checks, texts
from reliable_tasks.core.codec import NO_UNSAFE, UNSAFE
from reliable_tasks.errors import suggest

__all__ = ["CODECS", "PUBLISH_RETRY", "Kind", "copied", "parse_flag", "parse_json"]

PUBLISH_RETRY = call_options.PUBLISH_RETRY


_LONGEST_TEXT = 65_536
_LARGEST = 2**53 - 1  # what every store, Lua's numbers included, holds exactly


def _same(value: Any) -> Any:
    return value


class Kind(msgspec.Struct, frozen=True):
    """A kind of value.

    Attributes:
        words: what a value may be, for errors and for the reference.
        check: returns the value as it is kept; raises ValueError with a remedy.
        parse: makes of an environment variable's text a value to check.
        freeze: makes of a kept value one that later changes in place do not reach.
        lends: whether a kept value can be changed in place (a dict).
    """

    words: str
    check: Callable[[Any], Any]
    parse: Callable[[str], Any]
    freeze: Callable[[Any], Any] = _same
    lends: bool = False


def copied(value: Any) -> Any:
    """Return `value` with its dicts and lists copied all the way down; other objects are shared."""
    if isinstance(value, Mapping):
        return {k: copied(v) for k, v in value.items()}
    if isinstance(value, list):
        return [copied(v) for v in value]
    return value


# Plain values -------------------------------------------------------------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a non-empty string")
    trouble = checks.trouble_with_text(value, _LONGEST_TEXT)
    if trouble:
        raise ValueError(trouble)
    return value


def _name(value: object) -> str:
    exact = str.__str__(_text(value))
    trouble = checks.trouble_with_text(exact)
    if trouble:
        raise ValueError(trouble)
    return exact


def _flag(value: object) -> bool:
    if isinstance(value, bool) or (isinstance(value, int) and value in {0, 1}):
        return bool(value)
    raise ValueError("give True or False")


_WORDS_FOR_FLAGS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(
    ("0", "false", "no", "off"), False
)


def parse_flag(words: str) -> bool:
    """Read any of the usual words for yes and no; ValueError for others."""
    try:
        return _WORDS_FOR_FLAGS[words.strip().lower()]
    except KeyError:
        raise ValueError("write true or false") from None


def _number(words: str) -> float:
    try:
        return float(words)
    except ValueError:
        raise ValueError("write a number") from None


def _integer(words: str) -> int:
    try:
        return int(words)
    except ValueError:
        raise ValueError("write a whole number") from None


def _split(words: str) -> tuple[str, ...]:
    return tuple(part for raw in words.split(",") if (part := raw.strip()))


def parse_json(words: str) -> Any:
    """Read JSON; ValueError if it is none."""
    try:
        return json.loads(words)
    except ValueError as error:
        raise ValueError(f"write JSON ({error})") from None


def whole(low: int, high: int | None = None) -> Kind:
    """Whole numbers from `low` to `high`."""
    upto = f"from {low}" if high is None else f"from {low} to {high}"

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"give a whole number {upto}")
        if value < low or value > (_LARGEST if high is None else high):
            raise ValueError(f"give a number {upto}" + (f" to {_LARGEST}" if high is None else ""))
        return value

    return Kind(f"whole number {upto}", check, _integer)


def seconds(*, zero: bool = False) -> Kind:
    """Durations: a number of seconds or a timedelta, above zero unless `zero` is allowed."""

    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | dt.timedelta):
            raise ValueError("give seconds as a number, or a timedelta")
        found = texts.as_seconds(value)
        if found is None or found < 0 or (found == 0 and not zero):
            least = "from 0" if zero else "above 0"
            raise ValueError(f"give a finite duration {least}, of a hundred years at most")
        return found

    return Kind("seconds or timedelta", check, _number)


def optional(kind: Kind, *, zero: bool = False) -> Kind:
    """Values of `kind`, or None; with `zero`, 0 means None too."""

    def check(value: object) -> Any:
        nothing = value == 0 or value == dt.timedelta(0)
        none = value is None or (zero and nothing and value is not False)
        return None if none else kind.check(value)

    def parse(words: str) -> Any:
        return None if words.strip().lower() in {"", "none"} else kind.parse(words)

    def freeze(value: Any) -> Any:
        return None if value is None else kind.freeze(value)

    return Kind(f"{kind.words}, or None", check, parse, freeze, kind.lends)


def choice(*options: str, other_names: Mapping[str, str] | None = None) -> Kind:
    """One of the texts `options`; `other_names` are taken for one of them."""
    others = other_names or {}

    def check(value: object) -> str:
        value = others.get(value, value) if isinstance(value, str) else value
        if not isinstance(value, str) or value not in options:
            near = suggest(str(value), options)
            raise ValueError(f"give one of {', '.join(map(repr, options))}{near}")
        return value

    return Kind(" or ".join(f"`{option!r}`" for option in options), check, str.strip)


# Collections --------------------------------------------------------------------------------------


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_name(value),)
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise ValueError("give a list or tuple of names")
    return tuple(_name(item) for item in value)


def _queues(value: object) -> tuple[str, ...]:
    """Take names, a dict keyed by name, or objects with a `name`, as kombu's Queue has."""
    if isinstance(value, Mapping):
        return _names(tuple(value))
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return _names(
            [item if isinstance(item, str) else getattr(item, "name", "") for item in value]
        )
    return _names(value)


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("give a dict")
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"keys must be strings, got {texts.shown(key)}")
    return value


def _frozen_mapping(value: object) -> dict[str, Any]:
    frozen: dict[str, Any] = copied(_mapping(value))
    return frozen


def _checked_by(freeze: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Check by freezing, but keep the program's own dict, which it may go on changing."""

    def check(value: Any) -> Any:
        frozen = freeze(value)
        return value if isinstance(value, dict) else frozen

    return check


def _mapping_kind(words: str, freeze: Callable[[Any], Any]) -> Kind:
    return Kind(words, _checked_by(freeze), parse_json, freeze, lends=True)


def _schedule(value: object) -> dict[str, Any]:
    frozen = _frozen_mapping(value)
    for name, entry in frozen.items():
        if not isinstance(entry, Mapping):
            raise ValueError(f"entry {name!r}: give a dict with 'task' and 'schedule'")
        missing = [key for key in ("task", "schedule") if entry.get(key) is None]
        if missing:
            raise ValueError(f"entry {name!r}: add {' and '.join(map(repr, missing))}")
    return frozen


def _exceptions(value: object) -> tuple[type[BaseException] | str, ...]:
    if isinstance(value, str | type):
        value = (value,)
    if not isinstance(value, Iterable):
        raise ValueError("give a tuple of exception classes or of their dotted names")
    kept: list[type[BaseException] | str] = []
    for item in value:
        dotted = isinstance(item, str) and "." in item.replace(":", ".")
        if not dotted and not (isinstance(item, type) and issubclass(item, BaseException)):
            raise ValueError(f"{texts.shown(item)} is no exception class nor a dotted name of one")
        kept.append(item)
    return tuple(kept)


# Words with a meaning -----------------------------------------------------------------------------

CODECS = ("json", "msgpack")
_CODEC_NAMES = {"application/json": "json", "application/x-msgpack": "msgpack"}


def _codec(value: object) -> Any:
    if isinstance(value, str) and value in UNSAFE:
        raise ValueError(NO_UNSAFE)
    return _one_codec.check(value)


def _codecs(value: object) -> tuple[str, ...]:
    """Names of codecs, without the unsafe ones that old configurations list beside safe ones."""
    named = sorted(_names(value)) if isinstance(value, set | frozenset) else _names(value)
    kept = tuple(dict.fromkeys(codec.check(name) for name in named if name not in UNSAFE))
    if not kept:
        raise ValueError(f"give at least one of {', '.join(map(repr, CODECS))}")
    return kept


def _file_mode(value: object) -> str:
    """Take the permissions of a file as octal digits, or as the number that `0o640` is."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = format(value, "04o") if value >= 0 else value
    if not isinstance(value, str) or not re.fullmatch(r"(0o?)?[67][0-7]{2}", value):
        raise ValueError("give octal digits with which the owner may read and write, as '0640'")
    return value.removeprefix("0o")[-3:].rjust(4, "0")


def _zone(value: object) -> str:
    """Take a zone's name, or an object that knows its name as zoneinfo's and pytz's do."""
    name = getattr(value, "key", None) or getattr(value, "zone", None) or value
    if value is dt.UTC:
        name = "UTC"
    if not isinstance(name, str) or not name:
        raise ValueError("give the name of a time zone, as 'Europe/Paris'")
    try:
        return name if name == "UTC" else ZoneInfo(name).key
    except (KeyError, ValueError, OSError):  # names of folders and odd paths raise the latter two
        near = suggest(name, available_timezones())
        raise ValueError(f"there is no such time zone here, as 'Europe/Paris' is{near}") from None


def _level(value: object) -> str:
    levels = logging.getLevelNamesMapping()
    if isinstance(value, int) and not isinstance(value, bool):
        value = logging.getLevelName(value)
    if not isinstance(value, str) or value.upper() not in levels:
        raise ValueError(f"give one of {', '.join(sorted(levels, key=lambda n: levels[n]))}")
    return value.upper()


def _url(value: object) -> str:
    """A URL; several (for Sentinel) are joined as one text."""
    if isinstance(value, list | tuple) and value:
        return ";".join(_text(part) for part in value)
    return _text(value)


text = Kind("text", _text, str.strip)
name = Kind("text", _name, str.strip)
flag = Kind("True or False", _flag, parse_flag)
names = Kind("tuple of names", _names, _split)
queues = Kind("tuple of names", _queues, _split)
mapping = _mapping_kind("dict", _frozen_mapping)
schedule = _mapping_kind("dict of name to entry", _schedule)
publish_retry = _mapping_kind("dict", call_options.publish_retry)
exceptions = Kind("tuple of exception classes or dotted names", _exceptions, _split)
_one_codec = choice(*CODECS, other_names=_CODEC_NAMES)
codec = Kind(_one_codec.words, _codec, str.strip)
codecs = Kind("tuple of `'json'`, `'msgpack'`", _codecs, _split)
durability = Kind("`'memory'`, `'fsync'` or `'replicas:N'`", call_options.durability, str.strip)
file_mode = Kind("permissions in octal digits", _file_mode, str.strip)
zone = Kind("name of a time zone", _zone, str.strip)
level = Kind("name of a log level", _level, str.strip)
url = Kind("URL", _url, str.strip)
