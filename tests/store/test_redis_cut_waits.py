"""Waits on the Redis store that are cut, and claims that come when nobody asks any more."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from reliable_tasks import errors
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore, waiting
from reliable_tasks.worker import exchanger as exchangers
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.exchanger import ThreadedExchanger
from tests.fakes import FakeClock
from tests.faults.proxy import Proxy
from tests.faults.verbs import verb_of
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.store.driver import message

QUEUES = ("celery",)
WANT, OTHER = (v.ClaimRequest(queues=(name,), limit=1) for name in ("celery", "other"))
LATE_S = 4 * PATIENCE_S  # what comes by itself, and not because it was told


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with RedisServer() as server, Proxy(server.port, verb_of) as opened:
        yield opened


@pytest.fixture
def store(proxy: Proxy) -> Iterator[RedisStore]:
    with contextlib.closing(RedisStore(proxy.url, v.StoreOptions())) as opened:
        opened.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
        yield opened


def put(store: RedisStore, message_id: str, **fields: str) -> None:
    store.enqueue(v.Batch(messages=(message(message_id, **fields),)))


def state(store: RedisStore, message_id: str) -> State | None:
    (record,) = store.read([message_id])
    return None if record is None else record.state


@pytest.mark.parametrize("fault", ["reset", "lost"])
@pytest.mark.parametrize("wait", ["work", "change"])
def test_a_wait_that_is_cut_ends_with_an_error_and_the_next_one_works(
    store: RedisStore, proxy: Proxy, wait: str, fault: str
) -> None:
    put(store, "seen")
    told: list[object] = []

    def waits() -> bool:
        if wait == "work":
            return bool(store.wait_then_claim("s", OTHER, 5.0).claims)
        return store.wait({"seen": 1}, 5.0)

    def waiter() -> None:
        try:
            told.append(waits())
        except errors.StoreUnavailable as exc:
            told.append(exc)

    name = {"work": "XREADGROUP", "change": "SUBSCRIBE"}[wait]
    lost = proxy.lose_next_reply(name) if fault == "lost" else None
    thread = threading.Thread(target=waiter)
    thread.start()
    eventually(lambda: name in proxy.seen, "it waits")
    if lost is not None and wait == "work":
        put(store, "work", queue="other")
    elif lost is None:
        proxy.reset_all()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert isinstance(told[0], errors.StoreUnavailable) or told == [True]
    put(store, "more work", queue="other")
    assert store.wait_then_claim("s", OTHER, 5.0).claims, "also where a bell was lost"
    store.revoke(["seen"])
    assert store.wait({"seen": 1}, 1.0)


def test_an_interruption_that_overtakes_the_wait_on_its_way_still_ends_it(
    store: RedisStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "WORK_SECONDS", LATE_S)
    readable, writable = os.pipe()
    try:
        os.write(writable, b"x")
        store.wait_then_claim("s", WANT, 0.01)
        proxy.delay_next_request("XREADGROUP", 0.2)
        begun = time.monotonic()
        store.wait_then_claim("s", WANT, LATE_S, readable)
        assert time.monotonic() - begun < LATE_S
    finally:
        os.close(readable)
        os.close(writable)


def test_a_claim_whose_waiting_is_cut_is_found(
    store: RedisStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply is lost: the claim is made, and taken in when the store is asked what is held."""
    exchanger = ThreadedExchanger(Consumer(QUEUES), store, "s")
    lost = proxy.lose_next_reply("XREADGROUP")
    exchanger.start()
    eventually(lambda: "XREADGROUP" in proxy.seen, "it waits")
    put(store, "a")
    claim = exchanger.take()
    assert lost.happened.is_set()
    assert claim is not None
    assert claim.id == "a"
    exchanger.done(claim, oc.Succeeded())
    exchanger.drain()
    exchanger.join()
    assert state(store, "a") == State.SUCCEEDED


def test_a_claim_waits_on_a_server_that_forgets_its_scripts(
    store: RedisStore, proxy: Proxy
) -> None:
    told: list[v.Exchange] = []
    want = v.ClaimRequest(queues=QUEUES, limit=1)
    waiter = threading.Thread(target=lambda: told.append(store.wait_then_claim("s", want, 5.0)))
    waiter.start()
    eventually(lambda: "XREADGROUP" in proxy.seen, "it waits")
    eventually(lambda: "exchange" in proxy.seen, "and has asked already")
    store._command("SCRIPT", "FLUSH")
    put(store, "a")
    waiter.join(PATIENCE_S)
    assert [c.id for c in told[0].claims] == ["a"]


@pytest.mark.parametrize("durable", [None, "fsync"])
def test_a_claim_is_not_sent_along_where_it_could_not_be_timed_or_made_durable(
    proxy: Proxy, durable: str | None
) -> None:
    clock = None if durable else FakeClock()
    options = v.StoreOptions()
    with contextlib.closing(RedisStore(proxy.url, options, clock)) as store:
        store.options = msgspec.structs.replace(options, durable=durable)
        want = v.ClaimRequest(queues=QUEUES, limit=1)
        waiter = threading.Thread(target=_claims_or_fails, args=(store, want))
        waiter.start()
        eventually(lambda: "XREADGROUP" in proxy.seen, "it waits")
        assert "exchange" not in proxy.seen
        waiter.join(PATIENCE_S)
    assert durable or "exchange" in proxy.seen


def _claims_or_fails(store: RedisStore, want: v.ClaimRequest) -> None:
    with contextlib.suppress(errors.StoreError):  # no append-only file here
        store.wait_then_claim("s", want, 0.5)


def test_an_end_is_told_by_a_server_that_forgets_its_scripts(store: RedisStore) -> None:
    put(store, "a")
    store._command("SCRIPT", "FLUSH")
    assert store.read_ended("a", 0.01) is None
    store.revoke(["a"])
    store._command("SCRIPT", "FLUSH")
    record = store.read_ended("a", 1.0)
    assert record is not None
    assert record.state == State.REVOKED


def test_an_end_is_told_at_once(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAIT_SECONDS", LATE_S)
    put(store, "a")
    (claim,) = store.exchange("s", (), v.ClaimRequest(queues=QUEUES, limit=1)).claims
    told: list[v.Record | None] = []
    waiter = threading.Thread(target=lambda: told.append(store.read_ended("a", LATE_S)))
    waiter.start()
    eventually(lambda: bool(store._command("EXISTS", f"{store._key}awaited")), "it waits")
    done = v.Commit(id="a", fence=claim.fence, outcome=oc.Succeeded(result=b"1"))
    store.exchange("s", (done,), None)
    waiter.join(PATIENCE_S)
    (record,) = told
    assert record is not None
    assert record.result == b"1"


def test_who_listens_for_an_end_when_the_server_goes_asks_again(
    store: RedisStore, proxy: Proxy
) -> None:
    """So that it is patient then: the server was there at first."""
    put(store, "a")
    told: list[v.Record | None] = []
    waiter = threading.Thread(target=lambda: told.append(store.read_ended("a", 5.0)))
    waiter.start()
    eventually(lambda: bool(store._command("EXISTS", f"{store._key}awaited")), "it waits")
    proxy.refuse()
    proxy.reset_all()
    waiter.join(PATIENCE_S)
    assert told == [None]
    with pytest.raises(errors.StoreUnavailable):
        store.read_ended("a", 5.0)


def test_claims_made_by_a_request_that_was_overtaken_are_found_and_run(
    store: RedisStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchangers, "_RECONCILE_S", 0.2)
    monkeypatch.setattr(exchangers, "_LONGEST_WAIT_S", 0.2)
    exchanger = ThreadedExchanger(Consumer(QUEUES), store, "s")
    overtaken = proxy.hold_next_request("exchange")
    exchanger.start()
    overtaken.wait()
    put(store, "a")
    first = exchanger.take()
    assert first is not None
    put(store, "b")
    overtaken.deliver()
    assert state(store, "b") == State.RUNNING, "claimed, and nobody heard of it"
    exchanger.done(first, oc.Succeeded())
    second = exchanger.take()
    assert second is not None
    assert second.id == "b"
    exchanger.done(second, oc.Succeeded())
    exchanger.drain()
    exchanger.join()
    assert state(store, "b") == State.SUCCEEDED
