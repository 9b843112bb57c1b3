"""Enqueue of plain calls: what their kind and they come to is what their messages would."""

from collections.abc import Sequence

import msgspec
import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.errors import MessageTooLarge, StoreError
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import Store
from tests.store.conftest import Opener
from tests.store.driver import Driver, kind, message

OWN = kind(queue="q", priority=3, max_deliveries=7, headers=b"h", root_id="r", parent_id="p")


@pytest.fixture(params=["default", "all"])
def drive(open_driver: Opener, request: pytest.FixtureRequest) -> Driver:
    """An empty store: what tells of all that is stored goes another way."""
    return open_driver(audit=request.param)


def kinds_of(receipts: Sequence[v.Receipt], count: int) -> list[str]:
    return [r.kind for r in receipts] or [v.ReceiptKind.CREATED] * count


@pytest.mark.parametrize("ids", [["a"], ["a", "b"], [f"m{i}" for i in range(300)]])
@pytest.mark.parametrize("payload", [b"", b"p", b"\xff" * 40, b"p" * 300, b"p" * 5000])
def test_a_call_is_kept_as_its_message_would_be(
    drive: Driver, ids: list[str], payload: bytes
) -> None:
    receipts = drive.store.enqueue_plain(OWN, ids, [payload] * len(ids))
    assert set(kinds_of(receipts, len(ids))) == {v.ReceiptKind.CREATED}
    drive.put(OWN.message("z", payload))
    plain, usual = drive.record(ids[0], full=True), drive.record("z", full=True)
    assert plain == msgspec.structs.replace(usual, id=ids[0])
    assert plain.payload == payload
    assert drive.store.counts().queues == {"q": {"queued": len(ids) + 1}}
    claimed = drive.claim(len(ids) + 1, ("q",))
    assert [c.id for c in claimed] == [*ids, "z"]
    assert {c.payload for c in claimed} == {payload}
    assert (claimed[0].root_id, claimed[0].parent_id, claimed[0].headers) == ("r", "p", b"h")
    for claim in claimed:
        assert drive.commit(claim) == v.Verdict.COMMITTED
    assert drive.store.counts().queues == {}


def test_calls_stand_in_the_queue_by_priority_and_as_they_came(drive: Driver) -> None:
    for name, priority in (("late", 9), ("a", 1), ("b", 1), ("first", 0)):
        drive.store.enqueue_plain(kind(priority=priority), [name], [b""])
    drive.store.enqueue_plain(kind(priority=1), ["c", "d"], [b"", b""])
    assert [c.id for c in drive.claim(9)] == ["first", "a", "b", "c", "d", "late"]


@pytest.mark.parametrize("ids", [["a"], ["a", "b"]])
def test_the_same_call_twice_is_stored_once(drive: Driver, ids: list[str]) -> None:
    for _ in range(2):
        receipts = drive.store.enqueue_plain(OWN, ids, [b"p"] * len(ids))
        assert set(kinds_of(receipts, len(ids))) == {v.ReceiptKind.CREATED}
    assert drive.store.counts().queues == {"q": {"queued": len(ids)}}


@pytest.mark.parametrize("ids", [["a"], ["a", "new"]])
def test_an_id_that_another_call_has_is_told(drive: Driver, ids: list[str]) -> None:
    drive.put_one("a", task="other", token="t")
    receipts = drive.store.enqueue_plain(OWN, ids, [b"p"] * len(ids))
    assert (receipts[0].kind, receipts[0].holder_task) == (v.ReceiptKind.CONFLICT, "other")
    assert drive.record("a").task == "other"
    if len(ids) > 1:
        assert receipts[1].kind == v.ReceiptKind.CREATED
        assert drive.record("new").queue == "q"


def test_one_that_has_ended_gives_way(drive: Driver) -> None:
    drive.put_one("a", token="t")
    drive.run(oc.Failed())
    assert drive.store.enqueue_plain(OWN, ["a"], [b""]) in ((), (v.Receipt(id="a"),))
    assert drive.record("a").state == "queued"


def test_an_id_may_be_named_twice(drive: Driver) -> None:
    drive.store.enqueue_plain(OWN, ["a", "a"], [b"p", b"p"])
    assert drive.store.counts().queues == {"q": {"queued": 1}}


def test_nothing_of_nothing_is_stored(drive: Driver) -> None:
    assert drive.store.enqueue_plain(OWN, [], []) == ()


def test_too_much_is_refused(open_driver: Opener) -> None:
    store = open_driver(max_message_bytes=100, max_batch=3).store
    with pytest.raises(MessageTooLarge):
        store.enqueue_plain(kind(headers=b"h" * 60), ["a"], [b"p" * 41])
    with pytest.raises(MessageTooLarge):
        store.enqueue_plain(kind(), ["a", "b"], [b"p", b"p" * 101])
    with pytest.raises(StoreError):
        store.enqueue_plain(kind(), list("abcd"), [b""] * 4)
    assert store.read(list("abcd")) == (None,) * 4


def test_the_trail_has_it_where_all_is_to_be_told(open_driver: Opener) -> None:
    store = open_driver(audit="all").store
    store.enqueue_plain(kind(), ["a"], [b""])
    store.enqueue_plain(kind(), ["b", "c"], [b"", b""])
    assert [(r.event, r.id) for r in store.audit(v.AuditQuery())] == [
        ("enqueued", name) for name in "abc"
    ]


def test_a_store_on_its_own_clock_keeps_it_as_well(store: Store) -> None:
    store.open_session(v.SessionInfo(id="s", worker="w"), 60_000)
    before = store.now_ms()
    for name, payload in (("a", b""), ("b", b"\r\n$1\r\n"), ("c", "é".encode() * 300)):
        assert not any(r.kind != "created" for r in store.enqueue_plain(OWN, [name], [payload]))
        (claim,) = store.wait_then_claim("s", v.ClaimRequest(queues=("q",), limit=1), 1).claims
        assert (claim.id, claim.payload) == (name, payload)
        assert before <= claim.enqueued_ms <= claim.started_ms <= store.now_ms()


def test_a_kind_stays_itself_between_stores(drive: Driver) -> None:
    made = list[object]()
    for name in "ab":
        drive.store.enqueue_plain(kind(headers=b"x"), [name], [b""])
        claim = drive.claim_one()
        made += [claim.kind] if claim.kind else []
    assert len(set(made)) <= 1
    drive.put(message("c", headers=b"x"))
    assert {drive.claim_one().kind} <= {*made, None}
