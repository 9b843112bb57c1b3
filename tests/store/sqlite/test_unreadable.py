"""Rows that cannot be read: SQLite itself takes any value in any column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliable_tasks.message import State
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite import SqliteStore
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
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(str(tmp_path / "store.db"), v.StoreOptions())
    opened.open_session(v.SessionInfo(id="s", worker="w"), 60_000)
    yield opened
    opened.close()


def damaged(store: SqliteStore, damage: str) -> None:
    store.enqueue(v.Batch(messages=(message("bad", once=once()), message("good"))))
    store._database.write(
        lambda connection: connection.execute(f"UPDATE records SET {damage} WHERE id = 'bad'")
    )


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_read_becomes_a_dead_letter_with_its_row(
    store: SqliteStore, damage: str
) -> None:
    damaged(store, damage)
    want = v.Want(queues=("celery",), limit=5)
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


def test_an_id_that_is_no_text_does_not_stop_the_queue(store: SqliteStore) -> None:
    store.enqueue(v.Batch(messages=(message("good"),)))
    store._database.write(
        lambda connection: connection.execute("UPDATE records SET id = x'6162' WHERE id = 'good'")
    )
    store.enqueue(v.Batch(messages=(message("next"),)))
    want = v.Want(queues=("celery",), limit=5)
    assert [c.id for c in store.exchange("s", (), want).claims] == ["next"]
    (dead,) = store.find(v.MessageQuery(dead=True))
    assert (dead.id, dead.reason) == ("ab", "unreadable")
