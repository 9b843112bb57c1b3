"""A plain call that stands alone is stored as it would be with others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.store.sqlite import SqliteStore, plain
from reliable_tasks.store.sqlite.rows import COLUMNS
from reliable_tasks.store.values import StoreOptions
from tests.store.driver import kind
from tests.store.sqlite.helpers import OPTIONS, raw

if TYPE_CHECKING:
    from pathlib import Path

OWN = kind(queue="q", priority=3, max_deliveries=7, headers=b"h", root_id="r", parent_id="p")


def rows(store: SqliteStore) -> list[dict[str, Any]]:
    found = store._database.use(lambda c: c.execute("SELECT * FROM records ORDER BY n").fetchall())
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def put(store: SqliteStore, *ids: str) -> None:
    store.enqueue_plain(OWN, ids, [b"p"] * len(ids))


def test_its_row_is_that_of_one_of_many(path: Path) -> None:
    store = SqliteStore(str(path), OPTIONS, clock=lambda: 1_000)
    put(store, "a", "b")
    put(store, "c")
    put(store, "d", "e")
    _, second, alone, later, _ = rows(store)
    assert {**alone, "id": "b", "n": second["n"], "place": second["place"]} == second
    assert second["place"] < alone["n"] < alone["place"] < later["n"]
    assert store.counts().queues == {"q": {"queued": 5}}
    store.close()


def test_calls_of_one_kind_are_not_mixed_up(store: SqliteStore) -> None:
    put(store, "a")
    store.enqueue_plain(OWN, ["b"], [b"other"])
    store.enqueue_plain(kind(queue="z"), ["c"], [b""])
    found = [(row["id"], row["queue"], row["payload"]) for row in rows(store)]
    assert found == [("a", "q", b"p"), ("b", "q", b"other"), ("c", "z", b"")]


def test_what_is_told_of_or_refused_goes_the_other_way() -> None:
    few = StoreOptions(max_message_bytes=5)
    assert plain.is_usual(OWN, b"1234", few)
    assert not plain.is_usual(OWN, b"12345", few)
    assert not plain.is_usual(OWN, b"", StoreOptions(audit="all"))


def test_a_taken_id_leaves_nothing_behind(path: Path, store: SqliteStore) -> None:
    put(store, "a")
    before = rows(store), store.counts()
    with pytest.raises(plain.IdTaken):
        store._database.write(lambda c: plain.store_alone(c, OWN, "a", b"new", 1))
    assert (rows(store), store.counts()) == before
    with raw(path) as connection:
        ((seq,),) = connection.execute("SELECT seq FROM store").fetchall()
    assert seq == before[0][0]["place"]
