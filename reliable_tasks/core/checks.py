"""What may enter a message or an outcome: one function for each kind of value.

Each takes the name that the value was given under, and returns the value as it is kept: a UUID as
text, a timedelta as seconds, a member of an enum as the number or text that it is. What is not
possible is a `ConfigError` that says the name, the value and what would do. So the line that gives
a wrong value hears of it, not the worker that meets it later.
"""

import datetime as dt
import numbers
import signal
import uuid
from collections.abc import Mapping
from enum import Enum
from typing import Any

from reliable_tasks.core.codec.tags import tagged
from reliable_tasks.core.texts import as_seconds, no_span, shown
from reliable_tasks.errors import CodecError, ConfigError, MessageTooLarge, suggest

__all__ = [
    "MAX_NAME_BYTES",
    "check_size",
    "delay",
    "exception_classes",
    "flag",
    "instant",
    "instant_ms",
    "limit",
    "limits_fit",
    "message_id",
    "priority",
    "queue",
    "retries",
    "signal_name",
    "span",
    "span_ms",
    "text",
    "trouble_with_text",
    "user_headers",
]

MAX_NAME_BYTES = 255
"""How long ids and the names of tasks, queues and states may be, in UTF-8: as long as AMQP's."""

_FIRST_MS = 1  # an instant before 1970 has passed, however long ago that was
_LAST_MS = 253_402_300_799_999  # the end of the year 9999 in UTC, where datetimes end
_LEAST_URGENT = 9
_MOST_RETRIES = 2**53 - 1  # what every store and format holds exactly
_STOPPING = frozenset({"SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"})  # a slot would stand still


def signal_name(value: Any) -> str:
    """A signal, by its name (with or without `SIG`) or its number; SIGTERM for None."""
    if value is None:
        return "SIGTERM"
    known = signal.Signals.__members__
    found = value.upper() if isinstance(value, str) else ""
    if isinstance(value, int) and not isinstance(value, bool):
        found = next((key for key, number in known.items() if number == value), "")
    found = found if found.startswith("SIG") else f"SIG{found}"
    if found not in known or found in _STOPPING:
        raise ConfigError(
            f"signal={shown(value)} is no signal that ends a body{suggest(found, known)}; give a "
            "name such as 'SIGINT'"
        )
    return found


# Texts -------------------------------------------------------------------------------------------


def trouble_with_text(value: str, most: int = MAX_NAME_BYTES) -> str | None:
    """Why a text cannot be a name, for an error; None if it can."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "must be text that UTF-8 can write, without lone surrogates"
    if "\0" in value:
        return "must not contain a NUL character"
    return f"must have at most {most} bytes, not {size:,}" if size > most else None


def text(name: str, value: Any, most: int = MAX_NAME_BYTES) -> str:
    """A name: text that is not empty, in at most `most` bytes of UTF-8."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a non-empty string, not {shown(value)}")
    exact = str.__str__(value)
    trouble = trouble_with_text(exact, most)
    if trouble:
        raise ConfigError(f"{name}={shown(exact)} {trouble}")
    return exact


def message_id(name: str, value: Any) -> str:
    """An id: a name, or a UUID, which is kept as text."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str):
        return text(name, value)
    if isinstance(value, bytes | bytearray):
        raise ConfigError(f"{name} must be a string, not {shown(value)}; decode it: value.decode()")
    raise ConfigError(f"{name} must be a string or a UUID, not {shown(value)}; write str(…)")


def queue(name: str, value: Any) -> str:
    """The name of a queue, or an object that has one as its `name`, as kombu's has."""
    if isinstance(value, Enum) and not isinstance(value, str):
        raise ConfigError(f"{name} must be a non-empty string, not {shown(value)}; pass its .value")
    return text(name, value if isinstance(value, str) else getattr(value, "name", value))


# Numbers and flags -------------------------------------------------------------------------------


def flag(name: str, value: Any) -> bool:
    """True or False; 1 and 0 are accepted."""
    if isinstance(value, bool) or (isinstance(value, int) and value in {0, 1}):
        return bool(value)
    raise ConfigError(f"{name} must be True or False, not {shown(value)}")


def priority(name: str, value: Any) -> int:
    """A priority: 0 comes first."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if whole and 0 <= int(value) <= _LEAST_URGENT:
        return int(value)
    raise ConfigError(f"{name} must be a whole number from 0 (first) to 9, not {shown(value)}")


def retries(name: str, value: Any) -> int | None:
    """A number of retries; None for no limit."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_RETRIES:
        return int(value)
    said = f"{name}={shown(value)}"
    raise ConfigError(f"{said}: pass a number of retries, 0 or more, or None for ever")


# Spans and instants ------------------------------------------------------------------------------


def span(name: str, value: Any, *, above_zero: bool = False) -> float:
    """Seconds from a number or a timedelta; with `above_zero` it must have a length."""
    seconds = as_seconds(value)
    if seconds is not None and (seconds > 0 or not above_zero):
        return seconds
    raise ConfigError(no_span(name, value, "above 0 and at most" if above_zero else "at most"))


def span_ms(name: str, value: Any) -> int:
    """A span in milliseconds."""
    return round(span(name, value) * 1000)


def limit(name: str, value: Any) -> float:
    """Seconds that a body may run; 0 is no limit."""
    seconds = as_seconds(value)
    if seconds is None or seconds < 0:
        raise ConfigError(no_span(name, value, "0 (no limit) to"))
    return seconds


def delay(name: str, value: Any) -> float:
    """Seconds to wait before a retry."""
    seconds = as_seconds(value)
    if seconds is not None and seconds >= 0:
        return seconds
    raise ConfigError(
        f"{name}={shown(value)}: pass seconds, 0 or more, or a timedelta, a hundred years at most"
    )


def limits_fit(soft: float | None, hard: float | None, where: str = "") -> None:
    """Refuse a soft limit that is above the hard one: the body would never hear of it."""
    if soft and hard and soft > hard:
        raise ConfigError(f"{where}soft_time_limit {soft:g} s is above time_limit {hard:g} s")


def instant(name: str, value: Any, tz: dt.tzinfo) -> dt.datetime:
    """An instant given as a datetime (a naive one is in the zone `tz`) or as ISO text; aware."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError as exc:
            raise ConfigError(f"{name}={shown(value)} is not a date and time in ISO 8601") from exc
    if not isinstance(value, dt.datetime):
        raise ConfigError(f"{name} must be a datetime, not {shown(value)}")
    try:
        naive = value.utcoffset() is None
        aware = value.replace(tzinfo=tz) if naive else value
        aware.timestamp()
    except Exception as exc:  # a tzinfo of the user's own may raise anything
        raise ConfigError(f"{name}={shown(value)} has no place on the clock: {exc}") from exc
    return aware


def instant_ms(name: str, value: Any, tz: dt.tzinfo) -> int:
    """An instant in milliseconds since the epoch."""
    ms = int(instant(name, value, tz).timestamp() * 1000 + 0.5)
    return min(max(_FIRST_MS, ms), _LAST_MS)


# Other values ------------------------------------------------------------------------------------


def user_headers(name: str, value: Any) -> dict[str, Any]:
    """The `headers` of a call, in the form in which they travel: values as arguments have them."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name} must be a dict with texts as keys, not {shown(value)}")
    fields = {str.__str__(key): item for key, item in value.items()}
    for key in fields:
        if trouble := trouble_with_text(key):
            raise ConfigError(f"{name}: the key {shown(key)} {trouble}")
    try:
        return {key: tagged(item, f"{name}[{key!r}]") for key, item in fields.items()}
    except CodecError as exc:
        raise ConfigError(str(exc)) from exc


def exception_classes(name: str, value: Any) -> tuple[type[BaseException], ...]:
    """Exception classes: one, or a list or tuple of them."""
    types = (value,) if isinstance(value, type) else value
    if isinstance(types, list | tuple | set | frozenset) and all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in types
    ):
        return tuple(types)
    raise ConfigError(
        f"{name}={shown(value)}: pass a tuple of exception classes, such as (OSError,)"
    )


def check_size(what: str, size: int, most: int, setting: str) -> None:
    """Refuse what is larger than a setting allows.

    Raises:
        MessageTooLarge: it is.
    """
    if size > most:
        raise MessageTooLarge(
            f"{what} has {size:,} bytes, more than {setting}={most:,}; store the data elsewhere "
            "and pass a reference, or raise the setting"
        )
