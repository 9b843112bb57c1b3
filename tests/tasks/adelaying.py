"""An app whose store can be held back, and how tests of `adelay` run their coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, OnceTask
from reliable_tasks.errors import StoreError, StoreUnavailable
from tests.faults.standing import Standing
from tests.patience import PATIENCE_S
from tests.store.empty import empty_store

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from reliable_tasks.store.values import Batch, Enqueued

__all__ = ["Harness", "Watched", "harness", "here", "run"]


class Watched(Standing):
    """A store whose `enqueue` can be held back, and be away or refuse; it notes each batch."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.batches: list[list[str]] = []
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.away = 0
        self.refused: set[str] = set()

    def enqueue(self, batch: Batch) -> Enqueued:
        names = [message.task for message in batch.messages]
        self.batches.append(names)
        self.entered.set()
        assert self.free.wait(PATIENCE_S)
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        if self.refused & set(names):
            raise StoreError(f"refused: {sorted(self.refused & set(names))}")
        enqueued: Enqueued = self.inner.enqueue(batch)
        return enqueued


class Harness:
    def __init__(self, url: str) -> None:
        policy = {"interval_start": 0, "interval_step": 0, "interval_max": 0}
        self.app = App("adelay", broker=url, task_publish_retry_policy=policy)
        self.watched = Watched(self.app.store)
        self.app.store = self.watched

        @self.app.task(name="add")
        def add(x: int, y: int) -> int:
            return x + y

        @self.app.task(name="other")
        def other(x: int) -> int:
            return x

        @self.app.task(name="once", base=OnceTask, once={"keys": ["n"]})
        def once(n: int, who: int) -> int:
            return n + who

        self.add, self.other, self.once = add, other, once

    def stored(self) -> int:
        states = self.app.store.counts().states
        return sum(states.values())


@contextlib.contextmanager
def _open(url: str) -> Iterator[Harness]:
    harness = Harness(url)
    try:
        yield harness
    finally:
        harness.watched.free.set()
        harness.app.close()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    """One on each store."""
    with _open(empty_store(request, tmp_path)) as opened:
        yield opened


@pytest.fixture
def here() -> Iterator[Harness]:
    """One for what does not depend on the store."""
    with _open("sqlite://") as opened:
        yield opened


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE_S))
