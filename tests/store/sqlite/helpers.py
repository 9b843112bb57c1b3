"""What the tests of the embedded store share."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw

from reliable_tasks.core.outcome import Succeeded
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import Batch, ClaimRequest, Commit, StoreOptions
from tests.store.driver import message

ROOT = Path(__file__).parents[3]
OPTIONS = StoreOptions(busy_timeout_ms=200)


def put(store: SqliteStore, *ids: str) -> None:
    store.enqueue(Batch(messages=tuple(message(i) for i in ids)))


def count(store: SqliteStore) -> int:
    return sum(store.counts().states.values())


@contextlib.contextmanager
def raw(path: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(path))
    try:
        yield connection
    finally:
        connection.close()


def drain(store: SqliteStore, session: str) -> list[str]:
    """Run everything there is; the ids in the order of their claims."""
    claimed = list[str]()
    commits: tuple[Commit, ...] = ()
    while True:
        reply = store.exchange(session, commits, ClaimRequest(queues=("celery",), limit=7))
        if not reply.claims:
            return claimed
        claimed += [c.id for c in reply.claims]
        commits = tuple(Commit(id=c.id, fence=c.fence, outcome=Succeeded()) for c in reply.claims)
