"""Encode and decode schedule entries and rows of the audit trail."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from reliable_tasks.errors import StoreError
from reliable_tasks.store import values as v
from reliable_tasks.store.redis.codec.layout import false_of, none_of, pack

__all__ = [
    "Slots",
    "is_indexed",
    "pack_entry",
    "pack_slots",
    "parse_audit_row",
    "parse_entry",
    "stream_id",
]


class Slots(NamedTuple):
    """What changes of a schedule entry; False for none."""

    version: int
    next_ms: int | bool
    last_ms: int | bool
    last_id: str | bool
    runs: int
    missed: int
    paused: bool


def parse_audit_row(stream_id: bytes, pairs: Sequence[bytes], again: bytes | None) -> v.AuditRow:
    """Decode a row of the stream, whose two-part id becomes one integer."""
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    ms, _, n = stream_id.partition(b"-")
    more, _, last_ms = (again or b"0").partition(b" ")
    return v.AuditRow(
        seq=str(int(ms) << 20 | int(n)),
        at_ms=int(fields[b"at"]),
        event=fields[b"e"].decode(),
        id=fields[b"id"].decode(),
        task=fields[b"t"].decode(),
        attempt=int(fields[b"a"]),
        delivery=int(fields[b"d"]),
        fence=int(fields[b"f"]),
        worker=fields[b"w"].decode(),
        detail=fields[b"x"],
        count=1 + int(more),
        last_ms=int(last_ms) if last_ms else None,
    )


def is_indexed(pairs: Sequence[bytes]) -> bool:
    """Whether a row is in the list of its message: those that an older release wrote are not."""
    return b"s" in pairs[::2]


def stream_id(seq: str) -> str:
    """The stream's id of an audit row's number.

    Raises:
        StoreError: it is no such number.
    """
    if not (seq.isascii() and seq.isdecimal()):
        raise StoreError(f"after={seq!r} is not the `after` of a page")
    number = int(seq)
    return f"{number >> 20}-{number & 0xFFFFF}"


def pack_entry(entry: v.Entry) -> tuple[bytes, bytes]:
    """Pack an entry's slots, and its template."""
    slots = Slots(
        version=0,
        next_ms=false_of(entry.next_ms),
        last_ms=false_of(entry.last_ms),
        last_id=false_of(entry.last_id),
        runs=entry.runs,
        missed=entry.missed,
        paused=entry.paused,
    )
    return pack(slots), pack((entry.origin, entry.spec, entry.template))


def pack_slots(entry: v.Entry, expected_ms: int | None) -> tuple[bytes, bytes]:
    """Pack the slots that `fire` expects, and the new ones."""
    new = (entry.next_ms, entry.last_ms, entry.last_id, entry.runs, entry.missed)
    return pack((entry.version, false_of(expected_ms))), pack([false_of(value) for value in new])


def parse_entry(name: bytes, slots: bytes, template: bytes) -> v.Entry:
    """Decode an entry from its two parts."""
    known = Slots(*msgspec.msgpack.decode(slots))
    origin, spec, body = msgspec.msgpack.decode(template)
    return v.Entry(
        name=name.decode(),
        spec=spec,
        template=body,
        origin=origin,
        next_ms=none_of(known.next_ms),
        last_ms=none_of(known.last_ms),
        last_id=none_of(known.last_id),
        runs=known.runs,
        missed=known.missed,
        paused=known.paused,
        version=known.version,
    )
