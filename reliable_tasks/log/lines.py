"""Turn a record or an event into a log line: its fields, their order, and their text."""

from __future__ import annotations

import functools
import logging
import re
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import events
from reliable_tasks.core import clock, tracebacks
from reliable_tasks.core import context as _state
from reliable_tasks.core.texts import printable
from reliable_tasks.log.structlog_bridge import console_renderer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "EVENTS_LOGGER",
    "EventLine",
    "JsonFormatter",
    "TextFormatter",
    "as_json",
    "context",
    "event_line",
    "level_and_fields",
]

EVENTS_LOGGER = "reliable_tasks"
_PLAIN_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_QUOTED = frozenset(" \t=\r\n\"'")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def context() -> dict[str, Any]:
    """Name the attempt that runs here. Read at each line, so that starting a body costs nothing."""
    running = _state.current_attempt.get()
    if running is None:
        return {}
    request = running.request
    found = {"task": request.task, "id": request.id, "attempt": request.attempt}
    if request.once_key is not None:
        found["once_key"] = request.once_key
    return found


# Events -------------------------------------------------------------------------------------------


class EventLine(msgspec.Struct, frozen=True):
    """An event as a log record's message: fields for our formatter, one text for any other."""

    event: str
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        shown = (f"{key}={value!r}" for key, value in self.fields.items() if value is not None)
        return " ".join((self.event, *shown))


def level_and_fields(event: str, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The level at which an event is logged, and its fields as the log shows them, in order."""
    known = events.EVENTS[event]
    level = known.level
    shown = {key: fields[key] for key in known.fields if key in fields}
    if len(shown) < len(fields):
        shown |= fields
    einfo = shown.pop("einfo", None)
    if shown.pop("expected", False):  # one of the task's `throws`: not worth an alarm
        level, einfo = logging.INFO, None
    if einfo is not None:
        shown["traceback"] = str(einfo)
    if isinstance(shown.get("next_at"), int):
        shown["next_at"] = clock.iso(shown["next_at"])
    return level, shown


def event_line(event: str, level: int, fields: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """The fields of an event's line, in the order they are shown."""
    line = {**_event_head(event, level), "timestamp": clock.iso(now_ms)}
    return {**line, **fields} if "id" in fields else _of_attempt(line, fields)


@functools.lru_cache(maxsize=len(events.EVENTS))
def _event_head(event: str, level: int) -> dict[str, Any]:
    return _head(0, logging.getLevelName(level), event, EVENTS_LOGGER)


# Records ------------------------------------------------------------------------------------------


def _head(ms: int, level: str, text: str, logger: str) -> dict[str, Any]:
    return {"timestamp": clock.iso(ms), "level": level.lower(), "event": text, "logger": logger}


def _of_attempt(line: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Add the attempt's fields to a line; fields of the same name get an underscore."""
    line |= context()
    return line | {f"{key}_" if key in line else key: value for key, value in fields.items()}


def _message_and_fields(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    message = record.msg
    if isinstance(message, dict) and hasattr(record, "_name"):  # of a body's structlog logger
        fields = {k: v for k, v in message.items() if k != "event"}
        return str(message.get("event", "")), fields
    extra = {k: v for k, v in record.__dict__.items() if k not in _PLAIN_RECORD}
    extra.update(extra.pop("fields", None) or {})
    return record.getMessage(), extra


def _line_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a record's line, in the order they are shown."""
    ms = round(record.created * 1e6) // 1000
    if isinstance(record.msg, EventLine):
        return event_line(record.msg.event, record.levelno, record.msg.fields, ms)
    text, fields = _message_and_fields(record)
    line = _of_attempt(_head(ms, record.levelname, text, record.name), fields)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        line["exception"] = type(error).__name__
        line["message"] = tracebacks.bounded(_shown(error))
        line["traceback"] = tracebacks.written(error)
    if record.stack_info:
        line["stack"] = record.stack_info
    return line


# As text ------------------------------------------------------------------------------------------


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__} whose __str__ raised {type(error).__name__}>"


_encode = msgspec.json.Encoder(enc_hook=_shown).encode


def as_json(line: dict[str, Any]) -> str:
    """The line as a JSON object, whatever its values are."""
    try:
        return _encode(line).decode()
    except (TypeError, ValueError, RecursionError):
        # A key that is not a string, a lone surrogate, a value that contains itself: show its text.
        encodable = {printable(_shown(key)): _encodable(value) for key, value in line.items()}
        return _encode(encodable).decode()


def _encodable(value: object) -> object:
    try:
        _encode(value)
    except (TypeError, ValueError, RecursionError):
        return printable(_shown(value))
    return value


def _escaped(text: str) -> str:
    """Without what would move a terminal's cursor or forge a line of the log."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class JsonFormatter(logging.Formatter):
    """One JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return as_json(_line_of(record))


class TextFormatter(logging.Formatter):
    """One line for people; what has several lines is indented below it."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._render = console_renderer(colour)

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record."""
        line = _line_of(record)
        below = [line.pop(key, None) for key in ("traceback", "stack")]
        if "exception" in line:
            line["error"] = f"{line.pop('exception')}: {line.pop('message', '')}"
        shown = {k: self._value(v) for k, v in line.items() if v is not None}
        shown["event"] = _escaped(line["event"]).replace("\n", "\n    ")
        first = self._render(None, line["level"], shown)
        rest = [_escaped(_shown(text)).rstrip().replace("\n", "\n    ") for text in below if text]
        return "\n    ".join([str(first), *rest])

    @staticmethod
    def _value(value: object) -> str:
        text = _shown(value)
        # structlog quotes (and so escapes) a text with one of these, and only such a text.
        return text if _QUOTED.intersection(text) else _escaped(text)
