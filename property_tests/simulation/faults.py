"""A store that fails: calls do not arrive, or twice, or late, or their replies are lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from property_tests.simulation.schedule import seconds
from reliable_tasks.errors import StoreError, StoreUnavailable
from reliable_tasks.store.values import Verdict

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["NO_FAULTS", "FaultRates", "FaultyStore"]

VERBS = frozenset(
    {
        "close_session",
        "enqueue",
        "enqueue_plain",
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
        "take_turn",
    }
)


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How often, of all calls, each thing happens.

    Attributes:
        before: the call does not arrive.
        after: it is applied, and its reply is lost.
        twice: it arrives twice, and the second reply is the one that is heard.
        late: the caller is told that it failed; it is applied at some later time.
        interrupted: of a body's calls, an exception of a signal is raised before or after it.
    """

    before: float = 0.02
    after: float = 0.03
    twice: float = 0.02
    late: float = 0.02
    interrupted: float = 0.2


NO_FAULTS = FaultRates(0, 0, 0, 0, 0)


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
        self.away = False
        self.location = "simulated"
        self.options = store.options
        self.calls = 0
        self.stale_commits: list[str] = []
        self.body = ""  # the id of the message whose body is at work right now
        self.interrupted: set[str] = set()
        self._applied: set[tuple[str, int]] = set()
        self._late: list[tuple[str, Callable[[], Any]]] = []

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, verb, args, kwargs)

        found = call if name in VERBS else verb
        setattr(self, name, found)  # so that it is made once
        return found

    def _watched(self, name: str, verb: Any, args: Any, kwargs: Any) -> Any:
        """Apply a call; of an exchange, note the commits by claims that had been taken away."""
        self.calls += 1
        if name == "fire":
            reply = verb(*args, **kwargs)
            slot = f"slot {seconds(args[1])}"
            self._tell(f"{slot}: {'another one was first' if reply is None else 'fired'}")
            return reply
        if name != "exchange" or not args[1]:
            return verb(*args, **kwargs)
        commits = args[1]
        msgspec.msgpack.encode(commits)  # as every store does
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
        if self.away:
            raise StoreUnavailable("simulated: the server is being restarted")
        rates, dice = self.rates, self._rng.random()
        what = _in_words(name, args)
        if self.body and self._rng.random() < rates.interrupted:
            self._interrupt(what, lambda: self._watched(name, verb, args, kwargs))
        if dice < rates.before:
            self._tell(f"{what}: the store was away")
            raise StoreUnavailable("simulated: not applied")
        dice -= rates.before
        if dice < rates.late:
            self._tell(f"{what}: on its way, and given up by the caller")
            self._late.append((what, lambda: self._watched(name, verb, args, kwargs)))
            raise StoreUnavailable("simulated: no answer")
        dice -= rates.late
        if dice < rates.twice:
            self._watched(name, verb, args, kwargs)
            self._tell(f"{what}: delivered twice")
        reply = self._watched(name, verb, args, kwargs)
        if rates.twice <= dice < rates.twice + rates.after:
            unheard = ", ".join(c.id for c in reply.claims) if name == "exchange" else ""
            self._tell(f"{what}: applied, reply lost" + (f"; it claimed {unheard}" * bool(unheard)))
            raise StoreUnavailable("simulated: reply lost")
        return reply

    def _interrupt(self, what: str, apply: Callable[[], Any]) -> None:
        """A signal comes while a body waits for its call; its exception is raised after the call.

        Or before it: never within one.
        """
        applied = self._rng.random() < 0.5
        if applied:
            apply()
        self._tell(f"{what}: interrupted {'after' if applied else 'before'} it was applied")
        self.interrupted.add(self.body)
        raise KeyboardInterrupt

    # Calls that were given up ---------------------------------------------------------------------

    @property
    def late(self) -> int:
        """How many calls are still on their way."""
        return len(self._late)

    def arrive(self) -> None:
        """Let one of the late calls reach the store; its reply is lost."""
        if self.away or not self._late:
            return
        what, apply = self._late.pop(self._rng.randrange(len(self._late)))
        try:
            apply()
        except StoreError as exc:
            self._tell(f"{what}: arrived late, and refused: {exc}")
        else:
            self._tell(f"{what}: arrived late")

    def lose_late(self) -> None:
        """The server ends: what it had not read yet is gone."""
        self._late.clear()


def _in_words(name: str, args: tuple[Any, ...]) -> str:
    if name != "exchange" or not args[1]:
        return name
    return f"exchange ({', '.join(f'{c.id} {type(c.outcome).__name__}' for c in args[1])})"
