"""Lists: whoever reads one to its end has all of it, however small the pages are.

The pages here are of two rows, so that a handful of messages stands for many thousands.
"""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.errors import StoreError
from reliable_tasks.store.values import (
    AuditQuery,
    Entry,
    MessageQuery,
    Page,
    Receipt,
    Record,
    every,
    every_of,
)
from tests.store.conftest import Opener
from tests.store.driver import SESSION, Driver, edge, message, once

IDS = [f"m{i}" for i in range(7)]


@pytest.fixture
def drive(open_driver: Opener) -> Driver:
    return open_driver(audit="all", max_rows=2, max_batch=2)


def put(drive: Driver, **fields: object) -> list[Receipt]:
    return [drive.put_one(message_id, **fields) for message_id in IDS]


def pages(drive: Driver, **asked: object) -> Iterator[Page[Record]]:
    """The pages of a list of records, the next one read when it is asked for."""
    query = MessageQuery(**asked)  # type: ignore[arg-type]
    while True:
        page = drive.store.find(query)
        yield page
        if page.after is None:
            return
        query = msgspec.structs.replace(query, after=page.after)


def ids_of(found: Iterator[Page[Record]]) -> list[str]:
    return [record.id for page in found for record in page]


PLACES: dict[str, Callable[[Driver], object]] = {
    "queued": put,
    "scheduled": lambda drive: put(drive, delay_ms=50),
    "waiting": lambda drive: put(drive, waits=1),
    "running": lambda drive: (put(drive), drive.claim(9)),
    "succeeded": lambda drive: (put(drive), [drive.run() for _ in IDS]),
    "failed": lambda drive: (put(drive), [drive.run(oc.Failed()) for _ in IDS]),
    "revoked": lambda drive: (put(drive), drive.store.revoke(IDS)),
}


@pytest.mark.parametrize("state", PLACES)
def test_every_record_is_on_one_page(drive: Driver, state: str) -> None:
    PLACES[state](drive)
    for asked in ({}, {"state": State(state)}, {"queue": "celery"}, {"task": "add"}):
        found = list(pages(drive, limit=2, **asked))
        assert sorted(ids_of(iter(found))) == IDS
        assert max(map(len, found)) == 2
    assert drive.store.find(MessageQuery(limit=9)).after is not None, "two rows are the most"


def test_a_page_says_whether_there_is_more(open_driver: Opener) -> None:
    drive = open_driver()
    put(drive)
    page = drive.store.find(MessageQuery(limit=9))
    assert (len(page), page.after) == (7, None)
    page = drive.store.find(MessageQuery(limit=3))
    rest = drive.store.find(MessageQuery(limit=9, after=page.after))
    assert sorted(r.id for r in (*page, *rest)) == IDS
    assert rest.after is None


@pytest.mark.parametrize("state", [s for s in PLACES if s in {"succeeded", "failed", "revoked"}])
def test_what_is_dropped_meanwhile_ends_no_list(drive: Driver, state: str) -> None:
    """All of them ended at one instant: their order is that of their ids, or of their birth."""
    PLACES[state](drive)
    seen = []
    for page in pages(drive, state=State(state), limit=2):
        seen += [record.id for record in page]
        drive.store.drop([record.id for record in page])
    assert sorted(seen) == IDS


def test_dead_letters_that_are_dropped_page_by_page_are_all_seen(drive: Driver) -> None:
    PLACES["failed"](drive)
    seen = []
    for page in pages(drive, dead=True, limit=2):
        seen += [record.id for record in page]
        drive.store.drop([record.id for record in page][-1:])
    assert sorted(seen) == IDS


def test_what_moves_on_meanwhile_hides_nobody(drive: Driver) -> None:
    """What is claimed, and what ends, is listed in its old place or in its new one."""
    put(drive)
    put_later = [message(f"l{i}", delay_ms=10**6) for i in range(3)]
    for one in put_later:
        drive.put(one)
    seen = set()
    for number, page in enumerate(pages(drive, limit=2)):
        seen |= {record.id for record in page}
        if number < 7:
            drive.run() if number % 2 else drive.claim(1)
    assert seen == {*IDS, "l0", "l1", "l2"}


def test_what_comes_before_the_place_does_not_shift_it(drive: Driver) -> None:
    put(drive, delay_ms=50)
    seen = []
    for number, page in enumerate(pages(drive, state=State.SCHEDULED, limit=2)):
        seen += [record.id for record in page]
        drive.put_one(f"new{number}", delay_ms=1)
    assert [i for i in seen if i in IDS] == IDS


def test_a_place_that_no_list_gave_is_refused(drive: Driver) -> None:
    for wrong in ("", "m1", "[1]", '["ended:failed"]', "999999999999999999999999999999"):
        with pytest.raises(StoreError, match="after="):
            drive.store.find(MessageQuery(after=wrong))
    with pytest.raises(StoreError, match="after="):
        drive.store.audit(AuditQuery(after="x"))


def test_records_are_listed_in_full_where_that_is_asked_for(drive: Driver) -> None:
    """However large they are: a page of the store's own may be cut by bytes."""
    large = b"x" * 900_000
    for name in "abcdef":
        drive.put_one(name, payload=large, headers=b"h", edges=(edge("nobody"),))
    drive.put_one("small", payload=b"p", headers=b"h")
    found = {r.id: r for r in every_of(drive.store.find, MessageQuery(full=True, limit=100))}
    assert found == {name: drive.record(name, full=True) for name in [*"abcdef", "small"]}
    assert found["a"].payload == large
    slim = list(every_of(drive.store.find, MessageQuery()))
    assert slim == [drive.record(r.id) for r in slim]
    assert drive.store.read([*"abcdef", "no"], full=True) == (*map(found.get, "abcdef"), None)


def test_the_trail_says_whether_there_is_more(drive: Driver) -> None:
    put(drive)
    first = drive.store.audit(AuditQuery(limit=2))
    assert first.after == first[-1].seq
    rows = list(every_of(drive.store.audit, AuditQuery(limit=100)))
    assert [row.id for row in rows] == IDS
    assert drive.store.audit(AuditQuery(after=rows[-3].seq, limit=100)).after is not None
    assert drive.store.audit(AuditQuery(after=rows[-2].seq, limit=2)).after is None


def test_every_lock_is_read(drive: Driver) -> None:
    for number, message_id in enumerate(IDS):
        cap_ms = 0 if number % 2 else 100 - number
        drive.put_one(message_id, once=once(f"key{number}", timeout_ms=cap_ms))
    names = [f"key{number}" for number in range(7)]
    assert [lock.name for lock in drive.store.locks()] == names
    assert sorted(lock.name for lock in drive.store.locks(users=True)) == names

    def page(after: str | None) -> Page[object]:
        found = drive.store.locks(users=True, after=after, limit=3)
        assert len(found) <= 3
        if found:
            drive.store.release_lock(found[-1].name, found[-1].owner)
        return Page((lock.name for lock in found), found.after)

    assert sorted(map(str, every(page))) == names


def test_everyone_behind_a_lock_is_named(drive: Driver) -> None:
    for message_id in IDS:
        drive.put_one(message_id, once=once(on_conflict="reschedule"))
    (lock,) = drive.store.locks()
    assert lock.parked == tuple(IDS[1:])


def test_all_that_a_session_holds_is_told(drive: Driver) -> None:
    put(drive)
    claims = drive.claim(9)
    assert len(claims) == 7
    assert drive.store.held(SESSION) == claims


def test_all_sessions_and_entries_are_listed(drive: Driver) -> None:
    for number in range(5):
        drive.open(f"other{number}", lease_ms=10 * (5 - number))
        drive.store.put_entry(Entry(name=f"e{number}"))
    others = [f"other{number}" for number in range(5)]
    assert [session.id for session in drive.store.sessions()] == sorted([SESSION, *others])
    assert [entry.name for entry in drive.store.entries()] == [f"e{n}" for n in range(5)]


def test_all_that_is_asked_for_by_id_is_read(drive: Driver) -> None:
    put(drive)
    found = drive.store.read([*IDS, "nobody", *IDS])
    assert [record and record.id for record in found] == [*IDS, None, *IDS]


def test_purge_finds_what_is_scheduled_behind_others(drive: Driver) -> None:
    for number in range(9):
        drive.put_one(f"o{number}", delay_ms=50 + number, queue="other")
    put(drive, delay_ms=10**6)
    drive.put_one("last", delay_ms=10**7, queue="other")
    assert drive.store.purge("celery", 5) == 5
    assert drive.store.purge("celery") == 2
    assert drive.store.purge("celery") == 0
    assert drive.store.counts().queues == {"other": {"scheduled": 10}}


def test_purge_ends_what_is_queued_and_what_is_scheduled(drive: Driver) -> None:
    put(drive)
    drive.put(*(message(f"l{i}", delay_ms=50) for i in range(2)))
    drive.put(message("l2", delay_ms=50))
    assert drive.store.purge("celery") == 10
    assert drive.store.counts().queues == {}
