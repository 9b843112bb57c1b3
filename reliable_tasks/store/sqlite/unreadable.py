"""Rows that cannot be read: damaged, or written by somebody else. They become dead letters.

SQLite takes any value in any column. So each row that is read is compared with what `Row` says of
its columns, whichever verb reads it: by its types, of which few sequences occur and each is
examined once, and by the bounds of its numbers.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import apsw
import msgspec

from reliable_tasks.core.reasons import Reason
from reliable_tasks.store.sqlite.rows import (
    COLUMNS,
    DEAD,
    FIRST_FINAL,
    STATE,
    STATES,
    RawRow,
    Row,
    edges_of,
    once_of,
)
from reliable_tasks.store.steps import STEP_BYTES

__all__ = ["LARGEST", "fits", "mend", "rows_of"]

LARGEST: Final = 2**53
"""No number of ours is larger: sums with one stay within what the database can hold."""

_TYPES: Final[tuple[frozenset[type], ...]] = tuple(
    frozenset(getattr(field.type, "__args__", (field.type,)))
    for field in msgspec.structs.fields(Row)
)
_SIGNED: Final = frozenset(("eta", "delay", "due", "expires", "expires_in", "n"))  # may have passed
_PAYLOAD: Final = COLUMNS.index("payload")
_ONCE: Final = COLUMNS.index("once")
_EDGES: Final = COLUMNS.index("edges")
_KNOWN_MOST: Final = 1000
_known: Final[dict[tuple[type, ...], Callable[[RawRow], tuple[int, ...]]]] = {}


_AS_BYTES: Final = ", ".join(
    f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END" for name in COLUMNS
)


def rows_of(
    execute: Callable[..., apsw.Cursor],
    statement: str,
    bindings: Sequence[object],
    *,
    bounded: bool = False,
) -> list[RawRow]:
    """The whole rows that a query finds; text that is none, to Python, as the bytes that it is.

    If `bounded`, none after those whose payloads have `STEP_BYTES`.
    """
    try:
        if not bounded:
            return execute(statement, bindings).fetchall()
        return list(_within(execute(statement, bindings)))
    except UnicodeDecodeError:
        found = execute(f"SELECT {_AS_BYTES} FROM ({statement})", bindings).fetchall()  # noqa: S608
        return [tuple(map(_as_text, _TYPES, row)) for row in found]


def _within(cursor: apsw.Cursor) -> Iterator[RawRow]:
    room = STEP_BYTES
    for row in cursor:
        yield row
        payload = row[_PAYLOAD]
        room -= len(payload) if type(payload) is bytes else 0
        if room <= 0:
            cursor.close()
            return


def _as_text(types: frozenset[type], value: object) -> object:
    if not (str in types and isinstance(value, bytes)):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def fits(row: RawRow) -> bool:
    """Whether the columns of a row have what they should."""
    types = tuple(map(type, row))
    numbers_of = _known.get(types)
    if numbers_of is None:
        if not all(map(operator.contains, _TYPES, types)):
            return False
        numbers_of = _learn(types)
    numbers = numbers_of(row)
    if row[STATE] >= len(STATES) or max(numbers) > LARGEST:
        return False
    if min(numbers) < 0 and not all(map(_is_fit, COLUMNS, _TYPES, row)):
        return False
    return row[_ONCE] is row[_EDGES] is None or _decodes(Row(*row))


def _learn(types: tuple[type, ...]) -> Callable[[RawRow], tuple[int, ...]]:
    """Remember a sequence of types that fits, with what picks its numbers."""
    if len(_known) >= _KNOWN_MOST:
        _known.clear()
    numbers_of = operator.itemgetter(*[at for at, kind in enumerate(types) if kind is int])
    _known[types] = numbers_of
    return numbers_of


def _is_fit(name: str, types: frozenset[type], value: object) -> bool:
    if type(value) not in types:
        return False
    least = -LARGEST if name in _SIGNED else 0
    return not isinstance(value, int) or least <= value <= LARGEST


def _decodes(r: Row) -> bool:
    try:
        once, edges = once_of(r), edges_of(r)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return False
    numbers = [edge.slot for edge in edges] + ([once.timeout_ms] if once else [])
    return all(abs(number) <= LARGEST for number in numbers)


def mend(row: RawRow) -> Row:
    """Make a readable record of it, whose payload is the row as it was."""
    r = Row(*row)
    if r.reason == Reason.UNREADABLE and type(r.payload) is bytes:  # it was made one before
        raw = r.payload
    else:
        raw = repr(row).encode()
    for name, types, value in zip(COLUMNS, _TYPES, row, strict=True):
        if not _is_fit(name, types, value) and name != "n":
            setattr(r, name, _instead(types, value))
    if not 0 <= r.state < FIRST_FINAL or r.state != row[STATE]:
        r.state = DEAD
    if not _decodes(r):
        r.once = r.edges = None
    r.headers, r.payload, r.reason = b"", raw, Reason.UNREADABLE
    return r


def _instead(types: frozenset[type], value: object) -> object:
    """What stands for a value that does not fit."""
    if type(None) in types:
        return None
    if str in types:
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return 0 if int in types else b""
