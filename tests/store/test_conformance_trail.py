"""The audit trail is bounded, tells what it has dropped, and counts what is repeated."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from reliable_tasks.core.outcome import Failed, Retry
from reliable_tasks.store.protocol import Store
from reliable_tasks.store.redis import RedisStore
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import (
    AUDIT_COUNTED_MS,
    AUDIT_ROW_BYTES,
    AuditCut,
    AuditQuery,
    AuditRow,
    Commit,
)
from tests.store.driver import SESSION, Driver, message, once

Opener = Callable[..., Driver]
DAY_MS = 86_400_000
DETAIL = b'{"reason":"' + b"x" * 187 + b'"}'  # with the rest 400 bytes a row, and 3 more
ROW_BYTES = AUDIT_ROW_BYTES + len("add") + len(DETAIL)


def failing(drive: Driver, *ids: str, detail: bytes = b"") -> None:
    for message_id in ids:
        drive.put_one(message_id)
        drive.run(Failed(detail=detail))


def ids_of(drive: Driver) -> list[str]:
    return [row.id for row in drive.store.audit(AuditQuery())]


# Bounds -------------------------------------------------------------------------------------------


def test_the_oldest_rows_go_where_there_are_too_many(open_driver: Opener) -> None:
    drive = open_driver(max_audit_rows=3, max_audit_bytes=0)
    failing(drive, *"abcde")
    assert ids_of(drive) == ["c", "d", "e"]


def test_the_oldest_rows_go_where_they_are_too_large(open_driver: Opener) -> None:
    size = ROW_BYTES + len("a") + len("worker-1@here")
    drive = open_driver(max_audit_rows=0, max_audit_bytes=3 * size)
    failing(drive, *"abcde", detail=DETAIL)
    assert ids_of(drive) == ["c", "d", "e"]
    failing(drive, "f")
    assert ids_of(drive) == ["d", "e", "f"], "a small one takes some of the place of a large one"
    failing(drive, "g")
    assert ids_of(drive) == ["e", "f", "g"]


def test_without_bounds_nothing_goes(open_driver: Opener) -> None:
    drive = open_driver(max_audit_rows=0, max_audit_bytes=0, audit_ttl_ms=0)
    failing(drive, "a", "b")
    drive.clock.advance(100 * 365 * DAY_MS)
    drive.store.reap()
    assert ids_of(drive) == ["a", "b"]


def test_a_large_bound_is_exceeded_a_little_until_the_next_reap(open_driver: Opener) -> None:
    """So that not each row that comes drops another one."""
    drive = open_driver(max_audit_rows=128)
    failing(drive, *(f"m{n}" for n in range(130)))
    assert len(ids_of(drive)) == 130
    failing(drive, "m130")
    assert ids_of(drive) == [f"m{n}" for n in range(3, 131)]
    failing(drive, "m131")
    drive.store.reap()
    assert ids_of(drive) == [f"m{n}" for n in range(4, 132)]


def test_a_lower_bound_is_reached_in_steps(open_driver: Opener) -> None:
    """Of 100 rows where some are added, of 500 where somebody reaps."""
    drive = open_driver(max_audit_rows=0, audit="default")
    for first in (0, 400):
        drive.put(*(message(f"m{n}") for n in range(first, first + 400)))
        failed = [Commit(id=c.id, fence=c.fence, outcome=Failed()) for c in drive.claim(1000)]
        drive.store.exchange(SESSION, failed, None)
    lower_bounds(drive.store, 10)
    failing(drive, "z")
    assert len(ids_of(drive)) == 701
    assert drive.store.reap().more
    assert len(ids_of(drive)) == 201
    assert not drive.store.reap().more
    assert ids_of(drive) == [*(f"m{n}" for n in range(791, 800)), "z"]


def lower_bounds(store: Store, rows: int) -> None:
    assert isinstance(store, SqliteStore | RedisStore)
    store.options = msgspec.structs.replace(store.options, max_audit_rows=rows)
    if isinstance(store, RedisStore):
        store._audit_mode = f"default {rows} 0"


# What was dropped ---------------------------------------------------------------------------------


def test_it_is_told_how_many_rows_of_a_message_were_dropped(open_driver: Opener) -> None:
    drive = open_driver(max_audit_rows=3, audit="default")
    drive.put_one("a")
    for _ in range(5):
        drive.clock.advance(1)
        drive.run(Retry())
    cut = drive.store.audit_cut("a")
    assert (cut.rows, cut.until_ms) == (2, drive.clock() - 3)
    assert drive.store.audit_cut("b") == AuditCut(rows=0, until_ms=cut.until_ms)
    drive.run(Failed())
    failing(drive, "b", "c", "d")
    assert ids_of(drive) == ["b", "c", "d"]
    assert drive.store.audit_cut("a") == AuditCut(rows=0, until_ms=drive.clock())


def test_nothing_was_dropped_at_first(open_driver: Opener) -> None:
    drive = open_driver()
    failing(drive, "a")
    assert drive.store.audit_cut("a") == AuditCut()


# Repetitions --------------------------------------------------------------------------------------


def test_duplicates_of_a_key_are_counted_in_one_row(open_driver: Opener) -> None:
    drive = open_driver()
    drive.put_one("a", once=once())
    began = drive.clock()
    for n in range(3):
        drive.put_one(f"b{n}", once=once())
        drive.clock.advance(10)
    (row,) = drive.store.audit(AuditQuery(id="a"))
    assert (row.event, row.at_ms, row.count, row.last_ms) == ("duplicate", began, 3, began + 20)
    assert drive.store.audit(AuditQuery()) == (row,)


def test_duplicates_of_one_batch_are_counted_in_one_row_each(open_driver: Opener) -> None:
    drive = open_driver()
    drive.put_one("a", once=once("k"))
    drive.put_one("b", once=once("l"))
    drive.put(*(message(f"c{n}", once=once("kl"[n % 2])) for n in range(6)))
    rows = drive.store.audit(AuditQuery())
    assert [(row.id, row.count) for row in rows] == [("a", 3), ("b", 3)]


def test_after_a_while_there_is_another_row(open_driver: Opener) -> None:
    drive = open_driver()
    drive.put_one("a", once=once())
    for _ in range(2):
        drive.put_one("b", once=once())
        drive.clock.advance(AUDIT_COUNTED_MS - 1)
        drive.put_one("b", once=once())
        drive.clock.advance(1)
    rows = drive.store.audit(AuditQuery())
    assert [row.count for row in rows] == [2, 2]
    assert rows[1].at_ms == rows[0].at_ms + AUDIT_COUNTED_MS


def test_what_happened_in_between_is_told_in_between(open_driver: Opener) -> None:
    drive = open_driver()
    drive.put_one("a", once=once())
    for _ in range(2):
        drive.put_one("b", once=once())
    drive.run(Retry())
    drive.put_one("b", once=once())
    rows = drive.store.audit(AuditQuery(id="a"))
    assert [(row.event, row.count) for row in rows] == [
        ("duplicate", 2),
        ("retry", 1),
        ("duplicate", 1),
    ]


@pytest.mark.parametrize(
    ("holder", "again", "event"),
    [
        ({}, {"token": "x"}, "duplicate"),
        ({}, {"token": "x", "payload": b"other"}, "conflict"),
        ({"once": once()}, {"id": "b", "once": once(on_conflict="replace")}, "replaced"),
        ({"once": once()}, {"id": "b", "once": once(on_conflict="rerun")}, "replaced"),
    ],
)
def test_whatever_a_producer_can_repeat_is_counted(
    open_driver: Opener, holder: dict[str, Any], again: dict[str, Any], event: str
) -> None:
    drive = open_driver()
    drive.put_one("a", **holder)
    for _ in range(4):
        drive.put_one(**{"message_id": again.get("id", "a"), **_but_id(again)})
    assert [(r.event, r.count) for r in drive.store.audit(AuditQuery(id="a"))] == [(event, 4)]


def test_reruns_that_one_is_parked_for_already_are_counted(open_driver: Opener) -> None:
    drive = open_driver()
    drive.put_one("a", once=once())
    drive.claim_one()
    for n in range(4):
        drive.put_one(f"b{n}", once=once(on_conflict="rerun"))
    assert [(r.event, r.count) for r in drive.store.audit(AuditQuery(id="b0"))] == [("rerun", 3)]


def _but_id(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "id"}


# Of one message -----------------------------------------------------------------------------------


@pytest.fixture
def among_others(open_driver: Opener) -> Driver:
    """The rows of one message lie between those of others."""
    drive = open_driver(audit="default")
    for n in range(9):
        failing(drive, f"m{n}")
        if n % 3 == 1:
            failing(drive, "a")
            drive.store.drop(["a"])
    return drive


def test_the_rows_of_a_message_are_read_page_by_page(among_others: Driver) -> None:
    rows = among_others.store.audit(AuditQuery(id="a"))
    assert [row.event for row in rows] == ["failed", "dropped"] * 3
    after, found = None, list[AuditRow]()
    while page := among_others.store.audit(AuditQuery(id="a", after=after, limit=2)):
        found += page
        after = page[-1].seq
    assert tuple(found) == rows


def test_a_page_may_begin_after_a_row_of_another_message(among_others: Driver) -> None:
    rows = among_others.store.audit(AuditQuery())
    for row in rows:
        of_one = among_others.store.audit(AuditQuery(id="a", after=row.seq))
        assert of_one == tuple(r for r in rows if r.id == "a" and int(r.seq) > int(row.seq))
