"""How to open each store for a test: an empty one, closed and removed at the end."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from reliable_tasks.store.protocol import Clock, Store
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import StoreOptions
from tests.store.redis_factories import REDIS_FACTORIES, empty

Factory = Callable[[StoreOptions, Clock | None], AbstractContextManager[Store]]


@contextlib.contextmanager
def sqlite(options: StoreOptions, clock: Clock | None) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="rt-store-") as folder:
        store = SqliteStore(str(Path(folder) / "store.db"), options, clock)
        try:
            yield store
            assert_nothing_left(store)
        finally:
            store.close()


@contextlib.contextmanager
def memory(options: StoreOptions, clock: Clock | None) -> Iterator[Store]:
    store = SqliteStore(None, options, clock)
    try:
        yield store
        assert_nothing_left(store)
    finally:
        store.close()


def assert_nothing_left(store: SqliteStore) -> None:
    """Empty a store, and see that no row is left but of stages that have time left."""
    empty(store)
    left = store._database.read(lambda c: {what: c.execute(sql).get for what, sql in LEFT.items()})
    assert not any(left.values()), left


ENDINGS = ("endings", "ending_parts")
LEFT = {
    **{
        table: f"SELECT count(*) FROM {table}"
        for table in (
            "inputs",
            "broken",
            "steps",
            "parked",
            "locks",
            "sessions",
            "entries",
            *ENDINGS,
        )
    },
    "records": "SELECT count(*) FROM records",
    "audit_cut": "SELECT count(*) FROM audit_cut WHERE id NOT IN (SELECT id FROM audit)",
    "stages": "SELECT count(*) FROM stages WHERE sealed",
    "stage_members": "SELECT count(*) FROM stage_members WHERE stage NOT IN (SELECT n FROM stages)",
    "counts": "SELECT count(*) FROM counts WHERE count <> 0",
}


FACTORIES: dict[str, Factory] = {"memory": memory, "sqlite": sqlite, **REDIS_FACTORIES}
