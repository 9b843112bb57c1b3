"""Set up the log: events and what bodies log, in one stream; each line names its attempt.

Everything goes through the standard library's logging, so that `logging` in a body,
`get_task_logger`, structlog and this package's events are formatted alike. structlog itself is
imported only for a terminal, or if the program uses it.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from reliable_tasks import events, signals
from reliable_tasks.core import clock
from reliable_tasks.core import context as _state
from reliable_tasks.errors import ConfigError, suggest
from reliable_tasks.log.lines import (
    EVENTS_LOGGER,
    EventLine,
    JsonFormatter,
    TextFormatter,
    as_json,
    context,
    event_line,
    level_and_fields,
)
from reliable_tasks.log.output import FileTarget, LineHandler, PrintedLines, StreamTarget, doubles
from reliable_tasks.log.structlog_bridge import take_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TASKS_LOGGER = "reliable_tasks.task"
"""The logger whose handlers get the lines of all task loggers; it has none by default."""

__all__ = ["TaskContext", "TaskLogger", "configure", "get_logger", "get_task_logger", "level_of"]

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL", "WARN")


# Logging from a body ------------------------------------------------------------------------------


class TaskContext(logging.Filter):
    """For handlers of your own: gives records `task_id`, `task_name`, `attempt` and `once_key`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes; they are None outside of a body. Every record passes."""
        found = context()
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

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - as below
        """Give a record to the handlers of all task loggers, and to those of its own name."""
        shared = _tasks_logger
        for handler in shared.handlers:
            if record.levelno >= handler.level:
                handler.handle(record)
        if shared.propagate:
            super().callHandlers(record)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the base class names it
        """Whether a line of this level would be written."""
        if self.level:
            return level >= self.level and self.manager.disable < level
        # Asked each time: the base class caches the answer and would miss a change of the level.
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
_tasks_logger = logging.getLogger(TASKS_LOGGER)


def get_task_logger(name: str) -> TaskLogger:
    """A logger for task bodies; every line carries the task, its id, the attempt and once-key."""
    return _task_loggers.setdefault(name, TaskLogger(name))


def get_logger(name: str) -> logging.Logger:
    """The standard library's logger of this name."""
    return logging.getLogger(name)


# Setting it up ------------------------------------------------------------------------------------


def level_of(level: int | str) -> int:
    """Return the number of a level.

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

    def set_aside(self, stream: TextIO) -> None:
        """Remove the program's own handlers that would write the same lines to the same place."""
        for logger, handler in doubles(stream):
            logger.removeHandler(handler)
            self._undo.append(partial(logger.addHandler, handler))

    def undone_by(self, function: Callable[[], object]) -> None:
        self._undo.append(function)

    def subscribe(self, level: int, own: LineHandler | None) -> None:
        # Only what will be shown, so that emitters of the rest need not collect their fields.
        names = [name for name, event in events.EVENTS.items() if event.level >= level]
        if names:
            self._undo.append(events.subscribe(_Told(own), *names))

    def redirect(self, level: int) -> None:
        log = logging.getLogger("reliable_tasks.print").log
        out, err = sys.stdout, sys.stderr

        def restore() -> None:
            sys.stdout, sys.stderr = out, err

        say, owner = (lambda line: log(level, "%s", line)), _state.current_attempt.get
        sys.stdout, sys.stderr = PrintedLines(out, say, owner), PrintedLines(err, say, owner)
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
        hijack_root: take over the root logger, and set aside what the program's own handlers would
            write to the same place; otherwise only events are shown, and the rest goes wherever the
            program has sent it.
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
    own = None
    if signals.setup_logging.receivers:
        signals.setup_logging.send(
            None, loglevel=threshold, logfile=file, format=None, colorize=colour
        )
    else:
        out = stream or sys.stderr
        terminal = file is None and _is_terminal(out)
        if json is None:
            json = not terminal
        # JSON is UTF-8, whatever the stream's encoding: the escapes of another are not JSON's.
        encoding = "utf-8" if json else None
        target = StreamTarget(out, encoding) if file is None else FileTarget(file)
        handler = LineHandler(target, _dropped)
        handler.setFormatter(JsonFormatter() if json else TextFormatter(_colourful(colour, out)))
        logger = logging.getLogger(None if hijack_root else EVENTS_LOGGER)
        if hijack_root and file is None:
            _setup.set_aside(out)
        _setup.handle(logger, handler, threshold)
        told = {"loglevel": threshold, "logfile": file, "format": None, "colorize": colour}
        signals.after_setup_logger.send(None, logger=logger, **told)
        if signals.after_setup_task_logger.receivers:
            _setup.handle(_tasks_logger, handler.twin(), threshold)
            signals.after_setup_task_logger.send(None, logger=_tasks_logger, **told)
        own = handler if json else None
        _setup.undone_by(take_in())
        if printed is not None:
            _setup.redirect(printed)
    _setup.subscribe(threshold, own)
    return _setup.undo


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def _colourful(colour: bool | None, stream: TextIO) -> bool:
    return _is_terminal(stream) if colour is None else colour


class _Told:
    """The log's subscriber of events.

    Args:
        own: the handler that writes JSON, where there is one.
    """

    def __init__(self, own: LineHandler | None) -> None:
        self._own = own
        self._logger = logging.getLogger(EVENTS_LOGGER)

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        level, shown = level_and_fields(event, fields)
        logger = self._logger
        if not logger.isEnabledFor(level):
            return
        own = self._own
        if own is not None and self._is_alone(own):
            # The line that a record would become, without the record.
            own.write(as_json(event_line(event, level, shown, clock.now_ms())))
        else:
            logger.log(level, EventLine(event, shown))

    def _is_alone(self, own: LineHandler) -> bool:
        """Whether nobody else would see a record: no other handler, filter or record class."""
        logger: logging.Logger | None = self._logger
        if self._logger.filters or own.filters or own.level:
            return False
        if type(own.formatter) is not JsonFormatter:  # of a receiver's own choice
            return False
        if logging.getLogRecordFactory() is not logging.LogRecord:
            return False
        found: list[logging.Handler] = []
        while logger is not None:
            found += logger.handlers
            logger = logger.parent if logger.propagate else None
        return found == [own]


def _dropped(lines: int, error: str) -> logging.LogRecord:
    line = EventLine("log.dropped", {"lines": lines, "error": error})
    return logging.LogRecord(EVENTS_LOGGER, logging.WARNING, __file__, 0, line, (), None)
