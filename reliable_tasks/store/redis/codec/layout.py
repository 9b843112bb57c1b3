"""Encode and decode packed records; lua/include/layout.lua has the same. No I/O.

The positions of fields reach Lua by `lua/include/fields.lua`, which is made from the classes here.
"""

from typing import Any, Final, NamedTuple

import msgspec

from reliable_tasks.core.message import Edge, Message

__all__ = [
    "INLINE",
    "NONE",
    "NO_EXTRAS",
    "Control",
    "Packed",
    "Row",
    "Static",
    "bytes_of",
    "false_of",
    "none_of",
    "pack",
    "pack_static",
    "pack_text",
    "starts_at_once",
    "text",
    "unpack",
]

INLINE: Final = 1024
"""A payload that is larger when packed is stored under a key of its own."""

pack = msgspec.msgpack.Encoder().encode
NONE = msgspec.Raw(b"\xc2")


class _Extras(msgspec.Struct):
    """Fields that most records do not have."""

    once: tuple[str, str, str, int] | None = None
    waits: int = 0
    mirrors: str | None = None
    edges: list[tuple[str, str, int]] = []
    broken: dict[str, bool] = {}
    failure: msgspec.Raw = NONE
    doom: msgspec.Raw = NONE
    progress: str | None = None
    meta: msgspec.Raw = NONE


class Control(msgspec.Struct, array_like=True, gc=False):
    """The part c of a record: what changes."""

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
    """The part m of a record: what was enqueued."""

    task: str
    first_queue: str
    priority: int
    first_result_ttl_ms: int
    failure_ttl_ms: int
    max_deliveries: int
    once: tuple[str, str, str, int] | bool
    token: str
    eta_ms: int | bool
    delay_ms: int
    expires_at_ms: int | bool
    expires_in_ms: int | bool
    joins_duplicate: bool
    waits: int
    root_id: str
    parent_id: str | bool
    headers: msgspec.Raw


class Packed(msgspec.Struct, array_like=True, gc=False):
    """A record: what changes, what was enqueued, the payload."""

    c: Control
    m: Static
    p: msgspec.Raw


class Row(NamedTuple):
    """A message on its way to a script that stores it."""

    id: str
    m: msgspec.Raw
    p: msgspec.Raw
    edges: tuple[Edge, ...] | bool
    queue: str
    priority: int
    result_ttl_ms: int
    at_once: bool


NO_EXTRAS = _Extras()
unpack = msgspec.msgpack.Decoder(Packed).decode
_FIX = tuple(bytes((0xA0 | size,)) for size in range(32))
_EMPTY = msgspec.Raw(_FIX[0])
_HEADS = {0xD9: 2, 0xDA: 3, 0xDB: 5}  # sizes of the heads of msgpack's longer strings


def none_of(value: Any) -> Any:
    """Turn False, which is none in Lua, into None."""
    return None if value is False else value


def false_of(value: Any) -> Any:
    """Turn None into False, which is none in Lua."""
    return False if value is None else value


def pack_text(value: bytes) -> bytes:
    """Pack bytes as a msgpack string: the servers' Lua does not know the binary type."""
    size = len(value)
    if size < 32:  # noqa: PLR2004 - the sizes of msgpack's four kinds of string
        return _FIX[size] + value
    if size < 0x100:  # noqa: PLR2004
        return b"\xd9" + size.to_bytes(1) + value
    if size < 0x10000:  # noqa: PLR2004
        return b"\xda" + size.to_bytes(2) + value
    return b"\xdb" + size.to_bytes(4) + value


def text(value: bytes) -> msgspec.Raw:
    """The same, to be put into what is packed."""
    return msgspec.Raw(pack_text(value)) if value else _EMPTY


def bytes_of(text: msgspec.Raw) -> bytes | None:
    """Unpack what `text` or a script has packed; None where that is no string."""
    data = bytes(text)
    kind = data[0]
    if kind & 0xE0 == 0xA0:  # noqa: PLR2004 - as in `text`
        return data[1:]
    head = _HEADS.get(kind)
    return None if head is None else data[head:]


# New records --------------------------------------------------------------------------------------


def starts_at_once(m: Message) -> bool:
    """Whether a message is nothing but one call, to be run as soon as possible."""
    return (
        m.once is None
        and m.eta_ms is None
        and not m.delay_ms
        and m.expires_ms is None
        and m.expires_in_ms is None
        and not m.waits
    )


def pack_static(m: Message) -> bytes:
    """Pack the part m of a new record; positions as in `Static`."""
    once = m.once
    static = (
        m.task,
        m.queue,
        m.priority,
        m.result_ttl_ms,
        m.failure_ttl_ms,
        m.max_deliveries,
        False if once is None else (once.key, once.scope, once.on_conflict, once.timeout_ms),
        m.token,
        False if m.eta_ms is None else m.eta_ms,
        m.delay_ms,
        False if m.expires_ms is None else m.expires_ms,
        False if m.expires_in_ms is None else m.expires_in_ms,
        m.joins_duplicate,
        m.waits,
        m.root_id,
        False if m.parent_id is None else m.parent_id,
        text(m.headers),
    )
    return pack(static)
