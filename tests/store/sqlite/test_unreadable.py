"""Rows that cannot be read: SQLite itself takes any value in any column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import FINAL_STATES, Edge, State
from reliable_tasks.errors import StoreError
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.sqlite.rows import COLUMNS, Row
from tests.store.driver import message, once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAMAGES = [
    "task = x'ff00'",
    "headers = 'text'",
    "payload = 'text'",
    "once = '{broken'",
    "edges = '[[1,2'",
    "priority = 'first'",
    "max_deliveries = 'many'",
    "root_id = x'00'",
    "task = CAST(x'ff' AS TEXT)",
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(str(tmp_path / "store.db"), v.StoreOptions())
    opened.open_session(v.SessionInfo(id="s", worker="w"), 60_000)
    yield opened
    opened.close()


def damaged(store: SqliteStore, damage: str) -> None:
    store.enqueue(v.Batch(messages=(message("bad", once=once()), message("good"))))
    update(store, "bad", damage)


def update(store: SqliteStore, message_id: str, damage: str) -> None:
    statement = f"UPDATE records SET {damage} WHERE id = ?"
    store._database.write(lambda connection: connection.execute(statement, (message_id,)))


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_read_becomes_a_dead_letter_with_its_row(
    store: SqliteStore, damage: str
) -> None:
    damaged(store, damage)
    want = v.ClaimRequest(queues=("celery",), limit=5)
    assert {c.id for c in store.exchange("s", (), want).claims} == {"good"}
    assert [c.id for c in store.held("s")] == ["good"]
    (dead,) = store.find(v.MessageQuery(dead=True))
    assert (dead.id, dead.state, dead.reason) == ("bad", State.FAILED, "unreadable")
    (full,) = store.read(["bad"], full=True)
    assert full is not None
    assert b"celery" in (full.payload or b"")
    assert damage.partition("= ")[2].strip("x'").encode() in (full.payload or b"") or "x'" in damage
    assert store.counts().queues == {"celery": {"running": 1}}
    assert store.exchange("s", (), want).claims == ()
    assert store.replay(["bad"])[0].done == "not dead", "there is nothing to run"
    assert store.drop(["bad"]) == 1


@pytest.mark.parametrize("damage", [*DAMAGES, "state = 99"])
def test_readers_survive_it_before_anybody_claims_it(store: SqliteStore, damage: str) -> None:
    damaged(store, damage)
    (record,) = store.read(["bad"], full=True)
    assert record is not None
    assert record.reason == "unreadable"
    assert {r.id for r in store.find(v.MessageQuery())} == {"bad", "good"}


@pytest.mark.parametrize("due", ["9223372036854775807", "1.5e300", "'tomorrow'", "x'00'", "0.5"])
def test_what_is_scheduled_for_no_time_at_all_is_a_dead_letter(
    store: SqliteStore, due: str
) -> None:
    store.enqueue(v.Batch(messages=(message("bad", delay_ms=10**9),)))
    update(store, "bad", f"due = {due}")
    want = v.ClaimRequest(queues=("celery",), limit=5)
    for _ in range(2):
        assert store.exchange("s", (), want).claims == ()
        store.reap()
    (dead,) = store.find(v.MessageQuery(dead=True))
    assert (dead.id, dead.reason) == ("bad", "unreadable")


def test_an_id_that_is_no_text_does_not_stop_the_queue(store: SqliteStore) -> None:
    store.enqueue(v.Batch(messages=(message("good"),)))
    store._database.write(
        lambda connection: connection.execute("UPDATE records SET id = x'6162' WHERE id = 'good'")
    )
    store.enqueue(v.Batch(messages=(message("next"),)))
    want = v.ClaimRequest(queues=("celery",), limit=5)
    assert [c.id for c in store.exchange("s", (), want).claims] == ["next"]
    (dead,) = store.find(v.MessageQuery(dead=True))
    assert (dead.id, dead.reason) == ("ab", "unreadable")


JUNK = [
    "x'ff00fe'",
    "NULL",
    "'zz'",
    "''",
    "CAST(x'80ff' AS TEXT)",
    "-5",
    "9223372036854775807",
    "1.5e300",
    "-1.5",
    "'[[1,2,3]]'",
]
# What stands for another state, or at another place, is no damage that anybody could see.
OUT_OF_THE_WAY = {"id", "n", "queue", "state", "due", "place", "priority"}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("delay_ms", [0, 1])
def test_one_damaged_column_stops_nobody_else(
    store: SqliteStore, column: str, delay_ms: int
) -> None:
    want = v.ClaimRequest(queues=("celery",), limit=5)
    for number, junk in enumerate(JUNK):
        bad, good, child = f"bad{number}", f"good{number}", f"child{number}"
        first = message(bad, once=once(key=bad), edges=(Edge(child),), delay_ms=delay_ms)
        store.enqueue(v.Batch(messages=(first, message(child, waits=1), message(good))))
        try:
            update(store, bad, f"{column} = {junk}")
        except StoreError:
            continue  # the database itself refuses that
        assert len(store.find(v.MessageQuery(limit=999))) >= 3
        store.read([bad, good], full=True)
        assert store.read_ended(good, 0) is None
        store.counts()
        claims = list(store.exchange("s", (), want).claims)
        for _ in range(2):
            store.reap(())
            claims += store.exchange("s", (), want).claims
        assert good in [c.id for c in claims]
        assert good in [c.id for c in store.held("s")]
        commits = [v.Commit(id=c.id, fence=c.fence, outcome=oc.Succeeded()) for c in claims]
        store.exchange("s", commits, None)
        (ended,) = store.read([good])
        assert ended is not None
        assert ended.state == State.SUCCEEDED
        (left,) = store.read([bad])
        if column not in OUT_OF_THE_WAY:
            assert left is not None
            assert left.state in FINAL_STATES, "served, or set aside"
            if junk == JUNK[0] and type_of(column) is not bytes:
                assert (left.state, left.reason) == (State.FAILED, "unreadable")
        store.reap(())
        store.counts()


def type_of(column: str) -> object:
    kind = next(f.type for f in msgspec.structs.fields(Row) if f.name == column)
    return getattr(kind, "__args__", (kind,))[0]
