"""Idle workers of several hosts: real supervisors on the model, whose turns can be cut short."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from property_tests.model.model import Model
from reliable_tasks.core.message import Message, State
from reliable_tasks.store import values as v
from reliable_tasks.worker.store_calls import InlineCalls
from reliable_tasks.worker.supervisor import Supervisor, SupervisorOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.worker.store_calls import Answer

__all__ = ["LEASE_MS", "Fleet", "Idler"]

LEASE_MS = 20_000
STEP_MS = 50


class _Asked:
    """The model, as one worker asks it: counts the verbs, and says when it has taken a turn."""

    location = "the model"

    def __init__(self, model: Model, idler: Idler) -> None:
        self._model, self._idler = model, idler

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._model, name)

        def call(*args: Any, **given: Any) -> Any:
            self._idler.fleet.asked[name] += 1
            reply = verb(*args, **given)
            if isinstance(reply, v.Turn) and (reply.reaps or reply.neighbours):
                self._idler.fleet.turns[bool(reply.reaps), bool(reply.neighbours)] += 1
                self._idler.fleet.on_turn(self._idler)
            return reply

        return call


class _Calls(InlineCalls):
    """Of a process that is stopped no answer is taken any more, and nothing else is asked."""

    def __init__(self, store: Any, idler: Idler) -> None:
        super().__init__(store)
        self._idler = idler

    def take(self) -> Answer | None:
        return super().take() if self._idler.goes else None


@dataclass
class Idler:
    """A worker with one idle child."""

    fleet: Fleet
    name: str
    host: str
    pid: int
    due_ms: int
    lives: bool = True
    frozen: bool = False
    sessions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        store = _Asked(self.fleet.model, self)
        info = v.SessionInfo(
            id="", worker=self.name, host=self.host, pid=self.pid, queues=("celery",)
        )
        options = SupervisorOptions(info=info, children=1, lease_ms=LEASE_MS)
        calls: Any = _Calls(store, self)
        self.supervisor = Supervisor(store, self, options, calls)  # type: ignore[arg-type]

    @property
    def goes(self) -> bool:
        """Whether it does anything."""
        return self.lives and not self.frozen

    def step(self) -> None:
        """Do what is due."""
        now = self.fleet.now_ms / 1000
        self.supervisor.step(now)
        self.due_ms = max(self.fleet.now_ms + 1, round(self.supervisor.next_due(now) * 1000))

    # Its ProcessControl

    def spawn(self, session: str) -> int:
        self.sessions.append(session)
        return self.pid * 100 + len(self.sessions)

    def dead(self) -> list[tuple[int, str]]:
        return []

    def running(self, _pid: int) -> tuple[()]:
        return ()

    def answers(self, _pid: int) -> int:
        return self.fleet.now_ms

    def gone_sessions(self, sessions: tuple[v.SessionInfo, ...]) -> list[str]:
        living = {idler.pid for idler in self.fleet.idlers if idler.lives}
        return [s.id for s in sessions if s.host == self.host and s.pid not in living]


class Fleet:
    """Idle workers, and their time.

    Args:
        hosts: the host of each worker.
        phase_ms: when each begins.

    Attributes:
        asked: how often each verb was asked.
        turns: how many were taken, by whether to reap and whether to see to neighbours.
        on_turn: called with who has taken a turn, before it does anything about it.
    """

    def __init__(self, hosts: list[str], phase_ms: Callable[[int], int]) -> None:
        self.now_ms = 1_000_000
        self.model = Model(lambda: self.now_ms, v.StoreOptions(audit="all"))
        self.asked: Counter[str] = Counter()
        self.turns: Counter[tuple[bool, bool]] = Counter()
        self.on_turn: Callable[[Idler], None] = lambda _: None
        self.idlers = [
            Idler(self, f"w{number}", host, 1 + number, self.now_ms + phase_ms(number))
            for number, host in enumerate(hosts)
        ]

    def run(self, span_ms: int, until: Callable[[], bool] = lambda: False) -> int:
        """Let time pass, until something holds; returns how much has passed."""
        began_ms = self.now_ms
        while self.now_ms < began_ms + span_ms and not until():
            self.now_ms += STEP_MS
            for idler in self.idlers:
                if idler.goes and idler.due_ms <= self.now_ms:
                    idler.step()
        return self.now_ms - began_ms

    def give(self, idler: Idler) -> Callable[[], bool]:
        """Let one claim a message; returns what says whether it was taken back."""
        self.model.enqueue(v.Batch(messages=(Message(id="m", task="t", queue="celery"),)))
        want = v.ClaimRequest(queues=("celery",), limit=1)
        (claim,) = self.model.exchange(idler.sessions[-1], (), want).claims

        def is_taken_back() -> bool:
            (record,) = self.model.read([claim.id])
            return record is not None and record.state == State.QUEUED

        return is_taken_back
