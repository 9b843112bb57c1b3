"""What Celery's producers really send, taken out of a queue as the bridge finds it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import celery

from reliable_tasks.contrib.bridge.kombu_source import KombuSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.contrib.bridge.sources import Delivery

__all__ = ["Producer"]


def add(x: Any, y: Any) -> Any:
    return x + y


def total(values: list[int]) -> int:
    return sum(values)


class Producer:
    """An old program: Celery's app with its tasks, and a queue of its own in this process."""

    def __init__(self, url: str = "memory://", **conf: Any) -> None:
        self.queue = f"q-{uuid.uuid4().hex}"
        self.url = url
        self.app = celery.Celery("old", broker=url, backend="cache+memory://", set_as_current=False)
        self.app.conf.update(task_default_queue=self.queue, **conf)
        self.add: Any = self.app.task(add, name="old.add")
        self.total: Any = self.app.task(total, name="old.total")

    def source(self, **options: Any) -> KombuSource:
        given = {"prefetch": 100, "drain": True, **options}
        return KombuSource(self.url, [self.queue], **given)

    def sent(self, send: Callable[[], object]) -> list[Delivery]:
        """The deliveries that a call of Celery's makes."""
        send()
        source = self.source()
        try:
            found = source.batch(1000, 0.0)
            source.ack(found)
            return found
        finally:
            source.close()

    def close(self) -> None:
        self.app.close()
