"""What lies in a record's string, as lua/include/layout.lua has it; no I/O."""

import functools
import struct
from typing import Any, Final

import msgspec

from reliable_tasks.core.message import State

__all__ = [
    "NO_EXTRAS",
    "Control",
    "Packed",
    "bytes_of",
    "false_of",
    "none_of",
    "open_record",
    "pack",
    "plain_record",
    "text",
]

INLINE: Final = 1024
"""The size from which on a payload, packed, lies apart."""

pack = msgspec.msgpack.Encoder().encode
_NONE = msgspec.Raw(b"\xc2")


class _Extras(msgspec.Struct):
    """What a record has that most have not."""

    once: tuple[str, str, str, int] | None = None
    waits: int = 0
    mirrors: str | None = None
    edges: list[tuple[str, str, int]] = []
    broken: dict[str, bool] = {}
    failure: msgspec.Raw = _NONE
    doom: msgspec.Raw = _NONE
    progress: str | None = None
    meta: msgspec.Raw = _NONE


class Control(msgspec.Struct, array_like=True, gc=False):
    """The part c of a record; positions as there."""

    state: str
    version: int
    reason: str
    attempt: int
    delivery: int
    bounces: int
    fence: int
    committed: int
    seq: int
    session: str | bool
    worker: str | bool
    enqueued: int
    due: int | bool
    expires: int | bool
    first: int | bool
    started: int | bool
    ended: int | bool
    queue: str
    result_ttl_ms: int
    extras: _Extras | bool
    result: msgspec.Raw
    size_of_p: int


class Static(msgspec.Struct, array_like=True, gc=False):
    """The part m of a record; positions as there."""

    task: str
    first_queue: str
    priority: int
    result_ttl_ms: int
    failure_ttl_ms: int
    max_deliveries: int
    once: tuple[str, str, str, int] | bool
    token: str
    eta_ms: int | bool
    delay_ms: int
    expires_ms: int | bool
    expires_in_ms: int | bool
    joins_duplicate: bool
    waits: int
    root_id: str
    parent_id: str | bool
    headers: msgspec.Raw


class Packed(msgspec.Struct, array_like=True, gc=False):
    """A record's string: what changes, what was enqueued, the payload."""

    c: Control
    m: Static
    p: msgspec.Raw


NO_EXTRAS = _Extras()
_unpack = msgspec.msgpack.Decoder(Packed).decode
_FIX = tuple(bytes((0xA0 | size,)) for size in range(32))
_EMPTY = msgspec.Raw(_FIX[0])
_HEADS = {0xD9: 2, 0xDA: 3, 0xDB: 5}  # sizes of the heads of msgpack's longer strings


def none_of(value: Any) -> Any:
    """What False stands for."""
    return None if value is False else value


def false_of(value: Any) -> Any:
    """What stands for None."""
    return False if value is None else value


def text(value: bytes) -> msgspec.Raw:
    """Bytes as msgpack's *string* of any bytes: the servers' Lua does not know its binary type."""
    size = len(value)
    if size < 32:  # noqa: PLR2004 - the sizes of msgpack's four kinds of string
        return msgspec.Raw(_FIX[size] + value) if size else _EMPTY
    if size < 0x100:  # noqa: PLR2004
        return msgspec.Raw(b"\xd9" + size.to_bytes(1) + value)
    if size < 0x10000:  # noqa: PLR2004
        return msgspec.Raw(b"\xda" + size.to_bytes(2) + value)
    return msgspec.Raw(b"\xdb" + size.to_bytes(4) + value)


def bytes_of(text: msgspec.Raw) -> bytes | None:
    """What `text` packed, or the servers' Lua; None where there is nothing."""
    data = bytes(text)
    kind = data[0]
    if kind & 0xE0 == 0xA0:  # noqa: PLR2004 - as in `text`
        return data[1:]
    head = _HEADS.get(kind)
    return None if head is None else data[head:]


# Strings ------------------------------------------------------------------------------------------

_QUEUED, _CLAIMED, _SUCCEEDED, _SILENT = range(1, 5)
_BEFORE: Final = struct.Struct(">BIQ")
_CLAIM: Final = struct.Struct(">BQIQH")
_PLACED: Final = struct.Struct(">QQ")
_ENDED: Final = struct.Struct(">Q")
_ARRAY: Final = b"\x93"


def open_record(packed: bytes) -> Packed:
    """What a record's string says; as `unfold` in lua/include/decode.lua."""
    kind = packed[0]
    if kind > _SILENT:
        return _unpack(packed)
    if kind == _QUEUED:
        record = _unpack(packed[_BEFORE.size + _PLACED.size :])
        record.c.seq, record.c.enqueued = _PLACED.unpack_from(packed, _BEFORE.size)
        return record
    _, fence, place_of_p, _, size = _CLAIM.unpack_from(packed)
    placed, end = _CLAIM.size + size, place_of_p - 1
    array = placed + _PLACED.size
    record = _unpack(packed[array:] if kind == _CLAIMED else packed[array:end] + _NONE)
    c = record.c
    c.seq, c.enqueued = _PLACED.unpack_from(packed, placed)
    c.session, c.worker, c.started = _stamp(packed[_CLAIM.size : placed])
    c.state, c.version, c.fence, c.delivery = State.RUNNING, c.version + 1, fence, c.delivery + 1
    c.first = c.first or c.started
    if kind != _CLAIMED:
        c.state, c.version, c.reason, c.committed = State.SUCCEEDED, c.version + 1, "", fence
        c.session, c.due, c.ended = False, False, *_ENDED.unpack_from(packed, end)
        c.result = text(packed[end + _ENDED.size :]) if kind == _SUCCEEDED else _NONE
        c.size_of_p = 1
    return record


@functools.lru_cache(maxsize=64)  # all claims of one exchange have the same
def _stamp(packed: bytes) -> tuple[str, str, int]:
    session, worker, started, _ = msgspec.msgpack.decode(packed)
    return session, worker, started


def plain_record(queue: str, result_ttl_ms: int, m: bytes, p: bytes) -> tuple[bytes, bytes]:
    """What a new, plain record's string begins with, and what follows seq and enqueued."""
    c = _first_control(queue, result_ttl_ms, len(p))
    place_of_p = _BEFORE.size + _PLACED.size + len(_ARRAY) + len(c) + len(m) + 1
    return _BEFORE.pack(_QUEUED, place_of_p, result_ttl_ms), b"".join((_ARRAY, c, m, p))


@functools.lru_cache(maxsize=1024)
def _first_control(queue: str, result_ttl_ms: int, size_of_p: int) -> bytes:
    """The part c of a message that has just been enqueued, but for seq and enqueued."""
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
        result=_NONE,
        size_of_p=size_of_p,
    )
    return pack(c)
