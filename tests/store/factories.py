"""How to open each store for a test: an empty one, closed and removed at the end."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from reliable_tasks.store.base import Clock, Store
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import StoreOptions
from tests.store.redis_factories import REDIS_FACTORIES

Factory = Callable[[StoreOptions, Clock | None], AbstractContextManager[Store]]


@contextlib.contextmanager
def sqlite(options: StoreOptions, clock: Clock | None) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="rt-store-") as folder:
        store = SqliteStore(str(Path(folder) / "store.db"), options, clock)
        try:
            yield store
        finally:
            store.close()


@contextlib.contextmanager
def memory(options: StoreOptions, clock: Clock | None) -> Iterator[Store]:
    store = SqliteStore(None, options, clock)
    try:
        yield store
    finally:
        store.close()


FACTORIES: dict[str, Factory] = {"memory": memory, "sqlite": sqlite, **REDIS_FACTORIES}
