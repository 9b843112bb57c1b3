"""A supervisor on virtual time, for tests."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

from reliable_tasks import events
from reliable_tasks.store import values as v
from reliable_tasks.worker.scoreboard import Posted
from reliable_tasks.worker.store_calls import Answer
from reliable_tasks.worker.supervisor import Supervisor, SupervisorOptions
from tests.fakes import FakeClock
from tests.worker.fakes import FakeProcesses, ModelStore, message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.store.protocol import Store
    from reliable_tasks.worker.store_calls import Call, StoreCalls

LEASE_MS = 20_000
INFO = v.SessionInfo(id="", worker="w@here", host="here", pid=7, queues=("celery",))


class World:
    """A supervisor, its store, its processes and the time."""

    def __init__(
        self,
        children: int = 1,
        calls: StoreCalls | None = None,
        *,
        patience_s: float = 60.0,
    ) -> None:
        self.clock = FakeClock()
        self.store = ModelStore(self.clock)
        self.processes = FakeProcesses()
        self.now = 0.0
        self.options = SupervisorOptions(info=INFO, children=children, patience_s=patience_s)
        self.start(calls)

    def start(self, calls: StoreCalls | None = None) -> None:
        store = cast("Store", self.store)
        self.supervisor = Supervisor(store, self.processes, self.options, calls)
        self.step()

    def step(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.clock.advance(round(seconds * 1000))
        self.supervisor.step(self.now)

    @property
    def pid(self) -> int:
        """Of the child that was born last."""
        return max(self.processes.born)

    def finished(self) -> bool:
        return self.supervisor.finished

    def put(self, *ids: str) -> None:
        self.store.enqueue(v.Batch(messages=tuple(message(i) for i in ids)))

    def claim(self, limit: int = 1) -> tuple[v.Claim, ...]:
        session = self.processes.born[self.pid]
        return self.store.exchange(
            session, (), v.ClaimRequest(queues=("celery",), limit=limit)
        ).claims

    def runs(self, claim: v.Claim, soft_s: float = 0.0, hard_s: float = 0.0) -> None:
        soft, hard = (self.now + s if s else 0.0 for s in (soft_s, hard_s))
        self.processes.posted[self.pid] = (Posted(claim.id, claim.fence, self.now, soft, hard),)

    def record(self, message_id: str) -> v.Record:
        (record,) = self.store.read([message_id])
        assert record is not None
        return record


class Slow:
    """A store that answers when the test says so."""

    def __init__(self) -> None:
        self._call: Call | None = None
        self._answer: Answer | None = None

    def send(self, call: Call) -> None:
        self._call = call

    def take(self) -> Answer | None:
        answer, self._answer = self._answer, None
        return answer

    def go_on(self, world: World) -> None:
        """Let it answer until nothing is asked."""
        while self._call is not None:
            call, self._call = self._call, None
            self._answer = Answer(call(cast("Store", world.store)))
            world.step()


@contextlib.contextmanager
def listening() -> Iterator[dict[str, list[dict[str, Any]]]]:
    """What is emitted meanwhile, by its name."""
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)

    unsubscribe = events.subscribe(lambda name, fields: told[name].append(dict(fields)))
    try:
        yield told
    finally:
        unsubscribe()
