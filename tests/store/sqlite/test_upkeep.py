"""What a file and its log come to over long runs."""

from pathlib import Path

import apsw

from reliable_tasks.core.ids import new_id
from reliable_tasks.core.outcome import Succeeded
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import Batch, ClaimRequest, Commit, SessionInfo
from tests.store.driver import message
from tests.store.sqlite.helpers import OPTIONS, count


class Clock:
    now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


def run_all(store: SqliteStore, number: int) -> None:
    """Enqueue so many messages whose results are kept for a second, and run them."""
    store.open_session(SessionInfo(id="s", worker="w@h"), 3_600_000)
    messages = tuple(message(new_id(), result_ttl_ms=1_000) for _ in range(number))
    for first in range(0, number, 500):
        store.enqueue(Batch(messages=messages[first : first + 500]))
    commits: tuple[Commit, ...] = ()
    while True:
        reply = store.exchange("s", commits, ClaimRequest(queues=("celery",), limit=500))
        commits = tuple(Commit(id=c.id, fence=c.fence, outcome=Succeeded()) for c in reply.claims)
        if not commits:
            return


def connection_of(store: SqliteStore) -> apsw.Connection:
    connection = store._database._connection
    assert connection is not None
    return connection


def test_what_has_expired_is_deleted_in_few_pages(path: Path) -> None:
    """Random ids would have each deletion change a page of its own, which is written twice."""
    store = SqliteStore(str(path), OPTIONS, clock := Clock())
    run_all(store, 3_000)
    clock.now += 1_000
    pages = list[int]()

    def look(_: object, _name: str, length: int) -> int:
        pages.append(length)
        return 0

    connection_of(store).set_wal_hook(look)
    rounds = 0
    while store.reap().more:
        rounds += 1
    assert count(store) == 0
    assert rounds == 6
    assert pages[-2] - pages[0] < 100 * rounds, "in its log, for 500 messages each"
    store.close()
