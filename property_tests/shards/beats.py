"""Beats: several fire the same entries, each of which lies in the shard of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from property_tests.shards import routing
from property_tests.shards.calls import message_of
from property_tests.shards.routing import id_in
from property_tests.shards.shard import AwayError, LostReplyError
from reliable_tasks.store.values import Batch, Entry

if TYPE_CHECKING:
    from property_tests.shards.scene import Scene
    from property_tests.shards.shard import Shard

__all__ = ["Beat"]

ENTRIES = 12
PERIOD_MS = 7
_REMEMBERED = 1000


class Beat:
    """Reads all entries in one turn, and fires in the next what was due in them.

    By then another may have fired it: that is for the compare-and-set to find out.
    """

    def __init__(self, world: Scene, slots: dict[tuple[str, int], int]) -> None:
        self._world = world
        self._slots = slots  # shared, since a message's id follows from its slot
        self._read: dict[str, Entry] = {}

    def turn(self) -> int:
        """Fire what is due, and read again; returns after how many ms the next turn is."""
        world = self._world
        if not world.quiet:
            for n in range(ENTRIES):
                name = f"entry-{n}"
                try:
                    self._fire(name, routing.shard_of_entry(name, len(world.shards)))
                except (AwayError, LostReplyError):
                    continue
        return world.random.randrange(1, 4)

    def _fire(self, name: str, number: int) -> None:
        shard, now = self._world.shards[number], self._world.now
        entry = self._read.get(name)
        if entry is None:
            shard.call("put_entry", Entry(name=name, next_ms=now + PERIOD_MS), -1)
        elif entry.next_ms is not None and entry.next_ms <= now:
            self._store(shard, entry, entry.next_ms)
        self._read |= {e.name: e for e in shard.call("entries") if e.name == name}

    def _store(self, shard: Shard, entry: Entry, slot: int) -> None:
        key = (entry.name, slot)
        if key not in self._slots:
            self._slots[key] = self._world.account.serials(1)
            for old in list(self._slots)[:-_REMEMBERED]:
                del self._slots[old]
        message = message_of(id_in(self._slots[key], shard.number), "plain")
        shard.call(
            "fire", replace(entry, next_ms=slot + PERIOD_MS), slot, Batch(messages=(message,))
        )
