"""Dead letters of what the bridge refuses: the reason, and the message as the broker had it.

A letter is stored like any message, on a queue that bridges alone consume, and failed there at
once. So it is found by `reliable-tasks dead`, is counted, audited and kept like all others. A body
that is larger than one message may be comes in several letters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from reliable_tasks.core import checks
from reliable_tasks.core.codec import dumps_call, loads_call
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.message import Headers, Message, encode_headers
from reliable_tasks.core.outcome import Failed
from reliable_tasks.core.reasons import Reason
from reliable_tasks.core.texts import printable, shown
from reliable_tasks.errors import CodecError, ConfigError, MessageRefused
from reliable_tasks.store.values import ClaimRequest, Commit

from .beside import own_session
from .foreign import id_told, task_told
from .translate import digest

if TYPE_CHECKING:
    from reliable_tasks.app import App
    from reliable_tasks.contrib.bridge.sources import Delivery
    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Claim

__all__ = ["QUEUE", "TASK", "bury", "letters_of"]

TASK: Final = "reliable_tasks.bridge.refused"
"""The task that letters are filed under."""
QUEUE: Final = "reliable_tasks.bridge"
"""Where letters stand until a bridge has failed them."""
_SERIALIZER: Final = "json"
_READABLE: Final = 16_384
"""Bytes of a text that is shown as text; more is kept as bytes."""
_LEAST: Final = 256
_BESIDE_BODY: Final = 8_192
_IN_BASE64: Final = 4 / 3
_LEASE_MS: Final = 20_000
_AT_ONCE: Final = 100


def letters_of(app: App, delivery: Delivery, reason: str, *, aside: bool = False) -> list[Message]:
    """The letters of a delivery: one, unless its body is too large for that.

    They are the same whenever it is delivered, if it has an id or its broker names it. Of what has
    neither, two letters tell where a bridge was killed before the broker knew of the first.

    Args:
        app: whose store they are for.
        delivery: what is refused.
        reason: why, for people.
        aside: its own id is taken, so give it another one, made of it.
    """
    settings = app.settings
    room = max(_LEAST, int((settings.max_message_bytes - _BESIDE_BODY) / _IN_BASE64))
    body = delivery.body
    chunks = [body[at : at + room] for at in range(0, len(body), room)] or [b""]
    task = task_told(delivery)
    kind = (delivery.queue, task, delivery.content_type, delivery.content_encoding)
    name = digest(repr(kind).encode(), body)  # without headers: brokers count deliveries in them
    reason = printable(f"{task}: {reason}" if task else reason)
    own = _own_id(delivery)
    if own is None:
        name = digest(name.encode(), repr(delivery.name).encode())
    base = f"bridge-{name}" if own is None else own
    if aside:
        base = f"{base[:200]}-refused-{name[:12]}"
    made = []
    for number, chunk in enumerate(chunks, 1):
        part = f", part {number} of {len(chunks)}" if len(chunks) > 1 else ""
        told = {"reason": f"{reason}{part}", "body": _body(chunk), **_about(delivery, room)}
        made.append(
            Message(
                id=base if number == 1 else f"{base[:200]}-{name[:12]}-part-{number}",
                task=TASK,
                queue=QUEUE,
                payload=dumps_call((), told, _SERIALIZER),
                headers=_headers(delivery),
                max_deliveries=settings.max_deliveries,
                result_ttl_ms=app.result_ttl_ms,
                failure_ttl_ms=app.failure_ttl_ms,
                token=f"refused {name}",
            )
        )
    return made


def _own_id(delivery: Delivery) -> str | None:
    try:
        return checks.message_id("id", id_told(delivery))
    except ConfigError:
        return None


def _body(chunk: bytes) -> str | bytes:
    if len(chunk) <= _READABLE:
        try:
            return chunk.decode()
        except ValueError:
            return chunk
    return chunk


def _about(delivery: Delivery, room: int) -> dict[str, Any]:
    """What came with the body, as far as it can be kept."""
    about: dict[str, Any] = {
        "queue": delivery.queue,
        "content_type": delivery.content_type,
        "content_encoding": delivery.content_encoding,
    }
    for name, values in (("headers", delivery.headers), ("properties", delivery.properties)):
        told = {str(key): value for key, value in values.items()}
        try:
            size = len(dumps_call((), told, _SERIALIZER))
        except CodecError:
            size = room + 1
        short = {shown(key): shown(value) for key, value in list(told.items())[:20]}
        about[name] = told if size <= min(room, _BESIDE_BODY // 4) else short
    return about


def _headers(delivery: Delivery) -> bytes:
    """So that whoever waits for the result may be told."""
    reply_to = delivery.properties.get("reply_to")
    properties: dict[str, str] | None = None
    if isinstance(reply_to, str) and reply_to and not checks.trouble_with_text(reply_to):
        properties = {"reply_to": reply_to}
    return encode_headers(Headers(serializer=_SERIALIZER, properties=properties))


def bury(store: Store, name: str) -> int:
    """Fail the letters that stand on their queue; returns how many.

    Raises:
        StoreError: the store is away; they are still there.
    """
    info = own_session(name, QUEUE)
    store.reap()  # it may be that nobody else does: no worker, and a bridge that was killed
    store.open_session(info, _LEASE_MS)
    buried = 0
    try:
        want = ClaimRequest(queues=(QUEUE,), limit=_AT_ONCE)
        claims = store.exchange(info.id, (), want).claims
        while claims:
            buried += len(claims)
            claims = store.exchange(info.id, [_failed(claim) for claim in claims], want).claims
    finally:
        store.close_session(info.id)
    return buried


def _failed(claim: Claim) -> Commit:
    try:
        _, told = loads_call(claim.payload, _SERIALIZER)
        said = printable(str(told["reason"]))
    except (CodecError, KeyError):  # somebody else's: nothing but bridges should write here
        said = f"this is no letter of a bridge: the queue {QUEUE!r} is the bridges' own"
    failure = encode_failure(MessageRefused(said))
    detail = msgspec.json.encode({"exception": "MessageRefused", "message": said[:1000]})
    outcome = Failed(failure=failure, reason=Reason.REFUSED, detail=detail)
    return Commit(id=claim.id, fence=claim.fence, outcome=outcome)
