"""How commands print: aligned tables, JSON lines, instants and spans."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from reliable_tasks.core import clock
from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.reasons import Reason
from reliable_tasks.core.texts import printable, said
from reliable_tasks.errors import CodecError

from ._say import NEEDS_ESCAPE, encoding_of, say, say_all, showable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from reliable_tasks.app import App
    from reliable_tasks.store.values import Record

__all__ = [
    "call_of",
    "echo_json",
    "echo_some",
    "instant",
    "seconds_of",
    "since_ms",
    "span",
    "table",
]

T = TypeVar("T")
_AT_ONCE: Final = 100
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, None: 1}
_LINE_ENDS = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})
_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]")


def _width(text: str) -> int:
    """How many columns of a terminal it takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in {"Mn", "Me"} for char in text)


def _cell(value: object) -> str:
    text = "-" if value is None or value == "" else str(value)
    return showable(text.translate(_LINE_ENDS))


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], nothing: str | None = None
) -> None:
    """Print rows below a head, in aligned columns, as they come.

    The first hundred rows decide how wide the columns are.

    Args:
        head: the names of the columns.
        rows: their values.
        nothing: what to say, without a head, where there is no row.
    """
    left = ([_cell(value) for value in row] for row in rows)
    lines = list(islice(left, _AT_ONCE))
    if not lines and nothing is not None:
        say(nothing)
        return
    lines.insert(0, [name.upper() for name in head])
    widths = [max(_width(line[i]) for line in lines) for i in range(len(head))]
    while lines:
        say_all(_aligned(line, widths) for line in lines)
        lines = list(islice(left, _AT_ONCE))


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    padded = (text + " " * (w - _width(text)) for text, w in zip(line, widths, strict=True))
    return "  ".join(padded).rstrip()


def echo_some(
    items: Iterable[T], limit: int, echo: Callable[[Iterator[T]], object], told: str
) -> None:
    """Print the first `limit` items, and say on standard error if there are more.

    Args:
        items: to print.
        limit: how many.
        echo: prints them.
        told: what shows the rest.
    """
    left = iter(items)
    echo(islice(left, limit))
    if next(left, None) is not None:
        say(f"{limit} are shown, and there are more: {told}", err=True)


def echo_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on a line of its own; what has no form in JSON is shown as text."""
    try:
        text = msgspec.json.encode(value, enc_hook=str).decode()
    except (TypeError, ValueError, RecursionError):
        text = msgspec.json.encode(
            {name: _jsonable(field) for name, field in value.items()}
        ).decode()
    if text.isascii() and text.isprintable():
        say_all([text])
        return
    text = NEEDS_ESCAPE.sub(_json_escape, text)
    try:
        text.encode(encoding_of())
    except UnicodeEncodeError:
        text = _BEYOND_ASCII.sub(_json_escape, text)
    say(text)


def _jsonable(field: object) -> object:
    """The field as JSON has it; its text, if it is no such thing."""
    try:
        return msgspec.Raw(msgspec.json.encode(field, enc_hook=str))
    except (TypeError, ValueError, RecursionError):
        return printable(said(field, str))


def _json_escape(found: re.Match[str]) -> str:
    """A character as JSON writes it in ASCII; one beyond the first plane takes two escapes."""
    units = found.group().encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def instant(ms: int | None) -> str | None:
    """An instant as people and programs read it: ISO 8601, UTC, milliseconds."""
    return None if ms is None else clock.iso(ms)


def span(ms: int) -> str:
    """A span in its two largest units."""
    if ms < 0:
        return f"-{span(-ms)}"
    if ms < 60_000:  # noqa: PLR2004 - a minute
        return f"{ms / 1000:.3g} s"
    seconds = ms // 1000
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"


def seconds_of(text: str) -> float:
    """The seconds of `90`, `1.5m`, `2h`.

    Raises:
        click.BadParameter: it is not a span.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is not a span of time: write 30s, 15m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def since_ms(text: str | None, now_ms: int) -> int | None:
    """The instant that `--since` names: a span before now, or a date and time in ISO 8601.

    Raises:
        click.BadParameter: it is neither.
    """
    if text is None:
        return None
    if _SPAN.fullmatch(text.strip()):
        return now_ms - round(seconds_of(text) * 1000)
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"--since {text!r} is neither a span (30s, 15m, 2h, 1d) nor a date (2030-01-31T08:00Z)"
        ) from None
    return round((when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def call_of(app: App, record: Record) -> str | None:
    """The call of a record that was read in full, as Python writes it; None if it is not kept."""
    if record.payload is None:
        return None
    if record.reason == Reason.UNREADABLE:
        return f"{record.task}(…)  # what was stored: {record.payload!r}"
    from reliable_tasks.core.message import decode_headers  # noqa: PLC0415 - few commands show calls

    try:
        args, kwargs = loads_call(
            record.payload, decode_headers(record.headers).serializer, app.accept_content
        )
    except (CodecError, msgspec.MsgspecError) as error:
        return f"{record.task}(…)  # {error}"
    shown = [*(repr(value) for value in args), *(f"{k}={v!r}" for k, v in kwargs.items())]
    return f"{record.task}({', '.join(shown)})"
