"""The fast path of plain messages, whose records are written and read without unpacking them.

A plain message is one call, to be run at once, without once-key, edges or expiry, and with a small
payload. What it has in common with other calls, its kind, is packed once and understood once: it
is how its string begins. What happens to it is put before that, or at the end: see
lua/include/layout.lua. Everything else goes the general way, which could do the same for these,
more slowly.
"""

import functools
import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from reliable_tasks.core.message import Kind, Message, State, kind_of
from reliable_tasks.store.redis.codec.layout import (
    INLINE,
    NONE,
    Packed,
    bytes_of,
    none_of,
    pack,
    pack_static,
    pack_text,
    starts_at_once,
    text,
    unpack,
)
from reliable_tasks.store.values import Claim

__all__ = ["LARGEST", "open_record", "pack_of_kind", "pack_plain", "packed_kind", "plain_claim"]

_AT_ONCE: Final = 1000
"""How many plain messages go by one command."""
_LONGEST_HEAD: Final = 5
"""Of a string in msgpack."""
LARGEST: Final = INLINE - _LONGEST_HEAD
"""The payload of a plain message has at most so many bytes."""
_STR8: Final = 0xD9
"""What begins one of 32 to 255 bytes."""

_HEAD_OF_STATIC, _HEAD_OF_BEFORE = 3, 1  # of arrays of 17 and of 7 in msgpack
_MOST_KINDS: Final = 512
_LONGEST_KIND: Final = 4096
"""Kinds are remembered up to this size only, so that all of them are bounded."""

QUEUED, CLAIMED, SUCCEEDED, SILENT = range(5, 9)
"""The first byte of a string; `SILENT`: succeeded, and nobody wants the result."""
ARRAY: Final = b"\x93"
"""The first byte of any other record: msgpack's array of three."""
QUEUED_HEAD: Final = struct.Struct(">BIQ")
"""What a kind begins with: the first byte, its size, the result's time to live."""
CLAIMED_HEAD: Final = struct.Struct(">BQH")
"""What is put before it by a claim: the first byte, the fence, and the size of the stamp behind."""
PLACED: Final = struct.Struct(">QQ")
"""What stands behind the kind: enqueued and seq."""
_SIZE_OF_KIND: Final = struct.Struct(">xI")
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
    first, head = packed[0], 0
    if not QUEUED <= first <= SILENT:
        return unpack(packed)
    if first != QUEUED:
        _, fence, size = CLAIMED_HEAD.unpack_from(packed)
        head = CLAIMED_HEAD.size + size
    placed = head + _SIZE_OF_KIND.unpack_from(packed, head)[0]
    end = placed + PLACED.size
    is_live = first in {QUEUED, CLAIMED}
    record = _opened(packed[head:placed], packed[end:] if is_live else NONE)
    c = record.c
    c.enqueued, c.seq = PLACED.unpack_from(packed, placed)
    if first == QUEUED:
        return record
    stamp = _stamp(packed[CLAIMED_HEAD.size : head])
    c.session, c.worker, c.started = stamp.session, stamp.worker, stamp.started
    c.state, c.version, c.fence, c.delivery = State.RUNNING, c.version + 1, fence, c.delivery + 1
    c.first = c.first or c.started
    if not is_live:
        c.state, c.version, c.reason, c.committed = State.SUCCEEDED, c.version + 1, "", fence
        c.session, c.due, c.ended = False, False, *_ENDED.unpack_from(packed, end)
        c.result = text(packed[end + _ENDED.size :]) if first == SUCCEEDED else NONE
    return record


def _opened(kind: bytes, p: bytes | msgspec.Raw) -> Packed:
    record = unpack(b"".join((ARRAY, kind[QUEUED_HEAD.size :], p)))
    record.c.size_of_p = len(bytes(p))
    return record


@functools.lru_cache(maxsize=64)  # all claims of one exchange have the same
def _stamp(packed: bytes) -> Stamp:
    return _unpack_stamp(packed)


# Claims -------------------------------------------------------------------------------------------


def plain_claim(message_id: bytes, packed: bytes) -> Claim:
    """The claim of a plain message, from its string.

    Raises:
        MsgspecError, struct.error, ValueError, IndexError, TypeError: it is damaged.
    """
    _, fence, size = CLAIMED_HEAD.unpack_from(packed)
    head = CLAIMED_HEAD.size + size
    placed = head + _SIZE_OF_KIND.unpack_from(packed, head)[0]
    kind = packed[head:placed]
    common = _claim_of(kind) if len(kind) <= _LONGEST_KIND else _parsed(kind)[0]
    enqueued, _ = PLACED.unpack_from(packed, placed)
    started = _stamp(packed[CLAIMED_HEAD.size : head]).started
    return replace(
        common,
        id=message_id.decode(),
        payload=_payload(packed[placed + PLACED.size :]),
        fence=fence,
        enqueued_ms=enqueued,
        first_started_ms=common.first_started_ms or started,
        started_ms=started,
    )


def _payload(p: bytes) -> bytes:
    """Unpack a payload, of which most are short."""
    if p[0] == _STR8 and p[1] == len(p) - 2:
        return p[2:]
    return bytes_of(msgspec.msgpack.decode(p, type=msgspec.Raw)) or b""


def _parsed(kind: bytes) -> tuple[Claim, int, int]:
    """What claims of a kind have in common, with 0 and nothing for what differs.

    And from where to where in it the token stands, which no claim tells.
    """
    record = _opened(kind, NONE)
    c, m = record.c, record.m
    common = {
        "task": m.task,
        "queue": c.queue,
        "priority": m.priority,
        "headers": bytes_of(m.headers) or b"",
        "max_deliveries": m.max_deliveries,
        "root_id": m.root_id,
        "parent_id": none_of(m.parent_id),
    }
    ttls = {"result_ttl_ms": c.result_ttl_ms, "failure_ttl_ms": m.failure_ttl_ms}
    token = pack_text(m.token.encode())
    before = m.task, m.first_queue, m.priority, m.first_result_ttl_ms, m.failure_ttl_ms
    place = QUEUED_HEAD.size + len(pack(c)) + len(pack((*before, m.max_deliveries, False)))
    place += _HEAD_OF_STATIC - _HEAD_OF_BEFORE
    claim = Claim(
        **common,
        id="",
        payload=b"",
        fence=0,
        attempt=c.attempt,
        delivery=c.delivery + 1,
        bounces=c.bounces,
        enqueued_ms=0,
        first_started_ms=c.first or 0,
        started_ms=0,
        eta_ms=none_of(m.eta_ms),
        kind=kind_of(**common, **ttls),
    )
    if not kind.startswith(token, place):
        return claim, 0, 0
    end = place + len(token)
    return claim, end - len(m.token.encode()), end


_known: dict[int, tuple[int, int, dict[bytes, Claim]]] = {}
"""By the size of kinds: where the token stands in those that are known, and what claims of them
have in common, by the kind without its token. A bridge gives each message a token of its own.

What is alike before a token's characters, their number included, has its token at the same place.
"""


def _claim_of(kind: bytes) -> Claim:
    known = _known.get(len(kind))
    if known is not None:
        start, end, claims = known
        claim = claims.get(kind[:start] + kind[end:])
        if claim is not None:
            return claim
    claim, start, end = _parsed(kind)
    if sum(len(claims) for _, _, claims in _known.values()) >= _MOST_KINDS:
        _known.clear()
        known = None
    if known is None or known[:2] != (start, end):
        known = start, end, {}
    known[2][kind[:start] + kind[end:]] = claim
    _known[len(kind)] = known
    return claim


# New messages -------------------------------------------------------------------------------------


def _pack_kind(m: Message) -> bytes:
    """How the strings of a plain message and of all of its kind begin."""
    c, static = _first_control(m.queue, m.result_ttl_ms), pack_static(m)
    size = QUEUED_HEAD.size + len(c) + len(static)
    return b"".join((QUEUED_HEAD.pack(QUEUED, size, m.result_ttl_ms), c, static))


@functools.lru_cache(_MOST_KINDS)
def packed_kind(kind: Kind) -> bytes:
    """How the strings of the messages of a kind begin."""
    return _pack_kind(kind.message("", b""))


@functools.lru_cache(maxsize=1024)
def _first_control(queue: str, result_ttl_ms: int) -> bytes:
    """The part c of a message that has just been enqueued, with 0 for what differs."""
    none = (False,) * 5  # due, expires, first, started, ended
    c = (State.QUEUED, 1, "", 1, 0, 0, 0, 0, 0, False, False, 0, *none, queue, result_ttl_ms)
    return pack((*c, False, False, 0))  # as `new_record` in lua/include/storing.lua


def pack_plain(messages: Sequence[Message]) -> bytes | None:
    """Pack a batch for `store_plain` in lua/fast_path/store.lua; None if one is not plain."""
    if not 0 < len({m.id for m in messages}) == len(messages) <= _AT_ONCE:
        return None
    if not all(map(_is_plain, messages)):
        return None
    kinds: dict[tuple[bytes, str, int], int] = {}
    belongs = []
    for m in messages:
        kind = _pack_kind(m), m.queue, m.priority
        belongs.append(kinds.setdefault(kind, len(kinds) + 1))
    starts = [(text(start), queue, priority) for start, queue, priority in kinds]
    payloads = [m.payload for m in messages]
    return _packed([m.id for m in messages], payloads, starts, len(kinds) > 1 and belongs)


def _packed(
    ids: Sequence[str], payloads: Sequence[bytes], kinds: list[Any], belongs: list[int] | bool
) -> bytes:
    return pack((ids, [text(pack_text(p)) for p in payloads], kinds, belongs))


def _is_plain(m: Message) -> bool:
    return starts_at_once(m) and not m.edges and len(m.payload) <= LARGEST


def pack_of_kind(kind: Kind, ids: Sequence[str], payloads: Sequence[bytes]) -> bytes | None:
    """Pack plain calls for `store_plain`; None if they have to go the general way."""
    if not 0 < len(set(ids)) == len(ids) <= _AT_ONCE or max(map(len, payloads)) > LARGEST:
        return None
    start = text(packed_kind(kind)), kind.queue, kind.priority
    return _packed(ids, payloads, [start], belongs=False)
