"""Waiting: for work, for results and for entries; on the real clock."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import pytest

from reliable_tasks.core import clock
from reliable_tasks.core import waiting as core_waiting
from reliable_tasks.core.outcome import Failed, Retry, Succeeded
from reliable_tasks.store.protocol import Store
from reliable_tasks.store.redis import waiting as _waiting
from reliable_tasks.store.sqlite import waits
from reliable_tasks.store.values import (
    Batch,
    Claim,
    ClaimRequest,
    Commit,
    Entry,
    Record,
    SessionInfo,
    Verdict,
)
from tests.patience import PATIENCE_S
from tests.store.driver import message

T = TypeVar("T")

LONG_S = 4 * PATIENCE_S
SOON_S = PATIENCE_S


@pytest.fixture(autouse=True)
def _nobody_looks_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not told waits for longer than we do."""
    monkeypatch.setattr(_waiting, "WORK_SECONDS", LONG_S)
    monkeypatch.setattr(_waiting, "WAIT_SECONDS", LONG_S)
    monkeypatch.setattr(waits, "LONGEST_WAIT_S", LONG_S)
    monkeypatch.setattr(core_waiting, "UNTOLD_PAUSE_S", LONG_S)


@contextmanager
def waiting(wait: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Wait in a thread; the call gives the answer, and checks that it came soon."""
    begun = threading.Event()

    def run() -> T:
        begun.set()
        return wait()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        assert begun.wait(LONG_S)
        yield lambda: future.result(SOON_S)


@contextmanager
def _again_and_again(change: Callable[[], object]) -> Iterator[None]:
    """Change something until the end: one change may come before the waiter first looks."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.01):
            change()

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(run)
        try:
            yield
        finally:
            over.set()
            changing.result()


def put(store: Store, message_id: str, **fields: object) -> None:
    store.enqueue(Batch(messages=(message(message_id, **fields),)))


# Waiting and claiming at once

WANT = ClaimRequest(queues=("celery",), limit=2)


def test_who_waits_to_claim_gets_what_comes(store: Store) -> None:
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    with waiting(lambda: store.wait_then_claim("s", WANT, LONG_S)) as answer:
        put(store, "a")
        (claim,) = answer().claims
    assert claim.id == "a"
    assert [c.id for c in store.held("s")] == ["a"]
    commit = Commit(id="a", fence=claim.fence, outcome=Succeeded(result=b"1"))
    assert store.exchange("s", (commit,), None).verdicts == (Verdict.COMMITTED,)


def test_who_waits_to_claim_gets_what_is_there_at_once(store: Store) -> None:
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    for name in ("a", "b", "c"):
        put(store, name)
    began = clock.monotonic()
    assert [c.id for c in store.wait_then_claim("s", WANT, LONG_S).claims] == ["a", "b"]
    assert clock.monotonic() - began < SOON_S


def test_who_waits_to_claim_gets_what_becomes_due(store: Store) -> None:
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    put(store, "a", delay_ms=60)
    assert [c.id for c in _claimed(store, "s")] == ["a"]


def test_who_waits_to_claim_gets_a_retry_that_is_scheduled_and_due(store: Store) -> None:
    put(store, "a")
    for session in ("s", "t"):
        store.open_session(SessionInfo(id=session, worker="w"), 600_000)
    (claim,) = store.exchange("s", (), WANT).claims
    with waiting(lambda: _claimed(store, "t")) as answer:
        commit = Commit(id="a", fence=claim.fence, outcome=Retry(delay_ms=20))
        store.exchange("s", (commit,), None)
        assert [c.id for c in answer()] == ["a"]


def _claimed(store: Store, session: str) -> tuple[Claim, ...]:
    """Wait until there is a claim: what becomes due may end the wait a little before."""
    while not (claims := store.wait_then_claim(session, WANT, LONG_S).claims):
        pass
    return claims


def test_who_waits_to_claim_gives_up_after_its_time(store: Store) -> None:
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    put(store, "a", queue="other")
    began = clock.monotonic()
    reply = store.wait_then_claim("s", WANT, 0.05)
    assert 0.04 < clock.monotonic() - began < SOON_S
    assert (reply.claims, reply.lost) == ((), False)


def test_who_waits_to_claim_is_interrupted_and_told_of_a_lost_session(store: Store) -> None:
    reading, writing = os.pipe()
    try:
        with waiting(lambda: store.wait_then_claim("nobody", WANT, LONG_S, reading)) as answer:
            os.write(writing, b"x")
            reply = answer()
        put(store, "a")
    finally:
        os.close(reading)
        os.close(writing)
    assert (reply.claims, reply.lost) == ((), True)
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    claims = store.wait_then_claim("s", WANT, LONG_S).claims
    assert [c.id for c in claims] == ["a"], "nobody has claimed it"


# Results


@pytest.mark.parametrize("size", [1, 100_000])
def test_who_waits_for_an_end_gets_the_record(store: Store, size: int) -> None:
    put(store, "a")
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    with waiting(lambda: _ended(store)) as answer:
        (claim,) = store.exchange("s", (), WANT).claims
        store.report("a", claim.fence, "BUSY", b"half")
        assert store.read_ended("a", 0.05) is None
        commit = Commit(id="a", fence=claim.fence, outcome=Succeeded(result=b"r" * size))
        store.exchange("s", (commit,), None)
        record = answer()
    assert record.result == b"r" * size
    assert (record,) == store.read(["a"])
    assert store.read_ended("a", LONG_S) == record, "what has ended is not waited for"


def test_who_waits_for_an_end_gets_a_failure_as_well(store: Store) -> None:
    put(store, "a")
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    with waiting(lambda: _ended(store)) as answer:
        (claim,) = store.exchange("s", (), WANT).claims
        commit = Commit(id="a", fence=claim.fence, outcome=Failed(failure=b"why"))
        store.exchange("s", (commit,), None)
        record = answer()
    assert (record,) == store.read(["a"])
    assert record.failure == b"why"


def _ended(store: Store) -> Record:
    deadline = clock.monotonic() + LONG_S
    while clock.monotonic() < deadline:
        record = store.read_ended("a", LONG_S)
        if record is not None:
            return record
    raise AssertionError("it did not end")


def test_an_end_that_does_not_come_is_waited_for_no_longer_than_said(store: Store) -> None:
    put(store, "a")
    began = clock.monotonic()
    assert store.read_ended("a", 0.05) is None
    assert store.read_ended("nobody", 0.05) is None
    assert 0.08 < clock.monotonic() - began < SOON_S


def test_waiting_for_a_result_ends_when_the_message_changes(store: Store) -> None:
    put(store, "a")
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    (claim,) = store.exchange("s", (), ClaimRequest(queues=("celery",), limit=1)).claims
    (record,) = store.read(["a"])
    assert record is not None
    seen = record.version
    with waiting(lambda: store.wait({"a": seen, "nobody": -1}, LONG_S)) as answer:
        commit = Commit(id="a", fence=claim.fence, outcome=Succeeded())
        store.exchange("s", (commit,), None)
        assert answer()


def test_waiting_for_a_result_ends_when_an_unknown_message_appears(store: Store) -> None:
    with waiting(lambda: store.wait({"a": -1}, LONG_S)) as answer:
        put(store, "a")
        assert answer()


def test_waiting_for_an_end_sleeps_on_while_the_message_is_claimed(store: Store) -> None:
    put(store, "a")
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    with waiting(lambda: store.wait({"a": -1, "nobody": -1}, LONG_S, ended=True)) as answer:
        (claim,) = store.exchange("s", (), ClaimRequest(queues=("celery",), limit=1)).claims
        store.report("a", claim.fence, "BUSY", b"half")
        assert not store.wait({"a": -1, "nobody": -1}, 0.1, ended=True)
        (record,) = store.read(["a"])
        assert record is not None
        assert store.wait({"a": record.version - 1}, 0.1)
        commit = Commit(id="a", fence=claim.fence, outcome=Succeeded())
        store.exchange("s", (commit,), None)
        assert answer()
    assert store.wait({"a": -1}, LONG_S, ended=True), "what has ended is not waited for"


def test_waiting_for_a_result_gives_up_after_its_time(store: Store) -> None:
    put(store, "a")
    (record,) = store.read(["a"])
    assert record is not None
    assert not store.wait({"a": record.version}, 0.05)


def test_waiting_for_entries_ends_when_one_is_put(store: Store) -> None:
    with (
        waiting(lambda: store.wait_for_entries(LONG_S)) as answer,
        _again_and_again(lambda: store.put_entry(Entry(name="e"))),
    ):
        assert answer()


def test_waiting_for_entries_ends_when_one_is_removed(store: Store) -> None:
    names = [f"e{i}" for i in range(500)]
    for name in names:
        store.put_entry(Entry(name=name))
    with (
        waiting(lambda: store.wait_for_entries(LONG_S)) as answer,
        _again_and_again(lambda: store.remove_entry(names.pop())),
    ):
        assert answer()


def test_waiting_for_entries_ends_when_its_descriptor_is_readable(store: Store) -> None:
    reading, writing = os.pipe()
    try:
        with waiting(lambda: store.wait_for_entries(LONG_S, reading)) as answer:
            os.write(writing, b"x")
            assert answer()
    finally:
        os.close(reading)
        os.close(writing)


def test_waiting_for_entries_gives_up_after_its_time(store: Store) -> None:
    assert not store.wait_for_entries(0.05)


def test_an_idle_waiter_costs_little(store: Store) -> None:
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    before = sum(os.times()[:2])
    assert store.wait_then_claim("s", WANT, 0.5).claims == ()
    assert sum(os.times()[:2]) - before < 0.05
