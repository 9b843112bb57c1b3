"""An app with a few tasks, on a store with a virtual clock, and schedulers for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reliable_tasks import App, OnceTask
from reliable_tasks.beat.scheduler import Scheduler
from reliable_tasks.beat.sync import code_definitions, sync
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import ClaimRequest, MessageQuery, SessionInfo, StoreOptions
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Claim, Entry, Record

__all__ = ["Driver"]

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


def make_app(**settings: Any) -> App:
    app = App("tests", broker="sqlite://", set_as_current=False, **settings)

    @app.task(name="add")
    def add(a: int, b: int = 0) -> int:
        return a + b

    @app.task(name="mail", queue="mails", priority=3)
    def mail(to: str) -> str:
        return to

    @app.task(name="once", base=OnceTask)
    def once(x: int = 0) -> int:
        return x

    return app


@dataclass
class Driver:
    """Everything a test of beat needs; the time is the clock's."""

    clock: FakeClock = field(default_factory=FakeClock)
    app: App = field(default_factory=make_app)

    def __post_init__(self) -> None:
        self.app.store = SqliteStore(None, StoreOptions(audit="all"), self.clock)
        self.scheduler = Scheduler(self.app.store, app=self.app)

    @property
    def store(self) -> Store:
        return self.app.store

    @property
    def now(self) -> int:
        return self.clock.now

    def sync(self, entries: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
        """Start a beat whose code has these entries; returns what it changed."""
        if entries is not None:
            self.app.conf.beat_schedule = entries
        code = code_definitions(self.app, self.now)
        self.scheduler.changed()
        return [(c.kind, c.entry.name) for c in sync(self.app, self.store, code, self.now)]

    def add(self, name: str, schedule: Any, task: str = "add", **given: Any) -> Entry:
        given.setdefault("args", (1,) if task == "add" else ())
        self.sync({**self.app.conf.beat_schedule, name: given | self._call(task, schedule)})
        return self.entry(name)

    @staticmethod
    def _call(task: str, schedule: Any) -> dict[str, Any]:
        return {"task": task, "schedule": schedule}

    def entry(self, name: str) -> Entry:
        return next(e for e in self.store.entries() if e.name == name)

    def step(self, ms: int = 0) -> int:
        """Let time pass and take a step; returns how long the scheduler wants to sleep."""
        self.clock.advance(ms)
        return self.scheduler.step(self.now) - self.now

    def messages(self) -> tuple[Record, ...]:
        ids = [record.id for record in self.store.find(MessageQuery(limit=10_000))]
        found = [r for r in self.store.read(ids, full=True) if r is not None]
        return tuple(sorted(found, key=lambda record: (record.enqueued_ms, record.due_ms or 0)))

    def claim(self, *queues: str) -> tuple[Claim, ...]:
        self.store.open_session(SessionInfo(id="s", worker="w", queues=queues), DAY)
        return self.store.exchange(
            "s", (), ClaimRequest(queues=queues or ("celery",), limit=100)
        ).claims
