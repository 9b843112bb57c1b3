"""The messages that are sent, and whom a stand-in stands for."""

from __future__ import annotations

from property_tests.shards import routing
from property_tests.shards.routing import id_in, serial_of
from reliable_tasks.core.message import Message, OnceLock

__all__ = ["KEPT_MS", "foreign", "message_of"]

KEPT_MS = 100
"""How long records stay after their ending."""


def message_of(message_id: str, payload: str, **more: object) -> Message:
    fields = {"task": "t", "result_ttl_ms": KEPT_MS, "failure_ttl_ms": KEPT_MS, **more}
    return Message(id=message_id, payload=payload.encode(), token=message_id, **fields)  # type: ignore[arg-type]


def foreign(stand_in: str, key: str, shards: int) -> tuple[int, Message]:
    """Whom a stand-in stands for: the next serial number, in the shard of its key."""
    shard = routing.shard_of_key(key, shards)
    message_id = id_in(serial_of(stand_in) + 1, shard)
    once = OnceLock(key)
    return shard, message_of(message_id, "keyed", once=once, joins_duplicate=True)
