"""Rows that cannot be read: damaged, or written by somebody else. They become dead letters."""

from typing import Final

import msgspec

from ._record import DEAD, STATES, Rec, edges_of, once_of

__all__ = ["UNREADABLE", "is_readable", "mend"]

UNREADABLE: Final = "unreadable"

_TEXTS: Final = ("id", "task", "queue", "reason", "root_id")
_NUMBERS: Final = ("priority", "attempt", "delivery", "bounces", "max_deliveries", "state", "fence")


def is_readable(r: Rec) -> bool:
    """Whether the columns of a row have what they should; SQLite itself does not mind."""
    if not (type(r.headers) is bytes and type(r.payload) in _PAYLOADS and r.state in _CODES):
        return False
    if not (type(r.id) is type(r.task) is type(r.queue) is type(r.root_id) is str):
        return False
    if (
        not type(r.priority)
        is type(r.delivery)
        is type(r.max_deliveries)
        is type(r.enqueued)
        is int
    ):
        return False
    return r.once is r.edges is None or _decodes(r)


_PAYLOADS: Final = frozenset((bytes, type(None)))
_CODES: Final = range(len(STATES))


def _decodes(r: Rec) -> bool:
    try:
        once_of(r)
        edges_of(r)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return False
    return True


def mend(r: Rec) -> None:
    """Make a readable record of it, whose payload is the row as it was."""
    if r.reason == UNREADABLE and type(r.payload) is bytes:  # it was made one before
        raw = r.payload
    else:
        raw = repr(msgspec.structs.astuple(r)).encode(errors="backslashreplace")
    for name in _TEXTS:
        value = getattr(r, name)
        if type(value) is not str:
            known = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            setattr(r, name, known)
    for name in _NUMBERS:
        if type(getattr(r, name)) is not int:
            setattr(r, name, 0)
    if r.state not in _CODES:
        r.state = DEAD
    if not _decodes(r):
        r.once = r.edges = None
    r.headers, r.payload, r.reason = b"", raw, UNREADABLE
