"""A store that fails: before a call is applied, or after it was (the reply is lost), or twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reliable_tasks.errors import StoreUnavailable

__all__ = ["FaultRates", "FaultyStore"]

VERBS = frozenset(
    {
        "close_session",
        "enqueue",
        "entries",
        "exchange",
        "fire",
        "heartbeat",
        "held",
        "open_session",
        "put_entry",
        "read",
        "reap",
        "replay",
        "report",
        "revoke",
        "sessions",
        "step",
    }
)


@dataclass(slots=True)
class FaultRates:
    """How often, of all calls, each thing happens."""

    before: float = 0.02
    after: float = 0.03
    twice: float = 0.02


class FaultyStore:
    """Stands before a real store, or the model, and lets some calls fail."""

    def __init__(
        self,
        store: Any,
        rng: random.Random,
        tell: Callable[[str], None],
        rates: FaultRates,
    ) -> None:
        self._store = store
        self._rng = rng
        self._tell = tell
        self.rates = rates
        self.location = "simulated"
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name not in VERBS:
            return verb

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, verb, args, kwargs)

        return call

    def _call(self, name: str, verb: Any, args: Any, kwargs: Any) -> Any:
        self.calls += 1
        dice = self._rng.random()
        rates = self.rates
        if dice < rates.before:
            self._tell(f"{name}: the store was away")
            raise StoreUnavailable("simulated: not applied")
        if dice < rates.before + rates.twice and name != "exchange":
            # A request that the network delivered twice. An exchange is one of a kind: its claims
            # are found by reconciling, which the lost replies below exercise.
            verb(*args, **kwargs)
            self._tell(f"{name}: delivered twice")
        reply = verb(*args, **kwargs)
        if rates.before + rates.twice <= dice < rates.before + rates.twice + rates.after:
            self._tell(f"{name}: applied, reply lost")
            raise StoreUnavailable("simulated: reply lost")
        return reply
