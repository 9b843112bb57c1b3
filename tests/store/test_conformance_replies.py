"""What a verb answers where there is nothing to tell."""

from typing import Any

import pytest

from reliable_tasks.store.values import Batch, Receipt, ReceiptKind
from tests.store.driver import Driver, message, once


def test_a_batch_without_a_stage_leaves_nothing_held(drive: Driver) -> None:
    assert drive.store.enqueue(Batch(messages=(message("a"),))).held == 0


def test_a_stage_that_is_not_sealed_yet_tells_of_nothing_held(drive: Driver) -> None:
    batch = Batch(messages=(message("a"), message("b")), stage="stage")
    assert drive.store.enqueue(batch).held == 0
    sealed = drive.store.enqueue(Batch(messages=(message("c"),), stage="stage", seal=True))
    assert sealed.held == 0


@pytest.mark.parametrize("fields", [{}, {"once": once()}, {"delay_ms": 500}], ids=str)
def test_what_is_stored_is_answered_so_and_no_more(drive: Driver, fields: dict[str, Any]) -> None:
    (receipt,) = drive.store.enqueue(Batch(messages=(message("a", **fields),))).receipts
    assert receipt == Receipt(id="a")


def test_a_repeated_enqueue_is_answered_as_the_first(drive: Driver) -> None:
    batch = Batch(messages=(message("a", once=once()),))
    first = drive.store.enqueue(batch)
    assert drive.store.enqueue(batch) == first


def test_what_holds_a_key_without_an_end_has_no_countdown(drive: Driver) -> None:
    drive.store.enqueue(Batch(messages=(message("a", once=once()),)))
    (refused,) = drive.store.enqueue(Batch(messages=(message("b", once=once()),))).receipts
    assert (refused.kind, refused.holder, refused.countdown_ms) == ("duplicate", "a", 0)


def test_one_that_joins_is_answered_the_same_again(drive: Driver) -> None:
    drive.put_one("a", once=once())
    joined = Receipt(id="b", kind=ReceiptKind.JOINED, holder="a")
    assert [drive.put_one("b", once=once(), joins_duplicate=True) for _ in "12"] == [joined] * 2


def test_one_that_runs_after_another_is_answered_the_same_again(drive: Driver) -> None:
    policy = once(on_conflict="rerun")
    drive.put_one("a", once=policy)
    drive.claim_one()
    assert [drive.put_one("b", once=policy) for _ in "12"] == [
        Receipt(id="b", kind=ReceiptKind.RERUN)
    ] * 2
