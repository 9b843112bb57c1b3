"""Where log lines go, and where bodies' prints come from.

A destination that is full, closed or stuck costs lines, never a worker: what cannot be written
within a second is dropped, counted, and told once writing works again.
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
    """A stream that is open already, as standard error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
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
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        _write_patiently(self._fd, text.encode(encoding, "backslashreplace"), patience_ms)

    def close(self) -> None:
        """The stream belongs to others."""


class FileTarget:
    """A file that lines are added to; it is opened again when it was moved away (log rotation).

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
    """Writes formatted records to a target and survives what the target does.

    Args:
        target: where to.
        dropped: makes the record that tells of lost lines, from their number and the error.
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

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, or count it as lost."""
        self._write(self._formatted(record))

    def write(self, line: str) -> None:
        """Write a line that is text already, or count it as lost."""
        self.acquire()
        try:
            self._write(line)
        finally:
            self.release()

    def _write(self, line: str) -> None:
        # After a line was lost the next ones do not wait: bodies would stand still at each.
        patience_ms = 0 if self._lost else _PATIENCE_MS
        try:
            if self._lost:
                told = self._formatted(self._dropped(self._lost, self._error))
                self._target.write(told + "\n", patience_ms)
                self._lost = 0
            self._target.write(line + "\n", patience_ms)
        except (OSError, ValueError) as error:
            # There is nowhere left to tell of it, and the work matters more than its log.
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
"""Lines without their end: the text, its stream and who prints it, by owner, thread and stream."""


def finish(owner: object) -> None:
    """Log what `owner` has printed without a line's end: nobody else is to continue it."""
    for key in [key for key in list(unfinished) if key[0] == id(owner)]:
        text, stream, _ = unfinished.pop(key)
        stream.say(text)


class PrintedLines(io.TextIOBase):
    """Stands in for standard output or error: each complete line becomes a line of the log.

    `print` writes a line in pieces, so the pieces of each owner and thread are kept together until
    the line ends, or until `finish`.

    Args:
        stream: what it stands in for.
        log: logs a line.
        owner: who prints here and now.
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
        """The key of this thread's line, and what there is of it."""
        key = id(owner), threading.get_ident(), id(self)
        return key, unfinished.pop(key, ("",))[0]

    def write(self, text: str) -> int:
        """Log the lines that `text` completes."""
        if getattr(self._local, "busy", False):
            # The log itself prints (a broken handler): do not turn round for ever.
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
        """Log what has no end of line yet."""
        self.say(self._begun(self._owner())[1])

    def say(self, line: str) -> None:
        """Log a line, unless there is nothing in it."""
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
        """The stream in whose place it is, for what is not to be a line of the log."""
        return self._original

    def fileno(self) -> int:
        """The descriptor of the stream it stands for, for child processes."""
        return self._original.fileno()

    # The base class has these, and has None for them.

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How the stream that it stands for writes text."""
        return getattr(self._original, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What that stream does with what it cannot write."""
        return getattr(self._original, "errors", None) or "strict"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


# Handlers of the program's own -------------------------------------------------------------------

_LOGGING = logging.StreamHandler.emit.__code__.co_filename


def _is_logged(record: object) -> bool:
    """Whether a record comes to a handler of ours as well."""
    if not isinstance(record, logging.LogRecord):
        return False
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        if any(isinstance(handler, LineHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def doubles(stream: TextIO) -> list[tuple[logging.Logger, logging.Handler]]:
    """Handlers that would write what a handler of the root logger writes to `stream` once more."""
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
