"""A bridge between a broker of the test's own and a store of either kind."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, OnceTask, events
from reliable_tasks.contrib.bridge import bridge as bridge_module
from reliable_tasks.contrib.bridge.bridge import Bridge
from reliable_tasks.contrib.bridge.letters import QUEUE, TASK
from reliable_tasks.contrib.bridge.sources import Delivery
from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import State
from reliable_tasks.store.values import Batch, MessageQuery
from reliable_tasks.testing.background import BackgroundWorker
from tests.faults.standing import Standing
from tests.process.conftest import store_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "Broker",
    "Died",
    "Failing",
    "app",
    "broker",
    "call",
    "dead",
    "heard",
    "ids",
    "letter",
    "no_pauses",
    "run",
    "run_until_empty",
    "store_url",
    "work",
]


class Died(BaseException):
    """Stands for `kill -9`: nothing goes on after it."""


class Broker:
    """A broker's queue: what is not acknowledged is delivered again."""

    def __init__(self) -> None:
        self.ready: list[Delivery] = []
        self.held: list[Delivery] = []
        self.fails: list[BaseException] = []
        self.die_at: str | None = None
        self.acked = 0
        self.emptied = threading.Event()

    def batch(self, limit: int, seconds: float) -> list[Delivery]:
        if self.fails:
            self.close()
            raise self.fails.pop(0)
        found, self.ready = self.ready[:limit], self.ready[limit:]
        self.held += found
        if not found:
            self.emptied.set()
        return found

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        if self.die_at == "ack":
            raise Died
        self.acked += len(deliveries)
        self.held = [d for d in self.held if d not in deliveries]

    def close(self) -> None:
        self.ready, self.held = self.held + self.ready, []


class Failing(Standing):
    """A store whose `enqueue` fails for a while, before or after it has stored."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.before: list[BaseException] = []
        self.after: list[BaseException] = []

    def enqueue(self, batch: Batch) -> Any:
        if self.before:
            raise self.before.pop(0)
        done = self.inner.enqueue(batch)
        if self.after:
            raise self.after.pop(0)
        return done


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Never:
        @staticmethod
        def pause_s(_: int) -> float:
            return 0.0

    monkeypatch.setattr(bridge_module, "_BACKOFF", Never)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(bridge_module, "_source", lambda *_, **__: (made, False))
    return made


@pytest.fixture
def app(store_url: str) -> Iterator[App]:
    with App("new", broker=store_url, audit="all", set_as_current=False) as made:
        made.ran = []  # type: ignore[attr-defined]

        @made.task(name="add")
        def add(x: int, y: int) -> int:
            made.ran.append((x, y))  # type: ignore[attr-defined]
            return x + y

        @made.task(name="once", base=OnceTask)
        def once(x: int) -> int:
            return x

        made.store.counts()
        yield made


@pytest.fixture
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    told: list[tuple[str, dict[str, Any]]] = []

    def hear(name: str, fields: Mapping[str, Any]) -> None:
        told.append((name, dict(fields)))

    undo = events.subscribe(hear)
    yield told
    undo()


def call(name: str, *args: Any, task: str = "add", embed: Any = None, **fields: Any) -> Delivery:
    body = json.dumps([args, {}, embed or {}]).encode()
    headers = {"task": task, "id": name, "lang": "py", **fields}
    return Delivery("celery", body, "application/json", "utf-8", headers)


def run(app: App, **options: Any) -> Any:
    return Bridge(app, "fake://", {"celery": "celery"}, once=True, **options).run(threading.Event())


def run_until_empty(app: App, broker: Broker) -> Any:
    """Run a bridge that waits for what is away, until the broker has no more."""
    return Bridge(app, "fake://", {"celery": "celery"}).run(broker.emptied)


def work(app: App, *queues: str) -> None:
    """Run all that is due."""
    worker = BackgroundWorker(app)
    worker._consume(*(queues or ("celery",)))
    worker.run(10_000, advance=False)


def ids(app: App) -> list[str]:
    return sorted(record.id for record in app.store.find(MessageQuery(limit=1000)))


def dead(app: App) -> dict[str, str]:
    """The ids of dead letters, and why they are."""
    found = app.store.find(MessageQuery(dead=True))
    return {record.id: decode_failure(record.failure or b"").message for record in found}


def letter(app: App, message_id: str) -> dict[str, Any]:
    (record,) = app.store.read([message_id], full=True)
    assert record is not None
    assert (record.task, record.queue, record.state) == (TASK, QUEUE, State.FAILED)
    return loads_call(record.payload or b"", "json")[1]
