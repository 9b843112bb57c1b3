"""The store as a program sees it whose app names a broker.

What it enqueues is published, and the bridge of a worker stores it: until then the broker's
promises hold, not ours. What it reads comes from the result backend. All else needs the store.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.config.backend import named_backend
from reliable_tasks.config.conf import store_url
from reliable_tasks.config.masks import mask_url
from reliable_tasks.core import clock
from reliable_tasks.core.message import FINAL_STATES
from reliable_tasks.errors import ConfigError
from reliable_tasks.store import open_store, store_options
from reliable_tasks.store.values import Enqueued, Receipt, ReceiptKind, batch_of

from .extra import EXTRA, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Kind, Message
    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Batch, Health, Record

__all__ = ["BridgeDoor", "BrokerStore"]

_WEAKER = (
    "messages come through the broker {place}: until the bridge has stored a message the broker's "
    "promises hold, and that a once-task's call is a duplicate is known only then"
)


class BridgeDoor:
    """What an app asks of the bridge: a `Door` as `core.doors` has it.

    Raises:
        ConfigError: kombu is not installed.
    """

    def __init__(self) -> None:
        if not installed("kombu"):
            raise ConfigError(f"a broker's URL needs kombu, which is not installed: {EXTRA}")

    def store_of(self, app: AppContext) -> Store:
        """The store as a program sees it that knows the broker."""
        opened: Any = BrokerStore(app)
        return opened  # type: ignore[no-any-return]

    def companion(self, app: AppContext, queues: Sequence[str]) -> Callable[[], int]:
        """The bridge that a worker runs in a process of its own; it ends with this process.

        Raises:
            ConfigError: a library is missing, or the URL names no broker.
        """
        from .companion import bridge_of, run_beside  # noqa: PLC0415 - only workers need it

        bridge_of(app, queues)  # what is wrong is said before anything runs
        return partial(run_beside, app, tuple(queues), os.getpid())


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
    if not installed("celery"):
        raise ConfigError(
            f"result_backend={mask_url(url)!r} is read by Celery's own classes, and Celery is not "
            f"installed: {EXTRA}"
        )
    from .backends import Kept, backend_options  # noqa: PLC0415 - imports Celery

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
            return self._stored(batch, _CANVAS)
        away = [m for m in batch.messages if m.queue not in self._served]
        if away:
            self._publish(away, batch)
        here = tuple(m for m in batch.messages if m.queue in self._served)
        stored: Iterator[Receipt] = iter(())
        if here:
            part = msgspec.structs.replace(batch, messages=here)
            stored = iter(self._stored(part, "").receipts)
        return Enqueued(
            receipts=tuple(
                next(stored)
                if m.queue in self._served
                else Receipt(id=m.id, kind=ReceiptKind.PUBLISHED)
                for m in batch.messages
            )
        )

    def enqueue_plain(
        self,
        kind: Kind,
        ids: Sequence[str],
        payloads: Sequence[bytes],
        durable: str | None = None,
    ) -> tuple[Receipt, ...]:
        """Store plain calls of one kind, as `enqueue` does."""
        return self.enqueue(batch_of(kind, ids, payloads, durable)).receipts

    def _publish(self, messages: Sequence[Message], batch: Batch) -> None:
        from .outgoing import outgoing  # noqa: PLC0415 - only those who publish need it

        if batch.durable is not None:
            raise ConfigError(
                f"durable={batch.durable!r} is about the store, and the broker "
                f"{self._publisher.place} knows nothing of it: set `durable` where the worker is"
            )
        now_ms = clock.now_ms()
        reply_to = self._results.address() if self._results is not None else ""
        high_first = self._publisher.high_first
        said = [outgoing(self._app, m, now_ms, reply_to, high_first=high_first) for m in messages]
        self._publisher.publish(said)

    def _stored(self, batch: Batch, why: str) -> Enqueued:
        """Store a batch whole, with what tells the backend of its endings."""
        store = self._store(why)
        backend = named_backend(self._settings.result_backend)
        if backend is None or not batch.messages:
            return store.enqueue(batch)
        from .telling import TellingStore  # noqa: PLC0415 - only with a backend

        telling = TellingStore(self._app, store, backend)
        if why:  # it belongs together
            return telling.enqueue(batch)
        # Of a once-task's call the caller hears that it is a duplicate; nobody else waits for it.
        keyed = tuple(m for m in batch.messages if m.once is not None)
        others = tuple(m for m in batch.messages if m.once is None)
        parts = {True: (keyed, store.enqueue), False: (others, telling.enqueue)}
        found = {
            kind: iter(enqueue(msgspec.structs.replace(batch, messages=some)).receipts)
            for kind, (some, enqueue) in parts.items()
            if some
        }
        receipts = [next(found[m.once is not None]) for m in batch.messages]
        return Enqueued(receipts=tuple(receipts))

    # Reading -------------------------------------------------------------------------------------

    @property
    def _asks_store(self) -> bool:
        """Whether the store is asked before the backend: it knows more."""
        named = self._served or self._settings.store_url is not None
        return bool(named) or self._results is None

    def read(self, ids: Sequence[str], *, full: bool = False) -> tuple[Record | None, ...]:
        """What is known of messages: by the store, if this program knows it, or the backend."""
        found: Sequence[Record | None] = [None] * len(ids)
        if self._asks_store:
            found = self._store(_RESULTS).read(ids, full=full)
        return tuple(
            self._told(message_id) if record is None else record
            for message_id, record in zip(ids, found, strict=True)
        )

    def _told(self, message_id: str) -> Record | None:
        if self._results is None:
            return None
        from .metas import record_of  # noqa: PLC0415 - only those who read need it

        meta = self._results.meta(message_id)
        return record_of(message_id, meta, self._settings.result_serializer)

    def read_ended(self, message_id: str, timeout: float) -> Record | None:
        """Block until a message has ended."""
        until = clock.monotonic() + min(timeout, _MOST_WAIT_S)
        while True:
            left = max(0.0, until - clock.monotonic())
            if self._asks_store:
                pause_s = left if self._results is None else min(left, _ASK_BOTH_S)
                record = self._store(_RESULTS).read_ended(message_id, pause_s)
                if record is not None:
                    return record
            record = self._told(message_id)
            if record is not None and record.state in FINAL_STATES:
                return record
            if left <= 0:
                return None
            if not self._asks_store:
                self._results.wait([message_id], left)

    def wait(
        self, seen: dict[str, int], timeout: float, *, ended: bool = False, wake_fd: int = -1
    ) -> bool:
        """Block until one of these messages has another version than the one seen."""
        span_s = min(timeout, _MOST_WAIT_S)
        if self._results is None:
            return self._store(_RESULTS).wait(seen, timeout, ended=ended, wake_fd=wake_fd)
        if self._changed(seen, ended=ended):
            return True
        if self._asks_store:
            span_s = min(span_s, _ASK_BOTH_S)
            return self._store(_RESULTS).wait(seen, span_s, ended=ended, wake_fd=wake_fd)
        self._results.wait(list(seen), span_s, wake_fd)
        return self._changed(seen, ended=ended)

    def _changed(self, seen: Mapping[str, int], *, ended: bool) -> bool:
        """Whether the backend knows something new."""
        for message_id, version in seen.items():
            record = self._told(message_id)
            if record is None or (ended and record.state not in FINAL_STATES):
                continue
            if ended or record.version != version:
                return True
        return False

    def drop(self, ids: Sequence[str]) -> int:
        """Forget results."""
        dropped = self._store(_RESULTS).drop(ids) if self._asks_store else 0
        told = 0
        if self._results is not None:
            told = sum(self._results.forget(message_id) for message_id in ids)
        return max(dropped, told)


_MOST_WAIT_S = 1.0
_ASK_BOTH_S = 0.2
_RESULTS = "reading results without a result_backend"
_CANVAS = (
    "a workflow (a call with links, a chain, a chord) is stored whole, which a broker cannot do: it"
)
