"""How commands write: what a terminal cannot show, or would obey, is shown as an escape."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import TYPE_CHECKING, Final, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "NEEDS_ESCAPE",
    "ask",
    "encoding_of",
    "harmless",
    "mention",
    "overwrite",
    "say",
    "say_all",
    "showable",
]

_PATIENCE_MS = 1000

# Control characters, and what reorders the text around it: names and errors are other people's.
NEEDS_ESCAPE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _stream(*, err: bool = False) -> TextIO | None:
    """The standard stream itself, not what stands in for it in the log; None if it is closed."""
    stream = sys.stderr if err else sys.stdout
    found: TextIO | None = getattr(stream, "stands_for", stream)
    return found


def encoding_of(*, err: bool = False) -> str:
    """How the standard stream writes characters."""
    return getattr(_stream(err=err), "encoding", None) or "utf-8"


def harmless(text: str) -> str:
    """The text with escapes for whatever a terminal would obey, but line ends and tabs."""
    return NEEDS_ESCAPE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def showable(text: str, *, err: bool = False) -> str:
    """The text as the standard stream can show it, in its encoding."""
    if text.isascii() and text.isprintable():
        return text
    encoding = encoding_of(err=err)
    return harmless(text).encode(encoding, "backslashreplace").decode(encoding)


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line to standard output, or to standard error."""
    stream = _stream(err=err)
    if stream is not None:
        stream.write(f"{showable(text, err=err)}\n")
        stream.flush()


def say_all(lines: Iterable[str]) -> None:
    """Print lines that can be shown as they are, to standard output in one go."""
    stream = _stream()
    if stream is not None:
        stream.write("".join(f"{line}\n" for line in lines))
        stream.flush()


def overwrite(text: str) -> None:
    """Put a text in the place of the line that the cursor is in, on standard error's terminal."""
    stream = _stream(err=True)
    if stream is not None:
        stream.write(f"\r\x1b[K{showable(text, err=True)}")
        stream.flush()


def mention(text: str) -> None:
    """Print a line that does not have to be read: a pipe that is closed or stuck costs a second."""
    from reliable_tasks.log.output import StreamTarget  # noqa: PLC0415 - `--help` needs none of it

    stream = _stream()
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            StreamTarget(stream).write(f"{showable(text)}\n", _PATIENCE_MS)


def ask(question: str) -> None:
    """Ask yes or no on standard error.

    Raises:
        click.Abort: the answer is no.
    """
    click.confirm(showable(question, err=True), abort=True, err=True)
