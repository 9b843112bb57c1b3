"""What all actors of a simulated world share: time, luck, the shards and the account."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from property_tests.shards.account import Account
from property_tests.shards.calls import foreign
from property_tests.shards.shard import Shard

if TYPE_CHECKING:
    from reliable_tasks.core.message import Message

__all__ = ["SHARDS", "Scene"]

SHARDS = 8
LOSES = 1 / 400
"""The chance that a reply is lost."""


class Scene:
    """Shards, and who watches them.

    Args:
        seed: of everything.
        trouble: multiplies the chances of misfortune.

    Attributes:
        now: milliseconds; the clock of all shards.
        calm: nothing fails any more.
        quiet: and no schedule fires.
        downs, deaths: how often a shard died, and a worker.
    """

    def __init__(self, seed: int, trouble: float) -> None:
        self.random = random.Random(seed)
        self._trouble = trouble
        self.now = 1_000_000
        self.calm = self.quiet = False
        self.downs = self.deaths = 0
        self._sessions = 0
        self.account = Account(SHARDS, self.clock)
        self.shards = [
            Shard(n, SHARDS, self.clock, self._foreign, self.account.observe, self._loses)
            for n in range(SHARDS)
        ]

    def clock(self) -> int:
        """The time now."""
        return self.now

    def new_session(self) -> str:
        """The id of another session."""
        self._sessions += 1
        return f"s{self._sessions}"

    def misfortune(self, chance: float) -> bool:
        """Whether it strikes now."""
        return not self.calm and self.random.random() < chance * self._trouble

    def _loses(self) -> bool:
        return self.misfortune(LOSES)

    def _foreign(self, stand_in: str) -> tuple[int, Message]:
        shard = next(s for s in self.shards if stand_in in s.model.recs)
        key = (shard.model.recs[stand_in].payload or b"").decode()
        return foreign(stand_in, key, SHARDS)
