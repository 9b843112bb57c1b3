"""The store of an app: opened at first use, by whichever thread comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from reliable_tasks.config.brokers import is_broker
from reliable_tasks.config.conf import store_url
from reliable_tasks.config.configured import Configured
from reliable_tasks.core.doors import door
from reliable_tasks.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliable_tasks.app.gathering import Gathering
    from reliable_tasks.store.protocol import Store

__all__ = ["HasStore"]


class HasStore(Configured):
    """What an app has to do with its store.

    Attributes:
        gathering: what its coroutines enqueue.
        served: the queues whose messages this process stores itself, although a broker stands
            before the store; none of them for commands, and None for programs that only call.
    """

    gathering: Gathering
    served: frozenset[str] | None = None
    _store: Store | None
    _first: dict[str, Store]

    @property
    def store(self) -> Store:
        """The store, opened at first use.

        Raises:
            ConfigError: the URL is not one of a store.
            StoreError: it cannot be opened.
        """
        if self._store is None:
            self._store = self._opened()
        return self._store

    @store.setter
    def store(self, store: Store) -> None:
        self._store = store
        self.conf.opened(None)

    def _opened(self) -> Store:
        """A store that was just opened; all threads that open one at the same time share it."""
        settings = self.settings
        if is_broker(settings.broker_url) and self.served != frozenset():
            opened = door().store_of(self)
        else:
            opened = open_store(store_url(settings), settings)
        first = self._first.setdefault("store", opened)
        if first is opened:
            self.conf.opened(settings)
        else:
            opened.close()
        return first

    def serve(self, queues: Iterable[str] = ()) -> None:
        """Let this process use the store itself, and not only what the broker offers.

        A worker names its queues: what its bodies send to others goes to the broker, since it may
        be Celery's workers that serve those. For an app without a broker nothing changes.
        """
        served = frozenset(queues)
        if served != self.served and is_broker(self.settings.broker_url):
            if self._store is not None:
                self.store.close()
            self._store, self._first = None, {}
        self.served = served

    def close(self) -> None:
        """Close the store's connections; the next call opens them again."""
        self.gathering.close()
        if self._store is not None:
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
