"""What is large is stored, claimed and committed in steps: by count, and by bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.errors import MessageTooLarge, StoreUnavailable
from reliable_tasks.store import steps
from reliable_tasks.store import values as v
from tests.store.driver import SESSION, WORKER, Driver, edge, message, once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.store.conftest import Opener

LARGE = bytes(1_000_000)


def _ids(count: int) -> list[str]:
    return [f"m{number:04}" for number in range(count)]


def _dies_after(drive: Driver, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store fail after so many steps, as if the process had died."""
    name = "_do" if hasattr(drive.store, "_do") else "_write"
    run, done = getattr(drive.store, name), list[object]()

    def failing(*args: Any, **kwargs: Any) -> Any:
        if len(done) == steps:
            raise StoreUnavailable("gone")
        done.append(args)
        return run(*args, **kwargs)

    monkeypatch.setattr(drive.store, name, failing)


def test_what_a_step_left_is_done_by_calling_again(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = _ids(steps.STEP_MESSAGES + 10)
    drive.put(*map(message, names))
    with monkeypatch.context() as patch:
        _dies_after(drive, 1, patch)
        with pytest.raises(StoreUnavailable):
            drive.store.revoke(names)
    states = [record.state for record in drive.store.read(names) if record is not None]
    assert states == [State.REVOKED] * steps.STEP_MESSAGES + [State.QUEUED] * 10
    found = [reply.found for reply in drive.store.revoke(names)]
    assert found == ["ended"] * steps.STEP_MESSAGES + ["revoked"] * 10


def test_a_session_is_forgotten_in_the_last_step(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = _ids(steps.STEP_MESSAGES + 10)
    drive.put(*map(message, names))
    drive.claim(len(names))
    with monkeypatch.context() as patch:
        _dies_after(drive, 1, patch)
        with pytest.raises(StoreUnavailable):
            drive.store.close_session(SESSION)
    assert [session.claims for session in drive.store.sessions()] == [10]
    assert drive.store.close_session(SESSION) == 10
    assert drive.store.sessions() == ()


def test_a_purge_ends_when_nothing_is_left(drive: Driver) -> None:
    drive.put(*map(message, _ids(steps.STEP_MESSAGES + 10)))
    assert drive.store.purge("celery", steps.STEP_MESSAGES + 5) == steps.STEP_MESSAGES + 5
    assert drive.store.purge("celery", 10_000) == 5


def test_a_round_of_reaping_has_several_steps(drive: Driver) -> None:
    drive.put(*(message(name, delay_ms=1) for name in _ids(450)))
    drive.clock.advance(1)
    assert drive.store.reap(limit=250).promoted == 250
    assert drive.store.reap(limit=250).promoted == 200


def test_once_tasks_of_one_batch_are_all_stored_and_told_of(drive: Driver) -> None:
    names = _ids(steps.STEP_MESSAGES + 10)
    drive.put(message("first", once=once(names[-1])))
    receipts = drive.put(*(message(name, once=once(name)) for name in names))
    assert [receipt.id for receipt in receipts] == names
    assert [receipt.holder for receipt in receipts] == [None] * (len(names) - 1) + ["first"]


def test_a_batch_that_was_stored_in_part_is_completed_by_storing_it_again(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [message(f"m{number}", payload=LARGE) for number in range(10)]
    batch = v.Batch(messages=tuple(messages))
    with monkeypatch.context() as patch:
        _dies_after(drive, 1, patch)
        with pytest.raises(StoreUnavailable):
            drive.store.enqueue(batch)
    first = [record is not None for record in drive.store.read([m.id for m in messages])]
    assert first == [True] * 4 + [False] * 6
    receipts = drive.store.enqueue(batch).receipts
    assert {receipt.kind for receipt in receipts} == {v.ReceiptKind.CREATED}
    assert len(receipts) == 10


def test_messages_that_wait_for_others_are_stored_whole_or_refused_in_words(drive: Driver) -> None:
    parents = [message(f"m{n}", payload=LARGE, edges=(edge("end"),)) for n in range(17)]
    with pytest.raises(MessageTooLarge, match=r"18 messages have 16 MiB.*at most 16 MiB"):
        drive.put(message("end", waits=17), *parents)
    assert drive.store.read(["end", "m0"]) == (None, None)
    drive.put(message("end", waits=16), *parents[:16])
    assert drive.state("end") == State.WAITING


def test_a_claim_hands_over_no_more_than_some_bytes_at_a_time(drive: Driver) -> None:
    for number in range(10):
        drive.put_one(f"m{number}", payload=LARGE)
    assert [len(_claimed(drive)) for _ in range(3)] == [5, 5, 0]


def test_inputs_count_as_what_is_handed_over(drive: Driver) -> None:
    names = [f"m{number}" for number in range(10)]
    drive.put(
        *(message(name, waits=1) for name in names),
        message("parent", edges=tuple(edge(name, slot=0) for name in names)),
    )
    drive.run(oc.Succeeded(result=LARGE))
    assert [len(_claimed(drive)) for _ in range(3)] == [5, 5, 0]


def test_large_results_are_deleted_in_steps(drive: Driver) -> None:
    names = _ids(10)
    drive.put(*(message(name, result_ttl_ms=1) for name in names))
    for claim in drive.claim(10):
        drive.commit(claim, oc.Succeeded(result=LARGE))
    drive.clock.advance(1)
    while drive.store.reap(limit=steps.STEP_MESSAGES).more:
        pass
    assert drive.store.read(names) == (None,) * 10


def test_a_stage_of_large_messages_is_let_go_in_steps(drive: Driver) -> None:
    messages = tuple(message(name, payload=LARGE) for name in _ids(10))
    stored = drive.store.enqueue(v.Batch(messages=messages, stage="stage"))
    held = [stored.held]
    while held[-1] or len(held) == 1:
        held.append(drive.store.enqueue(v.Batch(stage="stage", seal=True)).held)
    assert {drive.state(m.id) for m in messages} == {State.QUEUED}
    assert held[-1] == 0


def _claimed(drive: Driver) -> Sequence[v.Claim]:
    return drive.claim(10)


def test_large_results_are_committed_one_by_one_and_in_order(drive: Driver) -> None:
    names = _ids(10)
    drive.put(*map(message, names))
    claims = drive.claim(10)
    drive.put_one("later")
    commits = [
        v.Commit(id=c.id, fence=c.fence + (c.id == names[7]), outcome=oc.Succeeded(result=LARGE))
        for c in claims
    ]
    want = v.ClaimRequest(queues=("celery",), limit=1)
    reply = drive.store.exchange(SESSION, commits, want)
    assert [verdict == v.Verdict.STALE for verdict in reply.verdicts] == [n == 7 for n in range(10)]
    assert [claim.id for claim in reply.claims] == ["later"]


def test_all_that_a_session_holds_is_found(drive: Driver) -> None:
    names = _ids(steps.STEP_MESSAGES + 10)
    drive.put(*map(message, names))
    drive.claim(len(names))
    drive.store.open_session(v.SessionInfo(id="other", worker=WORKER), 20_000)
    assert [claim.id for claim in drive.store.held(SESSION)] == names
    assert drive.store.held("other") == ()


def test_a_large_result_goes_to_many_in_steps(open_driver: Opener) -> None:
    drive = open_driver()
    names = _ids(30)
    drive.put(
        *(message(name, waits=1) for name in names),
        message("parent", edges=tuple(edge(name, slot=0) for name in names)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive.store, "_resume", lambda: None)
        drive.run(oc.Succeeded(result=LARGE))
    started = [drive.state(name) for name in names].count(State.QUEUED)
    assert started < 10, "the first step takes few of them"
    while drive.store.reap(limit=steps.STEP_MESSAGES).more:
        pass
    assert {drive.state(name) for name in names} == {State.QUEUED}
