"""Telling a result backend how a message ended is a message, stored with the one it tells of.

So nothing is lost while the bridge, the store's other users or the backend are away: what is to be
told stands on a queue, with the result, until a bridge has told it. It is a successor, and each
message has two: one that its success starts, one that any other ending starts. (A dead letter that
is replayed starts the first one again, so its late success is told as well.)
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from reliable_tasks.core.message import COLLECT, TELL, Edge, Message, On, decode_headers

from .outgoing import ignores_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Headers

__all__ = ["QUEUE", "About", "about_of", "tells_of", "with_tells"]

QUEUE: Final = "reliable_tasks.bridge.results"
"""Where endings stand until a bridge has told them."""
_MOST_DELIVERIES: Final = 1_000_000
"""However often a bridge is killed, what it tells is no dead letter."""


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a backend wants to know of a message besides its ending.

    Attributes:
        id: of the message.
        reply_to, correlation_id: where `rpc://` answers, and by which name.
        group, parent_id: as Celery's producer has set them.
        children: ids of what its success starts.
    """

    id: str
    task: str = ""
    reply_to: str = ""
    correlation_id: str = ""
    group: str | None = None
    parent_id: str | None = None
    children: tuple[str, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(About).decode


def about_of(payload: bytes) -> About | None:
    """What `with_tells` wrote; None where it was somebody else."""
    try:
        return _decode(payload)
    except msgspec.DecodeError:
        return None


def with_tells(app: AppContext, messages: Sequence[Message], backend: str) -> list[Message]:
    """Messages, and before them those that tell of their endings, for one batch.

    They are the same whenever the same messages are given, so a batch may be stored again.

    Args:
        app: whose messages they are.
        messages: to store, those that wait for others first.
        backend: the URL of the result backend.
    """
    to_reply = backend.startswith("rpc:")
    told, linked = list[Message](), list[Message]()
    for message in messages:
        headers = decode_headers(message.headers)
        if _is_told(app, message, headers, to_reply=to_reply):
            good, bad = _tell(message, headers, "good"), _tell(message, headers, "bad")
            told += (good, bad)
            tell = (Edge(good.id, On.SUCCESS, 0), Edge(bad.id, On.FAILURE, 0))
            # Of a once-task's duplicate the producer hears how the other one ends.
            joins = message.joins_duplicate or message.once is not None
            edges = (*message.edges, *tell)
            linked.append(msgspec.structs.replace(message, edges=edges, joins_duplicate=joins))
        else:
            linked.append(message)
    return told + linked


def tells_of(message: Message) -> tuple[str, str]:
    """The ids of those that tell of a message."""
    name = _digest(message)
    return f"good-{name}", f"bad-{name}"


def _is_told(app: AppContext, message: Message, headers: Headers, *, to_reply: bool) -> bool:
    if message.task in {COLLECT, TELL} or ignores_result(app, message.task, headers):
        return False
    return bool(_property(headers, "reply_to")) or not to_reply


def _tell(message: Message, headers: Headers, ending: str) -> Message:
    about = About(
        id=message.id,
        task=message.task,
        reply_to=_property(headers, "reply_to"),
        correlation_id=_property(headers, "correlation_id"),
        group=headers.group,
        parent_id=message.parent_id,
        children=_children(message.edges),
    )
    return Message(
        id=tells_of(message)[ending == "bad"],
        task=TELL,
        queue=QUEUE,
        payload=_encode(about),
        max_deliveries=_MOST_DELIVERIES,
        result_ttl_ms=message.result_ttl_ms,
        failure_ttl_ms=message.failure_ttl_ms,
        root_id=message.root_id or message.id,
        parent_id=message.id,
        waits=1,
        any_parent=ending == "bad",
        token=message.token or message.id,
    )


def _digest(message: Message) -> str:
    """A name of the call: an id may be given again, to another call, when it has ended."""
    named = f"{message.id}\0{message.token}".encode()
    return blake2b(named, digest_size=16).hexdigest()


def _children(edges: Iterable[Any]) -> tuple[str, ...]:
    return tuple(edge.child for edge in edges if edge.on == On.SUCCESS)


def _property(headers: Headers, name: str) -> str:
    return (headers.properties or {}).get(name, "")
