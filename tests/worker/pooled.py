"""Pools that run in the test's own process, over a real exchanger and a store in memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from reliable_tasks.attempts.executor import Executor
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.exchanger import ThreadedExchanger
from reliable_tasks.worker.pools import pool_class
from reliable_tasks.worker.scoreboard import Scoreboard
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from reliable_tasks import App
    from reliable_tasks.worker.pools.base import Pool

__all__ = ["POOLS", "SLOTS", "Running"]

SLOTS = 4
POOLS = ["prefork", "threads", "asyncio"]


class Running:
    """A pool that runs; its own thread stands for the child's main thread."""

    def __init__(
        self, app: App, name: str, executor: Executor | None = None, slots: int = SLOTS
    ) -> None:
        self.board = Scoreboard(slots)
        chosen = pool_class(name)
        slots = 1 if chosen.many_processes else slots
        self.pool: Pool = chosen(executor or Executor(app, "w@h"), app.store, self.board, slots)
        queues = ("celery",)
        consumer = Consumer(queues, slots)
        self.pool.exchanger = ThreadedExchanger(consumer, app.store, "s", self.pool.claims_came)
        self.pool.exchanger.start()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.pool.run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.exchanger.drain()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.pool.exchanger.join()
        assert self.board.running() == ()
