"""The design's rules: which shard a message belongs to. See docs/explanation/scale.md.

An id ends in the number of its shard, so that whoever has an id knows where to ask. A call without
a once-key may go to any shard that answers; one with a key goes to the key's, and so does a
schedule's entry to its name's; a workflow is stored whole in the shard of its root.
"""

from __future__ import annotations

from binascii import crc32

__all__ = [
    "id_in",
    "serial_of",
    "shard_of_entry",
    "shard_of_id",
    "shard_of_key",
    "shard_to_repeat_at",
]


def id_in(serial: int, shard: int) -> str:
    """The id of a message in a shard; `serial` is unique over all shards."""
    return f"{serial:x}~{shard}"


def serial_of(message_id: str) -> int:
    """What `id_in` was given."""
    return int(message_id.partition("~")[0], 16)


def shard_of_id(message_id: str) -> int:
    """Where a message is."""
    return int(message_id.rpartition("~")[2])


def shard_of_key(key: str, shards: int) -> int:
    """Where all messages of a once-key are."""
    return crc32(key.encode()) % shards


def shard_of_entry(name: str, shards: int) -> int:
    """Where the entry of a schedule is, and the messages that it fires."""
    return crc32(name.encode()) % shards


def shard_to_repeat_at(asked: int, others: list[int]) -> int:
    """Where to say a call again whose answer was lost: where it may be stored already."""
    return asked
