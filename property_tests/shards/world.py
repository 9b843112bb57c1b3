"""A world of shards, workers, producers and beats, whose time and luck come from a seed."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from property_tests.shards.beats import Beat
from property_tests.shards.producer import Producer
from property_tests.shards.scene import SHARDS, Scene
from property_tests.shards.worker import LEASE_MS, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from property_tests.shards.shard import Shard

__all__ = ["World"]

WORKERS, BEATS, PRODUCERS = 20, 2, 3
SHARD_DIES = 1 / 10
"""The chance that a shard dies within 10 ms."""
REST_MS = 5_000
"""How long it may take to come to rest, once nobody calls and nothing fails."""


class World(Scene):
    """Runs until so many messages are stored and over.

    Args:
        seed: of everything.
        messages: how many, those of workflows and schedules among them.
        window: how many may live at once, about.
        trouble: multiplies the chances of misfortune.
    """

    def __init__(self, seed: int, messages: int, window: int = 4_000, trouble: float = 1.0) -> None:
        super().__init__(seed, trouble)
        self._down: dict[int, int] = {}
        self.producers = [Producer(self, messages, window) for _ in range(PRODUCERS)]
        slots: dict[tuple[str, int], int] = {}
        turns: list[Callable[[], int]] = [Beat(self, slots).turn for _ in range(BEATS)]
        turns += [producer.turn for producer in self.producers]
        turns += [Worker(self, n).turn for n in range(WORKERS)]
        self._turns = [*turns, self._fail]
        self._next = [(self.now, n) for n in range(len(self._turns))]

    # Misfortune -----------------------------------------------------------------------------------

    def _fail(self) -> int:
        """A shard dies for a while, shorter or longer than a lease; it comes back as it was."""
        for number, until in list(self._down.items()):
            if until <= self.now or self.calm:
                del self._down[number]
                self._revive(self.shards[number])
        if self.misfortune(SHARD_DIES):
            number = self.random.randrange(SHARDS)
            self.shards[number].dying = True
            self._down[number] = self.now + self.random.randrange(2, 6 * LEASE_MS)
            self.downs += 1
        return 10

    @staticmethod
    def _revive(shard: Shard) -> None:
        """It has all that it ever said yes to."""
        shard.up, shard.dying = True, False

    # Time -----------------------------------------------------------------------------------------

    def step(self) -> None:
        """Whoever's turn it is."""
        self.now, who = heapq.heappop(self._next)
        heapq.heappush(self._next, (self.now + max(1, self._turns[who]()), who))

    def run(self, progress: Callable[[World], None] | None = None) -> list[str]:
        """All of it; returns what was broken."""
        steps = 0
        while not all(producer.done for producer in self.producers) and not self.account.found:
            self.step()
            steps += 1
            if progress and steps % 100_000 == 0:
                progress(self)
        self.calm = self.quiet = True
        rest = self.now + REST_MS
        while self.now < rest and not self.account.found and not self._at_rest():
            self.step()
        self.account.close(self.shards)
        return self.account.found

    def _at_rest(self) -> bool:
        return not self.account.live and not any(s.letters() for s in self.shards)
