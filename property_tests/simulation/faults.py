"""A store that fails: before a call is applied, or after it was (the reply is lost), or twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.store.values import Verdict

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

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
        self.stale_commits: list[str] = []
        self._applied: set[tuple[str, int]] = set()

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name not in VERBS:
            return verb

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, verb, args, kwargs)

        return call

    def _watched(self, name: str, verb: Any, args: Any, kwargs: Any) -> Any:
        """Apply a call; of an exchange, note the commits by claims that had been taken away."""
        if name != "exchange":
            return verb(*args, **kwargs)
        commits = args[1]
        before = self._store.read([commit.id for commit in commits])
        reply = verb(*args, **kwargs)
        for commit, record, verdict in zip(commits, before, reply.verdicts, strict=True):
            stale = record is not None and record.session is not None
            stale = stale and record.fence != commit.fence
            applied = (commit.id, commit.fence)
            if verdict == Verdict.COMMITTED and stale and applied not in self._applied:
                self.stale_commits.append(f"{commit.id}: stale fence {commit.fence} committed")
            if verdict == Verdict.COMMITTED:
                self._applied.add(applied)
        return reply

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
        reply = self._watched(name, verb, args, kwargs)
        if rates.before + rates.twice <= dice < rates.before + rates.twice + rates.after:
            self._tell(f"{name}: applied, reply lost")
            raise StoreUnavailable("simulated: reply lost")
        return reply
