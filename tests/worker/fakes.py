"""The parts of a worker in tests: the model as a store, processes that only take notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from property_tests.model.model import Model
from reliable_tasks.core.codec import dumps_call
from reliable_tasks.core.message import Headers, Message, encode_headers
from reliable_tasks.core.request import AttemptStore
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.store import values as v

if TYPE_CHECKING:
    from reliable_tasks.worker.scoreboard import Posted
    from tests.fakes import FakeClock

__all__ = ["FakeAttemptStore", "FakeProcesses", "ModelStore", "claim_of", "message"]

_fences = count(1)


class ModelStore(Model):
    """The model, as a store that may be away."""

    location = "the model"

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, v.StoreOptions(audit="all"))
        self.away = False

    def _here(self) -> None:
        if self.away:
            raise StoreUnavailable("the model is away")

    def exchange(self, *args: Any) -> v.Exchange:
        self._here()
        return super().exchange(*args)

    def heartbeat(self, *args: Any) -> v.Heartbeat:
        self._here()
        return super().heartbeat(*args)

    def open_session(self, *args: Any) -> None:
        self._here()
        super().open_session(*args)

    def close_session(self, *args: Any) -> int:
        self._here()
        return super().close_session(*args)

    def held(self, *args: Any) -> tuple[v.Claim, ...]:
        self._here()
        return super().held(*args)

    def reap(self, *args: Any, **by: Any) -> v.Reaped:
        self._here()
        return super().reap(*args, **by)


@dataclass
class FakeProcesses:
    """Processes that exist on paper: the test says what they run and how they die."""

    born: dict[int, str] = field(default_factory=dict)
    posted: dict[int, tuple[Posted, ...]] = field(default_factory=dict)
    heard: dict[int, int] = field(default_factory=dict)
    full: bool = False
    ended: dict[int, frozenset[int]] = field(default_factory=dict)
    deaths: list[tuple[int, str]] = field(default_factory=list)
    drained: list[int] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    terminated: list[tuple[int, int, str]] = field(default_factory=list)
    alone: bool = True
    told_softly: list[int] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def spawn(self, session: str) -> int:
        if self.full:
            raise BlockingIOError("Resource temporarily unavailable")
        pid = 100 + len(self.born)
        self.born[pid] = session
        return pid

    def drain(self, pid: int) -> None:
        self.drained.append(pid)

    def soft_limit(self, pid: int) -> None:
        self.told_softly.append(pid)

    def kill(self, pid: int) -> None:
        self.killed.append(pid)
        self.deaths.append((pid, "SIGKILL"))

    def terminate(self, pid: int, fence: int, signal: str) -> bool:
        self.terminated.append((pid, fence, signal))
        if signal == "SIGKILL":
            self.kill(pid)
        return self.alone

    def dead(self) -> list[tuple[int, str]]:
        deaths, self.deaths = self.deaths, []
        return deaths

    def running(self, pid: int) -> tuple[Posted, ...]:
        return self.posted.get(pid, ())

    def begun(self, pid: int) -> frozenset[int]:
        return self.ended.get(pid, frozenset()) | {p.fence for p in self.running(pid)}

    def answers(self, pid: int) -> int:
        return self.heard.get(pid, 0)

    def forget(self, pid: int) -> None:
        self.posted.pop(pid, None)

    def gone_sessions(self, sessions: tuple[v.SessionInfo, ...]) -> list[str]:
        return [s.id for s in sessions if s.id in self.gone]


class FakeAttemptStore(AttemptStore):
    """Notes what a body reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, bytes]] = []

    def report(self, state: str, meta: bytes) -> None:
        self.reports.append((state, meta))


def message(message_id: str, task: str = "add", *args: Any, **fields: Any) -> Message:
    """A message as `calls` would build it."""
    return Message(
        id=message_id,
        task=task,
        payload=dumps_call(args, fields.pop("kwargs", {}), "json"),
        headers=encode_headers(Headers(**fields.pop("headers", {}))),
        **fields,
    )


def claim_of(message_id: str, task: str = "add", *args: Any, **fields: Any) -> v.Claim:
    """A claim, as a store would hand it out, with a fence above all before it."""
    values: dict[str, Any] = {
        "queue": "celery",
        "priority": 0,
        "payload": dumps_call(args, fields.pop("kwargs", {}), "json"),
        "headers": encode_headers(Headers(**fields.pop("headers", {}))),
        "fence": next(_fences),
        "attempt": 1,
        "delivery": 1,
        "bounces": 0,
        "max_deliveries": 5,
        "enqueued_ms": 0,
        "first_started_ms": 0,
        "started_ms": 0,
    }
    return v.Claim(id=message_id, task=task, **(values | fields))
