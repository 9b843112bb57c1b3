"""Enqueue: idempotent by id and token, bounded, and free again after every ending."""

from collections.abc import Callable
from typing import Any

import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import Message, State
from reliable_tasks.errors import MessageTooLarge, StoreError
from reliable_tasks.store.values import AuditQuery, Batch, ReceiptKind, StoreOptions
from tests.fakes import FakeClock
from tests.store.conftest import Opener
from tests.store.driver import Driver, message, once
from tests.store.factories import Factory


def test_a_message_is_kept_as_it_was_given(drive: Driver) -> None:
    drive.put_one(
        "a", queue="q", priority=3, payload=b"\x00p", headers=b"h", parent_id="p", root_id="r"
    )
    record = drive.record("a", full=True)
    assert (record.task, record.queue, record.priority) == ("add", "q", 3)
    assert (record.payload, record.headers) == (b"\x00p", b"h")
    assert (record.parent_id, record.root_id) == ("p", "r")
    assert (record.state, record.attempt, record.enqueued_ms) == (State.QUEUED, 1, drive.clock.now)


def test_payload_and_headers_are_read_only_when_asked_for(drive: Driver) -> None:
    drive.put_one("a", payload=b"p", headers=b"h")
    record = drive.record("a")
    assert (record.payload, record.headers) == (None, b"")


def test_unknown_messages_are_read_as_none_in_the_order_asked(drive: Driver) -> None:
    drive.put(message("a"), message("b"))
    found = drive.store.read(["b", "nobody", "a"])
    assert [r.id if r else None for r in found] == ["b", None, "a"]


def test_the_same_enqueue_repeated_stores_once(drive: Driver) -> None:
    first = drive.put_one("a", token="t")
    assert drive.put_one("a", token="t") == first
    assert drive.events("a") == ["enqueued"]
    assert len(drive.claim(10)) == 1


def test_the_same_enqueue_repeated_after_the_end_changes_nothing(drive: Driver) -> None:
    drive.put_one("a", token="t")
    drive.run(oc.Succeeded(result=b"r"))
    assert drive.put_one("a", token="t").kind == ReceiptKind.CREATED
    assert drive.record("a").result == b"r"
    assert drive.claim() == ()


def test_a_live_id_given_again_is_a_duplicate(drive: Driver) -> None:
    drive.put_one("a", token="t", delay_ms=700)
    receipt = drive.put_one("a", token="other")
    assert (receipt.kind, receipt.holder) == (ReceiptKind.DUPLICATE, "a")
    assert receipt.countdown_ms == 700
    assert drive.events("a") == ["enqueued", "duplicate"]


LARGE = b"x" * 5_000


@pytest.mark.parametrize("payload", [b"old", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("other", [{"payload": b"new"}, {"task": "mul"}], ids=repr)
def test_a_live_id_of_another_call_is_a_conflict(
    drive: Driver, payload: bytes, other: dict[str, Any]
) -> None:
    drive.put_one("a", token="t", payload=payload, delay_ms=700)
    receipt = drive.put_one("a", **{"payload": payload, "token": "other", **other})
    assert (receipt.kind, receipt.holder) == (ReceiptKind.CONFLICT, "a")
    assert receipt.countdown_ms == 700
    record = drive.record("a", full=True)
    assert (record.task, record.payload) == ("add", payload)
    assert drive.events("a") == ["enqueued", "conflict"]
    assert drive.put_one("a", token="again", payload=payload).kind == ReceiptKind.DUPLICATE


def test_calls_of_one_batch_are_compared(drive: Driver) -> None:
    def call(token: str, payload: bytes) -> Message:
        return message("a", token=token, payload=payload)

    given = [call("1", LARGE), call("2", LARGE), call("3", b"new"), call("1", b"new")]
    assert [r.kind for r in drive.put(*given)] == ["created", "duplicate", "conflict", "created"]
    assert drive.record("a", full=True).payload == LARGE


def test_a_call_is_compared_with_the_arguments_that_a_retry_left(drive: Driver) -> None:
    drive.put_one("a", token="t", payload=b"old")
    drive.run(oc.Retry(payload=LARGE, delay_ms=5))
    assert drive.put_one("a", token="2", payload=b"old").kind == ReceiptKind.CONFLICT
    assert drive.put_one("a", token="3", payload=LARGE).kind == ReceiptKind.DUPLICATE


def _succeed(drive: Driver) -> None:
    drive.run(oc.Succeeded())


def _fail(drive: Driver) -> None:
    drive.run(oc.Failed())


def _ignore(drive: Driver) -> None:
    drive.run(oc.Ignored())


def _reject(drive: Driver) -> None:
    drive.run(oc.Rejected())


def _revoke(drive: Driver) -> None:
    drive.store.revoke(["a"])


def _purge(drive: Driver) -> None:
    drive.store.purge("celery")


@pytest.mark.parametrize("ending", [_succeed, _fail, _ignore, _reject, _revoke, _purge])
def test_an_ended_id_can_be_used_again(drive: Driver, ending: Callable[[Driver], None]) -> None:
    drive.put_one("a", token="t", payload=b"old")
    ending(drive)
    assert drive.put_one("a", token="other", payload=b"new").kind == ReceiptKind.CREATED
    record = drive.record("a", full=True)
    assert (record.state, record.payload, record.attempt) == (State.QUEUED, b"new", 1)
    assert (record.result, record.failure, record.ended_ms) == (None, None, None)
    assert [claim.id for claim in drive.claim(10)] == ["a"]


@pytest.mark.parametrize("ending", [_succeed, _fail, _ignore, _reject, _revoke, _purge])
def test_an_ended_id_stays_taken_where_a_batch_asks_for_it(
    drive: Driver, ending: Callable[[Driver], None]
) -> None:
    drive.put_one("a", token="t", payload=b"old")
    ending(drive)
    before = drive.record("a", full=True)

    def deliver(token: str, **fields: Any) -> ReceiptKind:
        given = message("a", **{"payload": b"old", "token": token, **fields})
        (receipt,) = drive.store.enqueue(Batch(messages=(given,), keep_ended=True)).receipts
        return receipt.kind

    assert deliver("t") == ReceiptKind.CREATED, "the same delivery, repeated"
    assert deliver("other", payload=b"new") == ReceiptKind.CONFLICT
    assert deliver("other", task="mul") == ReceiptKind.CONFLICT
    unknown = before.payload is None  # and then nobody can tell that it is the same call
    assert deliver("other") == (ReceiptKind.CONFLICT if unknown else ReceiptKind.DUPLICATE)
    assert drive.record("a", full=True) == before
    assert drive.claim(10) == ()


def test_a_message_of_the_largest_size_is_stored(open_driver: Opener) -> None:
    drive = open_driver(max_message_bytes=100)
    assert drive.put_one("a", payload=b"x" * 90, headers=b"y" * 10).kind == ReceiptKind.CREATED


def test_a_larger_message_is_refused_with_its_whole_batch(open_driver: Opener) -> None:
    drive = open_driver(max_message_bytes=100)
    large = message("large", payload=b"x" * 90, headers=b"y" * 11)
    with pytest.raises(MessageTooLarge, match=r"large.*101.*100"):
        drive.put(message("small"), large)
    assert drive.store.read(["small", "large"]) == (None, None)


def test_a_larger_batch_is_refused(open_driver: Opener) -> None:
    drive = open_driver(max_batch=2)
    with pytest.raises(StoreError, match=r"3 messages.*max_batch=2"):
        drive.put(message("a"), message("b"), message("c"))
    assert drive.store.read(["a", "b", "c"]) == (None, None, None)


def test_an_empty_batch_is_answered_with_nothing(drive: Driver) -> None:
    assert drive.put() == ()


def test_one_batch_may_name_an_id_twice(drive: Driver) -> None:
    kinds = [r.kind for r in drive.put(message("a", token="1"), message("a", token="2"))]
    assert kinds == [ReceiptKind.CREATED, ReceiptKind.DUPLICATE]


def test_the_default_trail_leaves_out_the_ordinary(open_driver: Opener) -> None:
    drive = open_driver()
    drive.put_one("a")
    drive.run()
    drive.put_one("b")
    drive.run(oc.Failed(detail=b'{"why":1}'))
    (row,) = drive.store.audit(AuditQuery())
    assert (row.event, row.id, row.task, row.detail) == ("failed", "b", "add", b'{"why":1}')


def test_the_full_trail_tells_the_whole_story(drive: Driver) -> None:
    drive.put_one("a", delay_ms=5)
    drive.clock.advance(5)
    drive.run()
    assert drive.events("a") == ["enqueued", "promoted", "started", "succeeded"]


def test_large_batches_arrive_in_order(drive: Driver) -> None:
    ids = [f"m{i}" for i in range(1000)]
    drive.store.enqueue(Batch(messages=tuple(message(i) for i in ids)))
    assert [c.id for c in drive.claim(1000)] == ids


def test_text_and_bytes_of_all_kinds_survive(drive: Driver) -> None:
    odd = "käse '; DROP TABLE records; -- \N{SNOWMAN}"
    drive.put_one(odd, task=odd, queue=odd, payload=bytes(range(256)))
    record = drive.record(odd, full=True)
    assert (record.id, record.task, record.queue) == (odd, odd, odd)
    assert record.payload == bytes(range(256))


def test_the_store_tells_its_clock_and_options(factory: Factory) -> None:
    with factory(StoreOptions(max_batch=7), FakeClock(42)) as store:
        assert store.now_ms() == 42
        assert store.options.max_batch == 7
        assert store.location
        assert store.health().holds


@pytest.mark.parametrize("policy", ["raise", "return", "replace", "rerun"])
@pytest.mark.parametrize(
    "ending", [oc.Failed(failure=b"f"), oc.Succeeded(result=b"r"), oc.Ignored()], ids=repr
)
def test_a_refused_message_leaves_what_has_its_id_alone(
    drive: Driver, policy: str, ending: oc.Outcome
) -> None:
    drive.put_one("a", token="t", payload=b"old")
    drive.run(ending)
    drive.put_one("holder", once=once(on_conflict=policy))
    before, told = drive.record("a", full=True), drive.events("a")
    receipt = drive.put_one("a", token="other", once=once(on_conflict=policy))
    assert receipt.holder == "holder"
    assert (drive.record("a", full=True), drive.events("a")) == (before, told)
    assert drive.put_one("a", token="t").kind == ReceiptKind.CREATED  # the same call, repeated


def test_a_dead_letter_that_gives_way_to_a_new_message_is_told_of(drive: Driver) -> None:
    drive.put_one("a", token="t")
    drive.run(oc.Failed())
    drive.put_one("a", token="other")
    assert drive.events("a") == ["enqueued", "started", "failed", "dropped", "enqueued"]


def test_an_id_that_is_refused_and_then_stored_in_one_batch_is_there(drive: Driver) -> None:
    drive.put_one("again")
    drive.run(oc.Succeeded(result=b"1"))
    drive.put_one("holder", once=once())
    refused, stored = drive.put(
        message("again", once=once(), token="new"), message("again", token="newer")
    )
    assert (refused.kind, stored.kind) == (ReceiptKind.DUPLICATE, ReceiptKind.CREATED)
    assert drive.record("again").state == State.QUEUED
    assert [c.id for c in drive.claim(9)] == ["holder", "again"]


def test_a_batch_larger_than_any_one_command_is_stored(open_driver: Opener) -> None:
    drive = open_driver(max_batch=5000)
    receipts = drive.put(*(message(f"m{n}") for n in range(4500)))
    assert {r.kind for r in receipts} == {ReceiptKind.CREATED}
    assert drive.store.counts().queues == {"celery": {"queued": 4500}}
    assert [c.id for c in drive.claim(2)] == ["m0", "m1"]
