"""Inboxes of the Redis store: a lone call is one command, and is found by whoever looks."""

from collections.abc import Iterator
from typing import Any

import pytest

from reliable_tasks import errors
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from tests.faults.proxy import Proxy
from tests.faults.verbs import verb_of
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.store.driver import kind
from tests.store.idlers import blocked, claims, nobody_looks_anyway, redis_store
from tests.store.redis_factories import REDIS_FACTORIES

__all__ = ["nobody_looks_anyway"]

WANT = v.ClaimRequest(queues=("celery",), limit=10)


@pytest.fixture(params=sorted(REDIS_FACTORIES))
def store(request: pytest.FixtureRequest) -> Iterator[RedisStore]:
    with redis_store(request.param) as opened:
        opened.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
        yield opened


def leave(store: RedisStore, *ids: str, **fields: Any) -> None:
    for message_id in ids:
        store.enqueue_plain(kind(**fields), [message_id], [b"p"])


def in_inbox(store: RedisStore, queue: str = "celery") -> int:
    return int(store._command("XLEN", f"{store._key}inbox:{queue}"))


def test_a_lone_call_lies_in_the_inbox_until_somebody_looks(store: RedisStore) -> None:
    leave(store, "a", "b")
    assert store._command("EXISTS", f"{store._key}m:a") == 0
    assert store.counts().queues == {"celery": {"queued": 2}}
    first, second = store.read(["a", "b"], full=True)
    assert first is not None
    assert second is not None
    assert (first.state, first.payload) == (State.QUEUED, b"p")
    assert 0 <= store.now_ms() - first.enqueued_ms < 60_000
    leave(store, "c")
    assert [c.id for c in store.exchange("s", (), WANT).claims] == ["a", "b", "c"]


@pytest.mark.parametrize("bells", [1, 2, 9])
def test_bells_take_no_messages_place(store: RedisStore, bells: int) -> None:
    leave(store, "opens it", queue="a")
    store.exchange("s", (), v.ClaimRequest(queues=("a",), limit=1))
    for _ in range(bells):
        store._command("XADD", f"{store._key}inbox:a", "*", "", "")
    leave(store, "b", queue="b")
    leave(store, "a1", "a2", "a3", queue="a")
    want = v.ClaimRequest(queues=("a", "b"), limit=3)
    assert [c.id for c in store.exchange("s", (), want).claims] == ["a1", "a2", "a3"]
    assert [c.id for c in store.exchange("s", (), want).claims] == ["b"]


def test_it_is_claimed_without_ever_being_queued(store: RedisStore) -> None:
    leave(store, "a", "b")
    a, b = store.exchange("s", (), WANT).claims
    assert (a.id, a.payload, a.delivery) == ("a", b"p", 1)
    assert a.fence < b.fence
    assert in_inbox(store) == 0
    assert store.held("s") == (a, b)
    done = [v.Commit(id=c.id, fence=c.fence, outcome=oc.Succeeded(result=b"r")) for c in (a, b)]
    assert set(store.exchange("s", done, None).verdicts) == {v.Verdict.COMMITTED}
    assert store.counts().states == {"succeeded": 2}


@pytest.mark.parametrize("other", [{"priority": 1}, {"queue": "other"}])
def test_only_the_first_priority_goes_there(store: RedisStore, other: dict[str, Any]) -> None:
    leave(store, "a")
    leave(store, "b", **other)
    assert store._command("EXISTS", f"{store._key}m:b") == ("priority" in other)
    want = v.ClaimRequest(queues=("celery", "other"), limit=1)
    assert [store.exchange("s", (), want).claims[0].id for _ in "ab"] == ["a", "b"]


def test_more_than_one_script_may_take_are_all_found(store: RedisStore) -> None:
    many = [f"m{n:04}" for n in range(2_300)]
    leave(store, *many)
    assert store.counts().queues == {"celery": {"queued": len(many)}}
    leave(store, "last")
    want = v.ClaimRequest(queues=("celery",), limit=1_000)
    found: list[str] = []
    while got := store.exchange("s", (), want).claims:
        found += [c.id for c in got]
    assert found == [*many, "last"]


def test_a_busy_worker_takes_a_long_inbox_in_parts(store: RedisStore) -> None:
    many = [f"m{n:04}" for n in range(1_500)]
    leave(store, *many)
    want = v.ClaimRequest(queues=("celery",), limit=1_400)
    assert [c.id for c in store.exchange("s", (), want).claims] == many[:1000]
    assert [c.id for c in store.exchange("s", (), want).claims] == many[1000:]


def test_one_that_blocks_is_handed_it(store: RedisStore) -> None:
    with blocked(store, 2) as idlers:
        leave(store, "a")
        assert claims(idlers, "a", PATIENCE_S)


def test_what_was_handed_to_one_that_died_is_taken_by_the_next(store: RedisStore) -> None:
    leave(store, "a")
    store._waiting.for_work(("celery",), 1.0, -1)
    assert [c.id for c in store.exchange("s", (), WANT).claims] == ["a"]


def test_what_a_lapsed_session_was_handed_wakes_another(store: RedisStore) -> None:
    with blocked(store, 2) as idlers:
        store.close_session(idlers[0].session)
        leave(store, "a")
        assert claims(idlers[1:], "a", PATIENCE_S)


def test_what_somebody_has_looked_at_still_wakes(store: RedisStore) -> None:
    """It is queued then, and a bell says so."""
    leave(store, "a")
    assert store.counts().queues
    assert in_inbox(store) == 1
    assert [c.id for c in store.wait_then_claim("s", WANT, 4 * PATIENCE_S).claims] == ["a"]


def test_an_inbox_goes_with_the_last_worker_and_comes_again(store: RedisStore) -> None:
    leave(store, "a")
    assert store.purge("celery") == 1
    store.close_session("s")
    store.reap()
    assert store._command("EXISTS", f"{store._key}inbox:celery", f"{store._key}inboxes") == 0
    leave(store, "b")
    store.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
    assert [c.id for c in store.wait_then_claim("s", WANT, PATIENCE_S).claims] == ["b"]


def test_an_inbox_with_something_in_it_stays(store: RedisStore) -> None:
    leave(store, "a")
    store.close_session("s")
    store.reap()
    leave(store, "b")
    assert store.counts().queues == {"celery": {"queued": 2}}


def test_who_blocks_on_an_inbox_that_is_deleted_makes_it_again(store: RedisStore) -> None:
    with blocked(store, 1) as idlers:
        store._command("DEL", f"{store._key}inbox:celery")
        leave(store, "a")
        assert claims(idlers, "a", PATIENCE_S)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with RedisServer() as server, Proxy(server.port, verb_of) as opened:
        yield opened


def test_one_whose_answer_was_lost_is_stored_once(proxy: Proxy) -> None:
    store = RedisStore(proxy.url, v.StoreOptions())
    leave(store, "a")
    proxy.lose_next_reply("XADD")
    leave(store, "b")
    assert proxy.seen[-1] == "enqueue", "said again the general way, which looks first"
    assert store.counts().queues == {"celery": {"queued": 2}}
    store.close()


def test_one_that_was_overtaken_by_itself_is_stored_once(proxy: Proxy) -> None:
    store = RedisStore(proxy.url, v.StoreOptions())
    store.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
    leave(store, "a")
    late = proxy.hold_next_request("XADD")
    leave(store, "b")
    late.deliver()
    eventually(lambda: in_inbox(store) > 0, "it came")
    assert [c.id for c in store.exchange("s", (), WANT).claims] == ["a", "b"]
    assert [row.id for row in store.audit(v.AuditQuery(event="duplicate"))] == ["b"]
    store.close()


def test_a_full_server_refuses_a_lone_call() -> None:
    with RedisServer(maxmemory="3mb") as server:
        store = RedisStore(server.unix_url, v.StoreOptions())
        store.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
        leave(store, "first")
        with pytest.raises(errors.StoreFull, match="maxmemory"):
            leave(store, *(f"m{n}" for n in range(100_000)), headers=b"h" * 500)
        there = store.counts().queues["celery"]["queued"]
        assert there > 1
        assert len(store.exchange("s", (), WANT).claims) == WANT.limit
        store.close()
