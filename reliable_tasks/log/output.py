"""Write log lines to their destination, and turn what bodies print into log lines.

A destination that is full, closed or stuck costs lines, never a worker: a line that cannot be
written within a second is dropped and counted, and the count is logged once writing works again.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FileTarget",
    "LineHandler",
    "PrintedLines",
    "StreamTarget",
    "doubles",
    "finish",
    "unfinished",
]

_PATIENCE_MS = 1000  # for a destination that does not take a line: a pipe nobody reads
_CHUNK = 4096  # a pipe that is writable takes this much without blocking (PIPE_BUF)


def _write_patiently(fd: int, data: bytes, patience_ms: int) -> None:
    """Write all of `data`, waiting for `fd` at most `patience_ms` before each chunk.

    Raises:
        OSError: it cannot be written, `TimeoutError` if it takes nothing.
    """
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    while data:
        if not poll.poll(patience_ms):
            raise TimeoutError("nobody reads it")
        written = os.write(fd, data[:_CHUNK])
        data = data[written:]


class StreamTarget:
    """A stream that is already open, such as standard error; its encoding, unless one is given."""

    def __init__(self, stream: TextIO, encoding: str | None = None) -> None:
        self._stream = stream
        self._encoding = encoding
        try:
            self._fd: int | None = stream.fileno()
        except (OSError, ValueError):  # a stream in memory
            self._fd = None

    def write(self, text: str, patience_ms: int) -> None:
        """Write a line.

        Raises:
            OSError, ValueError: it cannot be written, or has been closed.
        """
        if self._fd is None:
            self._stream.write(text)
            self._stream.flush()
            return
        encoding = self._encoding or getattr(self._stream, "encoding", None) or "utf-8"
        _write_patiently(self._fd, text.encode(encoding, "backslashreplace"), patience_ms)

    def close(self) -> None:
        """Do nothing: the stream belongs to somebody else."""


class FileTarget:
    """A file that lines are appended to; reopened when a log rotation has moved it away.

    Raises:
        ConfigError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        self._name = str(self.path)
        self._fd = -1
        self._file: tuple[int, int] | None = None
        try:
            self._open()
        except OSError as error:
            raise ConfigError(
                f"the log file {self.path} cannot be opened: {error.strerror}; name another one"
            ) from error

    def _open(self) -> None:
        # Added to in one call for each line, so that several processes can share it.
        self._fd = os.open(self._name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        here = os.fstat(self._fd)
        self._file = here.st_dev, here.st_ino

    def _same(self) -> bool:
        try:
            at_path = os.stat(self._name)  # noqa: PTH116 - for each line: half of Path's time
        except OSError:
            return False
        return (at_path.st_dev, at_path.st_ino) == self._file

    def write(self, text: str, patience_ms: int) -> None:  # noqa: ARG002 - a file never waits
        """Write a line.

        Raises:
            OSError: it cannot be written.
        """
        if not self._same():
            self.close()
            self._open()
        data = text.encode("utf-8", "backslashreplace")
        written = os.write(self._fd, data)
        while written < len(data):
            data = data[written:]
            written = os.write(self._fd, data)

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._file = -1, None


class LineHandler(logging.Handler):
    """Writes formatted records to a target, and survives any failure of the target.

    Args:
        target: where lines are written.
        dropped: makes the record that reports lost lines, from their number and the error.
    """

    def __init__(
        self,
        target: StreamTarget | FileTarget,
        dropped: Callable[[int, str], logging.LogRecord],
    ) -> None:
        super().__init__()
        self._target = target
        self._dropped = dropped
        self._lost = 0
        self._error = ""

    def twin(self) -> LineHandler:
        """Another handler for the same target, which can be given another format."""
        other = LineHandler(self._target, self._dropped)
        other.lock = self.lock
        other.setFormatter(self.formatter)
        return other

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, or count it as lost."""
        self._write(self._formatted(record))

    def write(self, line: str) -> None:
        """Write a line that is already formatted, or count it as lost."""
        self.acquire()
        try:
            self._write(line)
        finally:
            self.release()

    def _write(self, line: str) -> None:
        # After one line was lost the next ones do not wait, or bodies would stop at each of them.
        patience_ms = 0 if self._lost else _PATIENCE_MS
        try:
            if self._lost:
                told = self._formatted(self._dropped(self._lost, self._error))
                self._target.write(told + "\n", patience_ms)
                self._lost = 0
            self._target.write(line + "\n", patience_ms)
        except (OSError, ValueError) as error:
            # There is nowhere else to report it, and the work matters more than its log.
            self._lost += 1
            self._error = str(error)

    def _formatted(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # noqa: BLE001 - a value's own __str__ or __repr__ may raise anything
            where = f"{record.pathname}:{record.lineno}"
            return f"(a line logged at {where} cannot be shown: {type(error).__name__})"

    def close(self) -> None:
        """Close the target."""
        self._target.close()
        super().close()


# What bodies print -------------------------------------------------------------------------------

unfinished: dict[tuple[int, int, int], tuple[str, PrintedLines, object]] = {}
"""Lines begun but not ended: text, stream and owner, by owner, thread and stream."""


def finish(owner: object) -> None:
    """Log the line that `owner` has begun, so that nobody else continues it."""
    for key in [key for key in list(unfinished) if key[0] == id(owner)]:
        text, stream, _ = unfinished.pop(key)
        stream.say(text)


class PrintedLines(io.TextIOBase):
    """Replaces standard output or error: each complete line becomes a line of the log.

    `print` writes a line in pieces. The pieces of each owner and thread are collected until the
    line ends, or until `finish`.

    Args:
        stream: the stream that it replaces.
        log: logs a line.
        owner: returns whose print this is.
    """

    def __init__(
        self,
        stream: TextIO,
        log: Callable[[str], None],
        owner: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self._original = stream
        self._log = log
        self._owner = owner
        self._local = threading.local()

    def _begun(self, owner: object) -> tuple[tuple[int, int, int], str]:
        """Return the key of this thread's line, and remove and return its text so far."""
        key = id(owner), threading.get_ident(), id(self)
        return key, unfinished.pop(key, ("",))[0]

    def write(self, text: str) -> int:
        """Log the lines that `text` completes."""
        if getattr(self._local, "busy", False):
            # The log itself prints (a broken handler): avoid an endless loop.
            return self._original.write(text)
        caller = sys._getframe(1)  # noqa: SLF001 - the only way to know
        if caller.f_code.co_filename == _LOGGING and _is_logged(caller.f_locals.get("record")):
            return len(text)  # by a handler of the program's own: the log has the line already
        owner = self._owner()
        key, begun = self._begun(owner)
        *lines, rest = (begun + text).split("\n")
        if rest:
            unfinished[key] = rest, self, owner
        for line in lines:
            self.say(line)
        return len(text)

    def flush(self) -> None:
        """Log the line that has been begun."""
        self.say(self._begun(self._owner())[1])

    def say(self, line: str) -> None:
        """Log a line, unless it is blank."""
        if not line.strip():
            return
        self._local.busy = True
        try:
            self._log(line.rstrip())
        finally:
            self._local.busy = False

    def writable(self) -> bool:
        """Lines can be written."""
        return True

    @property
    def stands_for(self) -> TextIO:
        """The stream that it replaces, for output that must not become a log line."""
        return self._original

    def fileno(self) -> int:
        """The descriptor of the stream that it replaces, for child processes."""
        return self._original.fileno()

    # The base class has these, and has None for them.

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream that it replaces."""
        return getattr(self._original, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """How that stream handles characters that it cannot encode."""
        return getattr(self._original, "errors", None) or "strict"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


# Handlers of the program's own -------------------------------------------------------------------

_LOGGING = logging.StreamHandler.emit.__code__.co_filename


def _is_logged(record: object) -> bool:
    """Whether one of our handlers gets the record, too."""
    if not isinstance(record, logging.LogRecord):
        return False
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        if any(isinstance(handler, LineHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def doubles(stream: TextIO) -> list[tuple[logging.Logger, logging.Handler]]:
    """Find handlers that would write to `stream` what the root logger's handler writes as well."""
    standard = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    places = {id(each) for each in (standard if stream in standard else (stream,))}
    known = (logging.getLogger(name) for name in list(logging.root.manager.loggerDict))
    return [
        (logger, handler)
        for logger in (logging.root, *known)
        if logger is logging.root or _reaches_root(logger)
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and id(handler.stream) in places
    ]


def _reaches_root(logger: logging.Logger) -> bool:
    while logger.parent is not None and logger.propagate:
        logger = logger.parent
    return logger is logging.root
