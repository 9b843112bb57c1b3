"""The fast path of plain messages, whose records are written and read without unpacking them.

A plain message is one call, to be run at once, without once-key, edges or expiry, and with a small
payload. Its string begins with a byte that says how far the message is, and has what happened to it
before its array or at its end: see lua/include/layout.lua. Everything else goes the general way,
which could do the same for these, more slowly.
"""

import functools
import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from reliable_tasks.core.message import Message, State
from reliable_tasks.store.redis.codec.layout import (
    INLINE,
    NONE,
    Control,
    Packed,
    pack,
    pack_static,
    starts_at_once,
    text,
    unpack,
)

__all__ = ["open_record", "pack_plain"]

_AT_ONCE: Final = 1000
"""How many plain messages go by one command."""
_LONGEST_HEAD: Final = 5
"""Of a string in msgpack."""

QUEUED, CLAIMED, SUCCEEDED, SILENT = range(1, 5)
"""The first byte of a string; `SILENT`: succeeded, and nobody wants the result."""
ARRAY: Final = b"\x93"
"""The first byte of any other record: msgpack's array of three."""
QUEUED_HEAD: Final = struct.Struct(">BIQ")
"""What a queued string begins with: the first byte, the place of p, the result's time to live."""
CLAIMED_HEAD: Final = struct.Struct(">BQIQH")
"""And one that was claimed: its fence after the first byte, and at the end the stamp's size."""
PLACED: Final = struct.Struct(">QQ")
"""What stands before the array: seq and enqueued."""
_ENDED: Final = struct.Struct(">Q")


class Stamp(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Who claimed a message; packed once for all claims of an exchange."""

    session: str
    worker: str
    started: int
    queue: str


_unpack_stamp = msgspec.msgpack.Decoder(Stamp).decode


def open_record(packed: bytes) -> Packed:
    """Decode any record's string; as `decode` in lua/include/decode.lua."""
    kind = packed[0]
    if kind > SILENT:
        return unpack(packed)
    if kind == QUEUED:
        record = unpack(packed[QUEUED_HEAD.size + PLACED.size :])
        record.c.seq, record.c.enqueued = PLACED.unpack_from(packed, QUEUED_HEAD.size)
        return record
    _, fence, place_of_p, _, size = CLAIMED_HEAD.unpack_from(packed)
    placed, end = CLAIMED_HEAD.size + size, place_of_p - 1
    array = placed + PLACED.size
    record = unpack(packed[array:] if kind == CLAIMED else packed[array:end] + NONE)
    c = record.c
    c.seq, c.enqueued = PLACED.unpack_from(packed, placed)
    stamp = _stamp(packed[CLAIMED_HEAD.size : placed])
    c.session, c.worker, c.started = stamp.session, stamp.worker, stamp.started
    c.state, c.version, c.fence, c.delivery = State.RUNNING, c.version + 1, fence, c.delivery + 1
    c.first = c.first or c.started
    if kind != CLAIMED:
        c.state, c.version, c.reason, c.committed = State.SUCCEEDED, c.version + 1, "", fence
        c.session, c.due, c.ended = False, False, *_ENDED.unpack_from(packed, end)
        c.result = text(packed[end + _ENDED.size :]) if kind == SUCCEEDED else NONE
        c.size_of_p = 1
    return record


@functools.lru_cache(maxsize=64)  # all claims of one exchange have the same
def _stamp(packed: bytes) -> Stamp:
    return _unpack_stamp(packed)


def _plain_record(queue: str, result_ttl_ms: int, m: bytes, p: bytes) -> tuple[bytes, bytes]:
    """The string of a new record: what stands before seq and enqueued, and what follows them."""
    c = _first_control(queue, result_ttl_ms, len(p))
    place_of_p = QUEUED_HEAD.size + PLACED.size + len(ARRAY) + len(c) + len(m) + 1
    return QUEUED_HEAD.pack(QUEUED, place_of_p, result_ttl_ms), b"".join((ARRAY, c, m, p))


@functools.lru_cache(maxsize=1024)
def _first_control(queue: str, result_ttl_ms: int, size_of_p: int) -> bytes:
    """The part c of a message that has just been enqueued; the script knows seq and enqueued."""
    c = Control(
        state=State.QUEUED,
        version=1,
        reason="",
        attempt=1,
        delivery=0,
        bounces=0,
        fence=0,
        committed=0,
        seq=0,
        session=False,
        worker=False,
        enqueued=0,
        due=False,
        expires=False,
        first=False,
        started=False,
        ended=False,
        queue=queue,
        result_ttl_ms=result_ttl_ms,
        extras=False,
        result=NONE,
        size_of_p=size_of_p,
    )
    return pack(c)


def pack_plain(messages: Sequence[Message]) -> bytes | None:
    """Pack a batch for `store_plain` in lua/fast_path/store.lua; None if one is not plain."""
    if not 0 < len({m.id for m in messages}) == len(messages) <= _AT_ONCE:
        return None
    if not all(map(_is_plain, messages)):
        return None
    groups: dict[tuple[str, int], int] = {}
    heads: list[Any] = []
    rests: list[Any] = []
    belongs: list[int] = []
    for m in messages:
        head, rest = _plain_record(m.queue, m.result_ttl_ms, pack_static(m), bytes(text(m.payload)))
        heads.append(text(head))
        rests.append(text(rest))
        belongs.append(groups.setdefault((m.queue, m.priority), len(groups) + 1))
    ids = [m.id for m in messages]
    return pack((ids, heads, rests, list(groups), len(groups) > 1 and belongs))


def _is_plain(m: Message) -> bool:
    return starts_at_once(m) and not m.edges and len(m.payload) + _LONGEST_HEAD <= INLINE
