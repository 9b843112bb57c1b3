"""Real workers whose Redis is there, and yet is not: lost replies, resets, silence, refusals."""

from __future__ import annotations

import contextlib
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.core.message import State
from reliable_tasks.errors import StoreFull
from reliable_tasks.store.values import AuditQuery
from tests.faults.proxy import Proxy
from tests.faults.verbs import verb_of
from tests.patience import PATIENCE_S
from tests.process.harness import Place, wait_until
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

IMPATIENT = "?socket_timeout=0.4&socket_connect_timeout=0.4"
SHORT_LEASE = {"session_lease": 1.2, "heartbeat_interval": 0.2, "audit": "all"}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as opened:
        yield opened


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port, verb_of) as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path, server: RedisServer, proxy: Proxy) -> Iterator[Place]:
    """The test reaches the server directly, its workers by way of the proxy."""
    with contextlib.closing(Place(tmp_path, server.url)) as opened:
        opened._env["STORE_URL"] = proxy.url + IMPATIENT
        yield opened


def succeeded(place: Place) -> Counter[str]:
    rows = place.store.audit(AuditQuery(event="succeeded", limit=10_000))
    return Counter(row.id for row in rows)


def test_pain_3_replies_that_are_lost_all_the_time_lose_nothing_and_repeat_nothing(
    place: Place, proxy: Proxy
) -> None:
    place.start_worker("--concurrency", "2", settings={"audit": "all"})
    results = [place.call("nap", 0.005) for _ in range(150)]
    for n in range(12):
        if n % 4 == 3:
            proxy.reset_all()
        faults = [
            proxy.lose_next_reply("exchange", skip=n % 3),
            proxy.cut_next_request("exchange", skip=2),
        ]
        if n % 4 == 0:
            faults.append(proxy.lose_next_reply("reap"))
        results += [place.call("nap", 0.001) for _ in range(10)]
        for fault in faults:
            fault.wait()
    for result in results:
        result.get(timeout=PATIENCE_S)
    assert succeeded(place) == Counter(r.id for r in results), "each was committed once"
    runs = Counter(e.id for e in place.effects("nap"))
    assert set(runs.values()) == {1}, "no body ran twice, since no worker died"


def test_pain_4_a_worker_in_a_blackhole_for_longer_than_its_lease_goes_on_by_itself(
    place: Place, proxy: Proxy
) -> None:
    worker = place.start_worker("--concurrency", "2", settings=SHORT_LEASE)
    running = place.call("wait_for", "go")
    place.wait_effect("waits")
    proxy.blackhole()
    waiting = [place.call("nap", 0.001) for _ in range(20)]
    place.write("go", "")
    place.wait_effect("goes on")
    wait_until(lambda: "store.unavailable" in worker.log, "it has noticed")
    wait_until(
        lambda: all(s.lease_until_ms < place.store.now_ms() for s in place.store.sessions()),
        "all leases have passed",
    )
    assert not running.ready()
    proxy.restore()
    for result in (running, *waiting):
        result.get(timeout=PATIENCE_S)
    wait_until(
        lambda: all(s.lease_until_ms > place.store.now_ms() for s in place.store.sessions()),
        "its sessions, the same or new ones, are alive",
    )
    wait_until(lambda: "store.recovered" in worker.log, "it says so")
    assert set(succeeded(place).values()) == {1}
    assert len(place.effects("waits")) == 1, "nobody was there to take its claim away"
    assert place.store.counts().states == {State.SUCCEEDED: 21}


def test_pain_2_a_worker_that_was_cut_off_commits_nothing_of_what_another_took_over(
    place: Place, proxy: Proxy, server: RedisServer
) -> None:
    cut_off = place.start_worker("--concurrency", "1", settings=SHORT_LEASE)
    result = place.call("wait_for", "go")
    first = place.wait_effect("waits")
    lost = {session.id for session in place.store.sessions()}
    place._env["STORE_URL"] = server.url
    place.start_worker("--concurrency", "1", settings=SHORT_LEASE)
    proxy.blackhole()
    second = place.wait_effect("waits", 2)
    place.write("go", "")
    place.wait_effect("goes on", 2)
    result.get(timeout=PATIENCE_S)
    proxy.restore()
    stale = wait_until(
        lambda: place.store.audit(AuditQuery(id=result.id, event="stale")), "a row of the stale one"
    )
    assert {row.fence for row in stale} == {first.fence}
    assert place.record(result).fence == second.fence
    assert succeeded(place)[result.id] == 1

    def knows() -> bool:
        # Its supervisor hears of it first and says so, or its child, which ends and is replaced.
        sessions = {session.id for session in place.store.sessions()}
        return "session.lost" in cut_off.log or (len(sessions) == 2 and not sessions & lost)

    wait_until(knows, "it knows that it was taken for dead")
    wait_until(lambda: cut_off.name in {s.worker for s in place.store.sessions()}, "it is back")


# What the server says -----------------------------------------------------------------------------

Trouble = tuple["Callable[[Any], object]", "Callable[[Any], object]"]


def replica(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", 1)


def master(client: redis.Redis) -> None:
    client.replicaof("NO", "ONE")


TROUBLES: dict[str, Trouble] = {
    "a failover made it a replica": (replica, master),
    "it has lost its replicas": (
        lambda client: client.config_set("min-replicas-to-write", 1),
        lambda client: client.config_set("min-replicas-to-write", 0),
    ),
}


def has_seen(proxy: Proxy, verb: str, count: int) -> bool:
    return proxy.seen.count(verb) >= count


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_worker_outlives_a_server_that_takes_no_writes(
    place: Place, server: RedisServer, proxy: Proxy, trouble: str
) -> None:
    begin, end = TROUBLES[trouble]
    worker = place.start_worker("--concurrency", "2", settings={"heartbeat_interval": 0.2})
    running = place.call("wait_for", "go")
    place.wait_effect("waits")
    begin(server.client())
    before = Counter(proxy.seen)
    place.write("go", "")
    place.wait_effect("goes on")
    for verb in ("exchange", "heartbeat"):
        wait_until(partial(has_seen, proxy, verb, before[verb] + 3), f"{verb} was refused")
    assert "store.unavailable" in worker.log
    assert worker.running
    assert not running.ready()
    end(server.client())
    assert running.get(timeout=PATIENCE_S) == "go", "the outcome was kept, and said again"
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2
    assert len(place.effects("waits")) == 1
    assert "child.died" not in worker.log


def test_a_worker_works_on_at_a_server_whose_memory_is_full(
    place: Place, server: RedisServer, proxy: Proxy
) -> None:
    worker = place.start_worker("--concurrency", "1", settings=SHORT_LEASE)
    running, waiting = place.call("wait_for", "go"), place.call("add", 1, 1)
    place.wait_effect("waits")
    server.client().config_set("maxmemory", 1)
    with pytest.raises(StoreFull, match="maxmemory"):
        place.call("add", 2, 2)
    before = Counter(proxy.seen)
    wait_until(partial(has_seen, proxy, "heartbeat", before["heartbeat"] + 4), "it is heard of")
    place.write("go", "")
    assert running.get(timeout=PATIENCE_S) == "go"
    assert waiting.get(timeout=PATIENCE_S) == 2
    assert len(place.effects("waits")) == 1
    for word in ("store.unavailable", "child.died", "session.lost"):
        assert word not in worker.log
    server.client().config_set("maxmemory", 0)
    assert place.call("add", 3, 3).get(timeout=PATIENCE_S) == 6


@pytest.mark.parametrize(
    "reply", ["LOADING the dataset in memory", "MASTERDOWN no master", "BUSY running a script"]
)
def test_a_worker_waits_for_a_server_that_is_not_ready(
    place: Place, proxy: Proxy, reply: str
) -> None:
    worker = place.start_worker("--concurrency", "1", settings={"heartbeat_interval": 0.2})
    faults = [proxy.answer_next(reply) for _ in range(12)]
    result = place.call("add", 1, 1)
    faults[-1].wait()
    assert result.get(timeout=PATIENCE_S) == 2
    wait_until(lambda: "store.recovered" in worker.log, "it says so")


def test_scripts_are_sent_again_whenever_they_are_flushed(
    place: Place, server: RedisServer
) -> None:
    worker = place.start_worker("--concurrency", "2")
    client = server.client()
    for n in range(20):
        client.script_flush()
        assert place.call("add", n, n).get(timeout=PATIENCE_S) == 2 * n
    assert "store.unavailable" not in worker.log
