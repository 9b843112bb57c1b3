"""Redis at its `maxmemory`: what is new is refused; what makes room or keeps a lease is not."""

from collections.abc import Iterator
from typing import Any

import pytest

from reliable_tasks import errors
from reliable_tasks.core import outcome as oc
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from tests.fakes import START_MS, FakeClock
from tests.redis_server import RedisServer, find_servers
from tests.store.driver import LEASE_MS, SESSION, Driver, message

LARGE = 100_000
MARGIN = 3 * LARGE  # more than the buffers of idle connections, which the server lets go in time


class Full:
    """A server without room, on which messages were waiting, running and scheduled before."""

    def __init__(self, server: RedisServer) -> None:
        self.clock = FakeClock()
        self.url = server.unix_url
        options = v.StoreOptions()
        self.store = RedisStore(self.url, options, self.clock)
        self.driver = Driver(self.store, self.clock)
        for n in range(10):
            self.driver.put_one(f"m{n}", payload=b"x" * LARGE)
        self.running = self.driver.claim_one()
        self.driver.put_one("due", eta_ms=START_MS + 1000)
        self.driver.put_one("late", queue="other", expires_ms=START_MS + 1000)
        with server.client() as client:
            used: Any = client.info("memory")["used_memory"]
            client.config_set("maxmemory", used - MARGIN)
        with pytest.raises(errors.StoreFull, match="maxmemory"):
            self.driver.put_one("new", payload=b"x")


SERVERS = {binary.version: binary for binary in find_servers()}


@pytest.fixture(params=SERVERS.values(), ids=list(SERVERS))
def full(request: pytest.FixtureRequest) -> Iterator[Full]:
    with RedisServer(request.param) as server:
        opened = Full(server)
        yield opened
        opened.store.close()


def test_leases_are_renewed(full: Full) -> None:
    full.clock.advance(LEASE_MS - 1)
    assert full.store.heartbeat([SESSION], LEASE_MS).lost == ()
    full.clock.advance(LEASE_MS - 1)
    assert full.store.reap().requeued == 0
    assert full.driver.record("m0").state == "running"


def test_a_reap_promotes_what_is_due_and_ends_what_is_late(full: Full) -> None:
    full.clock.advance(1000)
    reaped = full.store.reap()
    assert (reaped.promoted, reaped.expired) == (1, 1)


def test_the_queue_is_worked_off_until_there_is_room(full: Full) -> None:
    assert full.driver.commit(full.running) == v.Verdict.COMMITTED
    for _ in range(5):
        full.driver.run()
    full.driver.put_one("new", payload=b"x")


def test_idle_workers_wait_and_readers_too(full: Full) -> None:
    want = v.ClaimRequest(queues=("empty",), limit=1)
    assert not full.store.wait_then_claim(SESSION, want, 0.01).claims
    assert not full.store.wait({"m0": full.driver.record("m0").version}, 0.01)
    assert full.store.read_ended("m0", 0.01) is None
    live = RedisStore(
        full.store._server.client.connection_pool and full_url(full), v.StoreOptions()
    )
    assert not live.wait_then_claim("s", want, 0.01).claims
    live.close()


def full_url(full: Full) -> str:
    path = full.store._server.client.connection_pool.connection_kwargs["path"]
    return f"unix://{path}"


def test_operators_make_room(full: Full) -> None:
    full.store.revoke(["m1"])
    assert full.store.drop(["m1"]) == 1
    assert full.store.purge("celery") == 9
    assert full.store.close_session(SESSION) == 1
    full.driver.put_one("new", payload=b"x")


def test_a_large_result_waits_for_room(full: Full) -> None:
    done = oc.Succeeded(result=b"r" * LARGE)
    with pytest.raises(errors.StoreFull, match="maxmemory"):
        full.driver.commit(full.running, done)
    for _ in range(9):
        full.driver.run()
    assert full.driver.commit(full.running, done) == v.Verdict.COMMITTED


def test_what_brings_more_is_refused_as_a_whole(full: Full) -> None:
    before = full.store.counts()
    running = full.running
    entry = v.Entry(name="e", next_ms=START_MS)
    for bring in (
        lambda: full.store.enqueue(v.Batch(messages=(message("a"), message("b")))),
        lambda: full.store.report(running.id, running.fence, "PROGRESS", b"m"),
        lambda: full.store.step(running.id, running.fence, "one", None),
        lambda: full.store.put_entry(entry),
        lambda: full.store.save_group("g", b"v", 0),
    ):
        with pytest.raises(errors.StoreFull):
            bring()
    assert full.store.counts() == before


def test_it_is_told_beforehand(full: Full) -> None:
    assert any("of maxmemory" in warning for warning in full.store.health().warnings)


def test_a_full_server_refuses_whole_verbs() -> None:
    with RedisServer(maxmemory="3mb") as server:
        store = RedisStore(server.unix_url, v.StoreOptions())

        def fill() -> None:
            for n in range(100):
                store.enqueue(v.Batch(messages=(message(f"m{n}", payload=b"x" * LARGE),)))

        with pytest.raises(errors.StoreFull, match="maxmemory"):
            fill()
        stored = store.counts().queues["celery"]["queued"]
        records = store.read([f"m{n}" for n in range(100)])
        assert sum(r is not None for r in records) == stored
        store.close()
