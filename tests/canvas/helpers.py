"""A harness: an app on a store, and a worker that runs one round whenever somebody waits."""

import contextvars
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from reliable_tasks import App
from reliable_tasks.attempts.executor import Executor, StartedAttempt
from reliable_tasks.canvas.replacing import extended
from reliable_tasks.core import outcome
from reliable_tasks.core.message import FINAL_STATES
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.store import values as v
from reliable_tasks.worker.pools.base import FencedStore
from tests.fakes import FakeClock
from tests.faults.standing import Standing

if TYPE_CHECKING:
    from reliable_tasks.store.protocol import Store

LEASE_MS = 10**9


Open = Callable[..., "Harness"]
"""Opens a harness, with settings of its app as keywords."""


class Stuck(AssertionError):
    """Somebody waits, and nothing is left to do."""


class DrivenStore(Standing):
    """A store whose waits let the harness's worker work."""

    def __init__(self, inner: Any, work: Callable[[], bool]) -> None:
        super().__init__(inner)
        self._work = work
        self.batches = list[v.Batch]()
        self.dies_after: int | None = None

    def enqueue(self, batch: v.Batch) -> v.Enqueued:
        if len(self.batches) == self.dies_after:
            raise StoreUnavailable("the producer is gone")
        self.batches.append(batch)
        return cast("v.Enqueued", self.inner.enqueue(batch))

    def wait(
        self, seen: dict[str, int], timeout: float, *, ended: bool = False, wake_fd: int = -1
    ) -> bool:
        assert seen
        assert timeout > 0
        if not self._work():
            raise Stuck(f"{list(seen)} never end")
        return True

    def read_ended(self, message_id: str, timeout: float) -> v.Record | None:
        (record,) = self.inner.read([message_id])
        if record is not None and record.state in FINAL_STATES:
            return cast("v.Record", record)
        self.wait({message_id: -1}, timeout)
        return None


class Harness:
    """An app, its store and its worker; time passes when nothing else can happen."""

    def __init__(self, store: Any, clock: FakeClock, **settings: Any) -> None:
        self.clock = clock
        self.app = App("harness", set_as_current=False, **settings)
        self.store = DrivenStore(store, self.work)
        self.app.store = cast("Store", self.store)
        self.ran = Counter[str]()
        self.queues: tuple[str, ...] = ("celery", "other")
        self.session = ""
        self.sessions = 0
        self.limit = 10

    def open_session(self) -> str:
        self.sessions += 1
        self.session = f"s{self.sessions}"
        self.store.open_session(v.SessionInfo(id=self.session, worker="harness@here"), LEASE_MS)
        return self.session

    def claim(self) -> tuple[v.Claim, ...]:
        if not self.session:
            self.open_session()
        want = v.ClaimRequest(queues=self.queues, limit=self.limit)
        reply: v.Exchange = self.store.exchange(self.session, (), want)
        if reply.lost:
            self.open_session()
            reply = self.store.exchange(self.session, (), want)
        while not reply.claims and reply.next_due_ms is not None:
            self.clock.now = max(self.clock.now, reply.next_due_ms)
            reply = self.store.exchange(self.session, (), want)
        return reply.claims

    def run(self, claim: v.Claim) -> outcome.Outcome:
        """The outcome of one attempt, in a context of its own."""
        return contextvars.copy_context().run(self._run, claim)

    def _run(self, claim: v.Claim) -> outcome.Outcome:
        self.ran[claim.task] += 1
        executor = Executor(self.app, "harness@here")
        started = executor.begin(claim, FencedStore(cast("Store", self.store), claim))
        if not isinstance(started, StartedAttempt):
            return started
        try:
            value = started.run(*started.args, **started.kwargs)
        except Exception as exc:  # noqa: BLE001 - as a pool does
            return executor.raised(started, exc)
        done = executor.returned(started, value)
        if isinstance(done, outcome.Succeeded) and started.request.get("additions"):
            return outcome.Replaced(messages=extended(started, value))
        return done

    def commit(self, claims: Sequence[v.Claim]) -> tuple[v.Verdict, ...]:
        commits = [v.Commit(id=c.id, fence=c.fence, outcome=self.run(c)) for c in claims]
        reply: v.Exchange = self.store.exchange(self.session, commits, None)
        return reply.verdicts

    def work(self) -> bool:
        """One round: claim a few messages, run them, commit; False when nothing has happened."""
        before = self.clock.now
        claims = self.claim()
        if claims:
            self.commit(claims)
        return bool(claims) or self.clock.now != before

    def drain(self) -> None:
        """Work until nothing is left."""
        while self.work():
            pass

    def records(self) -> list[v.Record]:
        """All records, in full."""
        found: tuple[v.Record, ...] = self.store.find(v.MessageQuery(limit=1000))
        full = self.store.read([record.id for record in found], full=True)
        return [record for record in full if record is not None]

    def unended(self) -> list[str]:
        """What has not ended, for tests that say all must."""
        return [f"{r.task} {r.state}" for r in self.records() if r.state not in FINAL_STATES]


def add_tasks(app: App) -> Any:
    """Small tasks that most tests use; returns them by name."""

    class Tasks:
        @staticmethod
        @app.task(name="add")
        def add(x: Any, y: Any) -> Any:
            return x + y

        @staticmethod
        @app.task(name="xsum")
        def xsum(values: Any) -> Any:
            return sum(values)

        @staticmethod
        @app.task(name="echo")
        def echo(value: Any = None) -> Any:
            return value

        @staticmethod
        @app.task(name="pair")
        def pair(value: Any, label: str) -> list[Any]:
            return [label, value]

        @staticmethod
        @app.task(name="boom", throws=(ValueError,))
        def boom(value: Any = None) -> Any:
            raise ValueError(f"boom {value}")

    return Tasks
