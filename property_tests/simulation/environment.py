"""The part of a world that simulated processes see: clock, dice, store and timeline.

It records the side effects of bodies, which the checks compare with the store's account.
"""

from __future__ import annotations

import contextlib
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from property_tests.simulation import hostile
from property_tests.simulation.faults import FaultRates, FaultyStore
from property_tests.simulation.schedule import START_MS, seconds
from property_tests.simulation.tasks import app_of
from property_tests.simulation.witness import PoisonError
from reliable_tasks.core import ids
from reliable_tasks.store.values import StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliable_tasks.app import App
    from reliable_tasks.store.values import Claim

__all__ = ["OPTIONS", "Effect", "Environment"]

OPTIONS = StoreOptions(audit="all", audit_ttl_ms=10**12, max_batch=4, stage_ttl_ms=60_000)


class Effect(NamedTuple):
    """A body had its effect on the world."""

    attempt: int
    fence: int
    began_ms: int
    at_ms: int


class Process(Protocol):
    """What a body may do to the process that runs it."""

    @property
    def name(self) -> str:
        """As the timeline shows it."""
        ...

    @property
    def gone(self) -> bool:
        """Whether nothing of the user's goes on in it."""
        ...

    def hang(self) -> None:
        """What it does right now never ends."""
        ...

    def die(self, how: str) -> None:
        """It ends at whatever it was doing."""
        ...


class Environment:
    """One world, as its processes see it.

    Args:
        seed: of its dice, ids and jitter.
        make_store: gets a clock and options, gives the store.
    """

    lease_ms = 2_000

    def __init__(
        self, seed: int, make_store: Callable[[Callable[[], int], StoreOptions], Any]
    ) -> None:
        self.rng = random.Random(seed)
        ids.restart(seed)
        self.now_ms = START_MS
        self.timeline: list[str] = []
        self.actor = "world"  # who calls the store
        self.violations: list[str] = []
        self.real = make_store(lambda: self.now_ms, OPTIONS)
        self.store = FaultyStore(self.real, self.rng, self._tell_store, FaultRates())
        self.troubled = True
        self.stalled_until_ms = 0
        self.calm_ms = 0  # since when nothing fails
        self.live_pids: set[int] = set()  # of the workers that live
        self.effects: dict[str, list[Effect]] = defaultdict(list)
        self.began: dict[int, int] = {}  # fence -> when the body began
        self.of_the_dead: set[int] = set()  # fences that a process had begun to run when it died
        self.charges: dict[str, int] = defaultdict(int)
        self.recorded: set[str] = set()
        self.failed_effects: set[str] = set()
        self._pids = iter(range(1_000, 100_000))
        self._at_work: Process | None = None

    # The clocks and the timeline ------------------------------------------------------------------

    def app(self, *, old: bool) -> App:
        """The app that a worker of this version has."""
        return app_of(self.store, self, old=old)

    def monotonic(self) -> float:
        """The clock of processes, in seconds."""
        return self.now_ms / 1000

    @property
    def stalled(self) -> bool:
        """Whether the store stalls: every call waits."""
        return self.now_ms < self.stalled_until_ms

    def next_pid(self) -> int:
        """The pid of a new process."""
        return next(self._pids)

    def tell(self, who: str, what: str) -> None:
        """Add a line to the timeline."""
        self.timeline.append(f"{seconds(self.now_ms):>9}  {who:<12} {what}")

    def _tell_store(self, what: str) -> None:
        self.tell(self.actor, what)

    # What bodies do, and what may happen to them -------------------------------------------------

    @contextlib.contextmanager
    def at_work(self, child: Process, claim: Claim) -> Iterator[None]:
        """Within the block, this child runs what belongs to an attempt."""
        self._at_work, self.store.body = child, claim.id
        try:
            yield
        finally:
            self._at_work, self.store.body = None, ""

    def misbehaves(self, place: str, deed: str) -> None:
        """Hostile code is at its deed: its process may end of it, or never come back."""
        child = self._at_work
        if child is None or child.gone:
            raise PoisonError("nothing of it goes on")
        if deed not in hostile.FATAL:
            return
        self.tell(child.name, f"{deed} ({place})")
        if deed == hostile.HANGS:
            child.hang()
        else:
            child.die("" if deed == hostile.EXITS else "SIGSEGV")
        raise PoisonError(deed)

    def effect(self, task: Any) -> None:
        """A body is at its effect: the process may die before or after it, or it may fail."""
        request = task.request
        dice = self.rng.random() if self.troubled else 1.0
        if dice < 0.01:
            raise PoisonError("killed before its effect")
        if dice < 0.02:
            self.failed_effects.add(request.id)
            self.tell("body", f"{request.id}: its effect failed")
            raise OSError("the world outside does not answer")
        began_ms = self.began[request.fence]
        self.effects[request.id].append(
            Effect(request.attempt, request.fence, began_ms, self.now_ms)
        )
        self.tell("body", f"{request.id} runs: attempt {request.attempt}, fence {request.fence}")
        if dice < 0.04:
            raise PoisonError("killed after its effect")

    def charge(self, message_id: str) -> None:
        """A recorded step has its effect, around which the process may die."""
        dice = self.rng.random() if self.troubled else 1.0
        if dice < 0.1:
            raise PoisonError("killed before the charge")
        self.charges[message_id] += 1
        self.tell("body", f"{message_id} is charged")
        if dice < 0.2:
            raise PoisonError("killed after the charge")

    def charged(self, message_id: str) -> None:
        """A step is recorded, and its body goes on; the process may die, or the body fail."""
        self.recorded.add(message_id)
        dice = self.rng.random() if self.troubled else 1.0
        if dice < 0.2:
            raise PoisonError("killed after the record of the charge")
        if dice < 0.4:
            self.failed_effects.add(message_id)
            raise ArithmeticError("of no use after the charge")

    def unknown(self, message_id: str) -> None:
        """A body has to find out whether its step was done: not once that was recorded."""
        if message_id in self.recorded:
            self.violations.append(f"{message_id}: its step was recorded, and is unknown")
