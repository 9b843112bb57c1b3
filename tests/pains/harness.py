"""An app on a store of each kind in virtual time, with a real executor to run its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks import App, OnceTask
from reliable_tasks.store.values import AuditQuery, ClaimRequest, SessionInfo
from reliable_tasks.testing.worker import InlineWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.results.result import AsyncResult
    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Claim, Record
    from reliable_tasks.testing.time import VirtualTime

__all__ = ["LEASE_MS", "Harness"]

LEASE_MS = 20_000


class Harness:
    """What a test of once-tasks needs.

    Attributes:
        done: the arguments of every body that ran, in order.
        during: called by the next body, once, while it runs.
    """

    def __init__(self, app: App, time: VirtualTime) -> None:
        self.app = app
        self.time = time
        self.done: list[Any] = []
        self.during: Callable[[], object] | None = None

    @property
    def store(self) -> Store:
        return self.app.store

    def task(self, name: str = "once", *, app: App | None = None, **options: Any) -> Any:
        """A once-task of one argument, whose body notes it and then does what `during` says."""

        def body(x: Any, y: Any = 0) -> Any:
            self.done.append(x)
            during, self.during = self.during, None
            if during is not None:
                during()
            return x

        made: Any = (app or self.app).task(name=name, base=OnceTask, **options)
        return made(body)

    def run(self, *, advance: bool = True) -> list[Any]:
        """Run all there is; returns the arguments of the bodies that ran."""
        before = len(self.done)
        InlineWorker(self.app, self.time).run(1000, advance=advance)
        return self.done[before:]

    def claim(self, session: str = "dying") -> Claim:
        """Claim the next message for a worker that is never heard of again."""
        self.store.open_session(SessionInfo(id=session, worker=session), LEASE_MS)
        (claim,) = self.store.exchange(
            session, (), ClaimRequest(queues=("celery",), limit=1)
        ).claims
        return claim

    def lapse(self) -> None:
        """Let the lease of every dead worker pass."""
        self.time.advance(LEASE_MS / 1000)
        self.store.reap()

    def record(self, result: AsyncResult[Any]) -> Record:
        (record,) = self.store.read([result.id], full=True)
        assert record is not None
        return record

    def holder(self, task: Any, *args: Any) -> str | None:
        """Who holds the key of a call."""
        found = self.store.locks(task.get_key(args))
        return found[0].owner if found else None

    def trail(self, event: str) -> list[str]:
        """The messages of which this is told, as often as it happened."""
        rows = self.store.audit(AuditQuery(event=event))
        return [row.id for row in rows for _ in range(row.count)]
