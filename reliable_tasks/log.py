"""The log: events and what bodies log, as one stream of lines, each saying which attempt it is of.

Everything goes through the standard library's logging, so that plain `logging` in a body, its
`get_task_logger`, structlog and this package's own events are formatted alike. structlog itself is
imported when `configure` is called, not before.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from . import _state, events, signals
from ._log_output import FileTarget, LineHandler, PrintedLines, StreamTarget
from .errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TaskContext", "TaskLogger", "configure", "get_logger", "get_task_logger", "level_of"]

_EVENTS_LOGGER = "reliable_tasks"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL", "WARN")
_PLAIN_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_QUOTED = frozenset(" \t=\r\n\"'")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


# Logging from a body ------------------------------------------------------------------------------


def _context() -> dict[str, Any]:
    """Which attempt runs here; read at each line, so that starting a body binds nothing."""
    running = _state.current_attempt.get()
    if running is None:
        return {}
    request = running.request
    found = {"task": request.task, "id": request.id, "attempt": request.attempt}
    if request.once_key is not None:
        found["once_key"] = request.once_key
    return found


class TaskContext(logging.Filter):
    """For handlers of your own: gives records `task_id`, `task_name`, `attempt` and `once_key`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes; they are None outside of a body. Every record passes."""
        found = _context()
        record.task_id, record.task_name = found.get("id"), found.get("task")
        record.attempt, record.once_key = found.get("attempt"), found.get("once_key")
        return True


class TaskLogger(logging.Logger):
    """A logger that also takes fields: `log.info("charged %s", name, amount=12)`.

    It has the level, the handlers and the filters of the ordinary logger of its name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.parent = logging.getLogger(name)

    if TYPE_CHECKING:
        # The methods are the base class's; only `_log` knows of the fields.
        def debug(self, msg: object, *args: object, **fields: Any) -> None:
            """Log a line, with fields."""

        info = warning = error = critical = exception = debug

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the base class names it
        """Whether a line of this level would be written."""
        if self.level:
            return level >= self.level and self.manager.disable < level
        # Asked anew each time: the base class would not hear of a change of the parent's level.
        parent = self.parent
        return parent is not None and parent.isEnabledFor(level)

    def _log(
        self,
        level: int,
        msg: object,
        args: Any,
        exc_info: Any = None,
        extra: Mapping[str, object] | None = None,
        stack_info: bool = False,
        stacklevel: int = 1,
        **fields: Any,
    ) -> None:
        if fields:
            extra = {**(extra or {}), "fields": fields}
        super()._log(level, msg, args, exc_info, extra, stack_info, stacklevel + 1)


_task_loggers: dict[str, TaskLogger] = {}


def get_task_logger(name: str) -> TaskLogger:
    """A logger for task bodies; every line carries the task, its id, the attempt and once-key."""
    return _task_loggers.setdefault(name, TaskLogger(name))


def get_logger(name: str) -> logging.Logger:
    """The standard library's logger of this name."""
    return logging.getLogger(name)


# From a record to a line --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _EventLine:
    """An event as a log record's message: fields for our formatter, one text for any other."""

    event: str
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        shown = (f"{key}={value!r}" for key, value in self.fields.items() if value is not None)
        return " ".join((self.event, *shown))


def _iso(seconds: float) -> str:
    when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message_and_fields(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    message = record.msg
    if isinstance(message, _EventLine):
        known = events.EVENTS[message.event].fields
        ordered = {k: message.fields[k] for k in known if k in message.fields}
        return message.event, {**ordered, **message.fields}
    if isinstance(message, dict) and hasattr(record, "_name"):  # of a body's structlog logger
        fields = {k: v for k, v in message.items() if k != "event"}
        return str(message.get("event", "")), fields
    extra = {k: v for k, v in record.__dict__.items() if k not in _PLAIN_RECORD}
    extra.update(extra.pop("fields", None) or {})
    return record.getMessage(), extra


def _line_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a line, in the order they are shown."""
    text, fields = _message_and_fields(record)
    line = {
        "timestamp": _iso(record.created),
        "level": record.levelname.lower(),
        "event": text,
        "logger": record.name,
    }
    if not (isinstance(record.msg, _EventLine) and "id" in fields):
        line |= _context()
        # What says whose line it is cannot be covered by a field of the same name.
        fields = {f"{k}_" if k in line else k: v for k, v in fields.items()}
    line |= fields
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        line["exception"], line["message"] = type(error).__name__, str(error)
        line["traceback"] = "".join(traceback.format_exception(error))
    if record.stack_info:
        line["stack"] = record.stack_info
    return line


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__} whose __str__ raised {type(error).__name__}>"


def _as_json(line: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(line, enc_hook=_shown).decode()
    except (TypeError, ValueError, RecursionError):
        # Keys that are no text, lone surrogates, a value that contains itself: show it as text.
        plain = {
            key: _shown(value).encode("utf-8", "backslashreplace").decode()
            for key, value in line.items()
        }
        return msgspec.json.encode(plain).decode()


def _escaped(text: str) -> str:
    """Without what would move a terminal's cursor or forge a line of the log."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _as_json(_line_of(record))


class _TextFormatter(logging.Formatter):
    """One line for people; what has several lines is indented below it."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        from structlog.dev import ConsoleRenderer, plain_traceback  # noqa: PLC0415 - heavy

        self._render = ConsoleRenderer(
            colors=colour, sort_keys=False, exception_formatter=plain_traceback
        )

    def format(self, record: logging.LogRecord) -> str:
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


# Setting it up ------------------------------------------------------------------------------------


def level_of(level: int | str) -> int:
    """The number of a level.

    Raises:
        ConfigError: there is no such level.
    """
    if isinstance(level, int):
        return level
    name = level.upper()
    if name not in _LEVELS:
        raise ConfigError(
            f"{level!r} is not a log level{suggest(name, _LEVELS)}; there are DEBUG, INFO, "
            "WARNING, ERROR and CRITICAL"
        )
    return int(logging.getLevelName(name))


class _Setup:
    """One call of `configure`, and how to undo it."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def undo(self) -> None:
        """Put everything back as it was before."""
        while self._undo:
            self._undo.pop()()

    def handle(self, logger: logging.Logger, handler: logging.Handler, level: int) -> None:
        before, propagate = logger.level, logger.propagate

        def restore() -> None:
            logger.removeHandler(handler)
            logger.setLevel(before)
            logger.propagate = propagate
            handler.close()

        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = logger.parent is None
        self._undo.append(restore)

    def subscribe(self, level: int) -> None:
        # Only what will be shown: whoever emits the rest then spares itself the fields.
        names = [name for name, event in events.EVENTS.items() if event.level >= level]
        if names:
            self._undo.append(events.subscribe(_log_event, *names))

    def redirect(self, level: int) -> None:
        log = logging.getLogger("reliable_tasks.print").log
        out, err = sys.stdout, sys.stderr

        def restore() -> None:
            sys.stdout, sys.stderr = out, err

        sys.stdout = PrintedLines(out, lambda line: log(level, "%s", line))
        sys.stderr = PrintedLines(err, lambda line: log(level, "%s", line))
        self._undo.append(restore)


_setup = _Setup()


def configure(
    level: int | str = "INFO",
    *,
    json: bool | None = None,
    file: str | None = None,
    redirect_stdouts: int | str | None = None,
    hijack_root: bool = True,
    colour: bool | None = None,
    stream: TextIO | None = None,
) -> Callable[[], None]:
    """Show the log from `level` on; a second call replaces the first.

    Where the signal `setup_logging` has a receiver, that one sets up the handlers, and events are
    lines of the logger `reliable_tasks`.

    Args:
        level: a level's name or number.
        json: one JSON object for each line; by default unless the log goes to a terminal.
        file: path of a file to add to, instead of standard error.
        redirect_stdouts: log what bodies print at this level; None leaves prints alone.
        hijack_root: take over the root logger; otherwise only events are shown, and the rest goes
            wherever the program has sent it.
        colour: by default on a terminal, unless the environment has `NO_COLOR`.
        stream: instead of standard error.

    Returns:
        a function that undoes it all.

    Raises:
        ConfigError: the level is unknown, or the file cannot be opened.
    """
    threshold = level_of(level)
    printed = None if redirect_stdouts is None else level_of(redirect_stdouts)
    _setup.undo()
    if signals.setup_logging.receivers:
        signals.setup_logging.send(
            None, loglevel=threshold, logfile=file, format=None, colorize=colour
        )
    else:
        out = stream or sys.stderr
        terminal = file is None and _is_terminal(out)
        target = StreamTarget(out) if file is None else FileTarget(file)
        handler = LineHandler(target, _dropped)
        if json is None:
            json = not terminal
        handler.setFormatter(_JsonFormatter() if json else _TextFormatter(_colourful(colour, out)))
        logger = logging.getLogger(None if hijack_root else _EVENTS_LOGGER)
        _setup.handle(logger, handler, threshold)
        _take_in_structlog()
        if printed is not None:
            _setup.redirect(printed)
    _setup.subscribe(threshold)
    return _setup.undo


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def _colourful(colour: bool | None, stream: TextIO) -> bool:
    return _is_terminal(stream) if colour is None else colour


def _take_in_structlog() -> None:
    """Let structlog loggers of bodies end up here too, unless the program has set them up."""
    import structlog  # noqa: PLC0415 - heavy

    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.filter_by_level,
                structlog.stdlib.PositionalArgumentsFormatter(),
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )


def _log_event(event: str, fields: Mapping[str, Any]) -> None:
    """The log's subscriber of events."""
    level = events.EVENTS[event].level
    logger = logging.getLogger(_EVENTS_LOGGER)
    shown = dict(fields)
    einfo = shown.pop("einfo", None)
    if shown.pop("expected", False):  # one of the task's `throws`: not worth an alarm
        level, einfo = logging.INFO, None
    if not logger.isEnabledFor(level):
        return
    if einfo is not None:
        shown["traceback"] = str(einfo)
    if isinstance(shown.get("next_at"), int):
        shown["next_at"] = _iso(shown["next_at"] / 1000)
    logger.log(level, _EventLine(event, shown))


def _dropped(lines: int, error: str) -> logging.LogRecord:
    line = _EventLine("log.dropped", {"lines": lines, "error": error})
    return logging.LogRecord(_EVENTS_LOGGER, logging.WARNING, __file__, 0, line, (), None)
