"""The store as a program sees it whose app names a broker.

What it enqueues is published, and the bridge of a worker stores it: until then the broker's
promises hold, not ours. What it reads comes from the result backend. All else needs the store.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.config.backend import named_backend
from reliable_tasks.config.conf import store_url
from reliable_tasks.config.masks import mask_url
from reliable_tasks.core import clock
from reliable_tasks.core.message import FINAL_STATES
from reliable_tasks.errors import ConfigError
from reliable_tasks.store import open_store, store_options
from reliable_tasks.store.values import Enqueued, Receipt, ReceiptKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reliable_tasks.config.conf import Conf
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Message
    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Batch, Health, Record

__all__ = ["BridgeDoor", "BrokerStore", "backend_options"]

_EXTRA = "pip install 'reliable-tasks[bridge]'"
_WEAKER = (
    "messages come through the broker {place}: until the bridge has stored a message the broker's "
    "promises hold, and that a once-task's call is a duplicate is known only then"
)
_OF_BACKENDS = ("cache_", "database_", "mongodb_", "result_backend_", "cassandra_", "s3_")


class BridgeDoor:
    """What an app asks of the bridge: a `Door` as `core.doors` has it.

    Raises:
        ConfigError: kombu is not installed.
    """

    def __init__(self) -> None:
        if not _installed("kombu"):
            raise ConfigError(f"a broker's URL needs kombu, which is not installed: {_EXTRA}")

    def store_of(self, app: AppContext) -> Store:
        """The store as a program sees it that knows the broker."""
        opened: Any = BrokerStore(app)
        return opened  # type: ignore[no-any-return]


def _installed(name: str) -> bool:
    if name in sys.modules:  # kombu puts a module there of which importlib cannot tell
        return sys.modules[name] is not None
    return importlib.util.find_spec(name) is not None


def backend_options(conf: Conf) -> dict[str, Any]:
    """Celery's settings of its result backends, as the program has set them."""
    return {
        name: conf[name]
        for name in conf.given()
        if name.startswith(_OF_BACKENDS) and conf[name] is not None
    }


def results_of(app: AppContext) -> Any:
    """Where results are read; None where the app names no backend."""
    settings = app.settings
    url = named_backend(settings.result_backend)
    if url is None:
        return None
    options = settings.broker_transport_options
    if url.startswith("rpc:"):
        from .replies import Replies  # noqa: PLC0415 - imports kombu

        return Replies(settings.broker_url, options, settings.socket_seconds)
    if not _installed("celery"):
        raise ConfigError(
            f"result_backend={mask_url(url)!r} is read by Celery's own classes, and Celery is not "
            f"installed: {_EXTRA}"
        )
    from .backends import Kept  # noqa: PLC0415 - imports Celery

    return Kept(url, settings, backend_options(app.conf))


class BrokerStore:
    """A store with a broker before it. What it has no method for is the store's own.

    Args:
        app: whose messages go through it. Where the app says which queues it serves, this is a
            worker: what goes to those is stored here and now.
    """

    def __init__(self, app: AppContext) -> None:
        from .publishing import Publisher  # noqa: PLC0415 - imports kombu

        settings = app.settings
        self._app, self._settings = app, settings
        self._served = app.served or frozenset()
        self.options = store_options(settings)
        transport = settings.broker_transport_options
        self._publisher = Publisher(settings.broker_url, transport, settings.socket_seconds)
        self._results = results_of(app)
        self._inner: Store | None = None

    # The store behind it -------------------------------------------------------------------------

    def _store(self, why: str) -> Store:
        """The store itself.

        Raises:
            ConfigError: this program knows the broker only.
        """
        if self._inner is None:
            if not self._served and self._settings.store_url is None:
                raise ConfigError(
                    f"{why} needs the store, and this program knows only the broker "
                    f"{self._publisher.place}: name the worker's store as well "
                    "(App(…, store_url='redis://…')), or do it with `reliable-tasks -A …` where "
                    "the worker is"
                )
            self._inner = open_store(store_url(self._settings), self._settings)
        return self._inner

    def __getattr__(self, name: str) -> Any:
        """A verb of the store's own."""
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._store(f"{name}()"), name)
        if callable(found):
            self.__dict__[name] = found  # a worker asks a thousand times a second
        return found

    @property
    def location(self) -> str:
        """Where it is; for a program that knows the broker only, where that is."""
        return self._store("").location if self._served else self._publisher.place

    def now_ms(self) -> int:
        """The store's clock; this machine's, for a program that knows the broker only."""
        return self._store("").now_ms() if self._served else clock.now_ms()

    def health(self) -> Health:
        """What holds, and what the broker takes from it."""
        health = self._store("health()").health()
        weaker = _WEAKER.format(place=self._publisher.place)
        return msgspec.structs.replace(health, warnings=(*health.warnings, weaker))

    def close(self) -> None:
        """Give back connections; the next verb opens them again."""
        self._publisher.close()
        if self._results is not None:
            self._results.close()
        if self._inner is not None:
            self._inner.close()

    # Enqueueing ----------------------------------------------------------------------------------

    def enqueue(self, batch: Batch) -> Enqueued:
        """Publish messages; store those that are for the queues that are served here.

        Raises:
            StoreUnavailable: the broker (or the store) is away. Some may have been published.
            ConfigError: the broker has no place for what is asked.
        """
        if batch.stage is not None or any(m.edges or m.waits for m in batch.messages):
            return self._store(_CANVAS).enqueue(batch)
        away = [m for m in batch.messages if m.queue not in self._served]
        receipts = {m.id: Receipt(id=m.id, kind=ReceiptKind.PUBLISHED) for m in away}
        if away:
            self._publish(away, batch)
        if len(away) < len(batch.messages):
            here = tuple(m for m in batch.messages if m.id not in receipts)
            stored = self._store("").enqueue(msgspec.structs.replace(batch, messages=here))
            receipts |= {m.id: r for m, r in zip(here, stored.receipts, strict=True)}
        return Enqueued(receipts=tuple(receipts[m.id] for m in batch.messages))

    def _publish(self, messages: Sequence[Message], batch: Batch) -> None:
        from .outgoing import outgoing  # noqa: PLC0415 - only those who publish need it

        if batch.durable is not None:
            raise ConfigError(
                f"durable={batch.durable!r} is about the store, and the broker "
                f"{self._publisher.place} knows nothing of it: set `durable` where the worker is"
            )
        now_ms = clock.now_ms()
        reply_to = self._results.address() if self._results is not None else ""
        self._publisher.publish([outgoing(self._app, m, now_ms, reply_to) for m in messages])

    # Reading -------------------------------------------------------------------------------------

    def read(self, ids: Sequence[str], *, full: bool = False) -> tuple[Record | None, ...]:
        """What the backend says of messages; in a worker the store is asked first."""
        if self._results is None or self._served:
            found = self._store("reading results without a result_backend").read(ids, full=full)
            if self._results is None:
                return found
            return tuple(
                self._told(message_id) if record is None else record
                for message_id, record in zip(ids, found, strict=True)
            )
        return tuple(self._told(message_id) for message_id in ids)

    def _told(self, message_id: str) -> Record | None:
        from .metas import record_of  # noqa: PLC0415 - only those who read need it

        meta = self._results.meta(message_id)
        return record_of(message_id, meta, self._settings.result_serializer)

    def read_ended(self, message_id: str, timeout: float) -> Record | None:
        """Block until a message has ended."""
        if self._results is None or self._served:
            store = self._store("reading results without a result_backend")
            return store.read_ended(message_id, timeout)
        until = clock.monotonic() + min(timeout, _MOST_WAIT_S)
        while True:
            record = self._told(message_id)
            if record is not None and record.state in FINAL_STATES:
                return record
            left = until - clock.monotonic()
            if left <= 0:
                return None
            self._results.wait([message_id], left)

    def wait(
        self, seen: dict[str, int], timeout: float, *, ended: bool = False, wake_fd: int = -1
    ) -> bool:
        """Block until one of these messages has another version than the one seen."""
        if self._results is None or self._served:
            store = self._store("reading results without a result_backend")
            return store.wait(seen, timeout, ended=ended, wake_fd=wake_fd)
        if self._changed(seen, ended=ended):
            return True
        self._results.wait(list(seen), min(timeout, _MOST_WAIT_S), wake_fd)
        return self._changed(seen, ended=ended)

    def _changed(self, seen: Mapping[str, int], *, ended: bool) -> bool:
        for message_id, version in seen.items():
            record = self._told(message_id)
            if ended:
                if record is not None and record.state in FINAL_STATES:
                    return True
            elif (-1 if record is None else record.version) != version:
                return True
        return False

    def drop(self, ids: Sequence[str]) -> int:
        """Forget results."""
        if self._results is None or self._served:
            return self._store("forgetting results without a result_backend").drop(ids)
        return sum(self._results.forget(message_id) for message_id in ids)


_MOST_WAIT_S = 1.0
_CANVAS = (
    "a workflow (a call with links, a chain, a chord) is stored whole, which a broker cannot do: it"
)
