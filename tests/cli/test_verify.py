"""`verify`: a store whose account holds together, and ones that were tampered with."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import Result

from reliable_tasks.core import outcome
from reliable_tasks.core.codec import dumps
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import Exchange, StoreOptions
from tests.cli.support import Shop
from tests.fakes import FakeClock

Run = Callable[..., Result]


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Shop]:
    """A shop that keeps the whole trail: one message that went well, one that failed, one live."""
    clock = FakeClock()
    path = tmp_path / "whole.db"
    shop = Shop(path, SqliteStore(str(path), StoreOptions(audit="all", audit_ttl_ms=0), clock))
    shop.succeed("before", 0)
    for message_id in ("good", "bad", "live"):
        clock.advance(1000)
        shop.enqueue(message_id)
    clock.advance(10)
    shop.end(shop.claim(), outcome.Succeeded(result=dumps(3)))
    shop.end(shop.claim(), outcome.Failed(failure=b""))
    yield shop
    shop.store.close()


def tamper(shop: Shop, statement: str, *values: object) -> None:
    connection = apsw.Connection(str(shop.path))
    connection.execute(statement, values)
    assert connection.changes() > 0
    connection.close()


def test_a_store_that_holds_together(run: Run, whole: Shop) -> None:
    said = run("-b", whole.url, "verify").stdout
    first, second = said.splitlines()
    assert first == "12 of 12 invariants checked"
    assert second.startswith("0 violations in 4 messages and 10 rows of the trail since ")
    assert "not checked" not in said


def test_quiet_and_json_say_nothing_where_all_is_well(run: Run, whole: Shop) -> None:
    assert run("-b", whole.url, "-q", "verify").stdout == ""
    in_json = run("-b", whole.url, "verify", "--json")
    assert (in_json.stdout, in_json.stderr) == ("", "12 of 12 invariants checked\n")


@pytest.mark.parametrize(
    ("statement", "values", "invariant", "message_id"),
    [
        ("UPDATE audit SET fence = 99 WHERE id = ? AND event = 'succeeded'", ["good"], "fences", 0),
        ("DELETE FROM audit WHERE id = ? AND event = 'started'", ["bad"], "claims", 0),
        ("DELETE FROM records WHERE id = ?", ["live"], "conservation", 0),
        ("UPDATE records SET state = 6 WHERE id = ?", ["good"], "one ending", 0),
        ("UPDATE records SET session = ? WHERE id = 'live'", ["s1"], "claims", "live"),
        ("UPDATE counts SET count = count + 1 WHERE state = ?", [2], "counters", None),
    ],
)
def test_what_was_tampered_with_is_told(
    run: Run, whole: Shop, statement: str, values: list[Any], invariant: str, message_id: Any
) -> None:
    tamper(whole, statement, *values)
    message_id = values[0] if message_id == 0 else message_id
    found = [
        json.loads(line)
        for line in run("-b", whole.url, "verify", "--json", code=1).stdout.splitlines()
    ]
    assert (invariant, message_id) in {(v["invariant"], v["id"]) for v in found}
    said = run("-b", whole.url, "verify", code=1).stdout
    assert f"BROKEN {invariant}: {message_id or ''}" in said
    assert f"{invariant} means: " in said
    if message_id:
        assert f"shop.add[{message_id}] in " in said


def test_stories_are_as_many_as_asked_for(run: Run, whole: Shop) -> None:
    tamper(whole, "UPDATE audit SET fence = fence + 99 WHERE event = ?", "started")
    assert "WHAT HAPPENED" in run("-b", whole.url, "verify", code=1).stdout
    assert "WHAT HAPPENED" not in run("-b", whole.url, "verify", "--stories", "0", code=1).stdout


def test_a_lock_that_was_left_behind_is_told(run: Run, whole: Shop) -> None:
    whole.enqueue("once", once="k")
    tamper(whole, "UPDATE locks SET owner = ? WHERE owner = 'once'", "good")
    said = run("-b", whole.url, "verify", code=1).stdout
    assert "BROKEN locks: good: it is succeeded and holds k" in said


def test_the_default_trail_tells_what_it_cannot(run: Run, shop: Shop) -> None:
    shop.succeed("good", 3)
    shop.fail("bad")
    said = run("-b", shop.url, "verify").stdout
    first, second, third = said.splitlines()
    assert first == "5 of 12 invariants checked"
    assert "not checked: claims, conservation, fences, joins, limits, steps, times: " in second
    assert 'audit="all"' in second
    assert third.startswith("0 violations in 2 messages and 1 rows of the trail, in ")
    tamper(shop, "UPDATE records SET state = 4 WHERE id = ?", "bad")
    assert "BROKEN one ending: bad" in run("-b", shop.url, "verify", code=1).stdout


def test_an_app_whose_setting_is_default_is_believed(run: Run, shop: Shop, tasks: str) -> None:
    shop.succeed("good", 3)
    assert "not checked: claims" in run("-A", tasks, "verify").stdout


def test_since_leaves_out_what_is_older(run: Run, whole: Shop) -> None:
    tamper(whole, "UPDATE audit SET fence = 99 WHERE id = ? AND event = 'succeeded'", "before")
    run("-b", whole.url, "verify", code=1)
    run("-b", whole.url, "verify", "--since", "2023-11-14T22:13:20.500Z")


def test_what_changes_meanwhile_is_looked_at_again(
    run: Run, whole: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SqliteStore.audit
    ended: list[Exchange] = []

    def audit(self: SqliteStore, query: Any) -> Any:
        # The message ends after its record was read, and before the trail is.
        if self is not whole.store and query.event is None and not ended:
            ended.append(Exchange())
            whole.end(whole.claim(), outcome.Succeeded(result=dumps(1)))
        return real(self, query)

    monkeypatch.setattr(SqliteStore, "audit", audit)
    said = run("-b", whole.url, "verify").stdout
    assert ended
    assert said.splitlines()[:2] == [
        "11 of 12 invariants checked",
        "not checked: counters: the store was at work meanwhile",
    ]


def test_a_second_look_at_many_messages_reads_the_trail_as_often_as_at_one(
    run: Run, whole: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[bool] = []
    real = SqliteStore.audit

    def audit(self: SqliteStore, query: Any) -> Any:
        reads.append(query.id is not None)
        return real(self, query)

    def looked_at(count: int) -> list[bool]:
        reads.clear()
        run("-b", whole.url, "verify", "--stories", "0", code=1)
        assert whole.store.counts().states["queued"] == count
        return reads.copy()

    monkeypatch.setattr(SqliteStore, "audit", audit)
    tamper(whole, "DELETE FROM audit WHERE id = ?", "live")
    once = looked_at(1)
    for number in range(50):
        whole.enqueue(f"more {number}")
    tamper(whole, "DELETE FROM audit WHERE id LIKE ?", "more %")
    assert looked_at(51) == once


def test_a_wrong_since_is_told(mistake: Callable[..., str], whole: Shop) -> None:
    assert "--since 'soon'" in mistake("-b", whole.url, "verify", "--since", "soon")
