"""What a simulated process has of its own: the real parts, on the world's clock and store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reliable_tasks.worker.pools.base import Pool
from reliable_tasks.worker.scoreboard import Scoreboard
from reliable_tasks.worker.store_calls import InlineCalls

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable

    from property_tests.simulation.environment import Environment
    from reliable_tasks.attempts.executor import StartedAttempt
    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.values import Claim
    from reliable_tasks.worker.scoreboard import Posted
    from reliable_tasks.worker.store_calls import Answer, Call

__all__ = ["Body", "HalvesPool", "PageScoreboard", "SimulatedCalls"]


@dataclass
class Body:
    """A body that is running: its end comes at a later step."""

    claim: Claim
    started: StartedAttempt
    context: contextvars.Context
    until: int


class PageScoreboard(Scoreboard):
    """The shared page; what a process does not live to write is not written."""

    writes = True

    def post(self, slot: int, posted: Posted) -> None:
        if self.writes:
            super().post(slot, posted)

    def clear(self, slot: int) -> None:
        if self.writes:
            super().clear(slot)


class HalvesPool(Pool):
    """The real guard of an attempt, in two halves, as the pool of the loop has it, or whole."""

    def begin(self, claim: Claim, context: contextvars.Context) -> StartedAttempt | Outcome:
        """All that comes before the body."""
        return context.run(self._begin, 0, claim)

    def returned(self, body: Body, value: Any) -> Outcome:
        """The body has returned."""
        return self._over(body.context.run(self._returned, body.started, value))

    def raised(self, body: Body, exc: BaseException) -> Outcome:
        """The body has raised."""
        return self._over(body.context.run(self._raised, 0, body.started, exc))

    def _over(self, done: Outcome) -> Outcome:
        self._board.clear(0)
        return done

    def whole(self, claim: Claim, call: Callable[..., Any]) -> Outcome:
        """An attempt whose body takes no time."""
        return self._attempt(0, claim, call)

    def refused(self) -> None:
        """The body did not run."""
        self._board.clear(0)


class SimulatedCalls(InlineCalls):
    """Calls of a supervisor: answered at once, but for a store that stalls."""

    def __init__(self, world: Environment) -> None:
        super().__init__(world.store)
        self._world = world
        self._call: Call | None = None

    def send(self, call: Call) -> None:
        self._call = call

    def take(self) -> Answer | None:
        if self._world.stalled:
            return None
        if self._call is not None:
            call, self._call = self._call, None
            super().send(call)
        return super().take()
