"""What is about the Redis store alone: waking, connections, errors, and what a server gives."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from reliable_tasks import App, errors
from reliable_tasks.core import outcome as oc
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from reliable_tasks.store.redis import waiting as _waiting
from tests.fakes import FakeClock
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer, default_server, find_servers
from tests.store.driver import kind, message, once
from tests.store.idlers import blocked_clients
from tests.store.redis_factories import REDIS_FACTORIES, server_of

QUEUES = ("celery",)
WANT = v.ClaimRequest(queues=QUEUES, limit=1)


@pytest.fixture
def server() -> RedisServer:
    return server_of(default_server())


@pytest.fixture
def store() -> Iterator[RedisStore]:
    with REDIS_FACTORIES["redis"](v.StoreOptions(), None) as opened:
        assert isinstance(opened, RedisStore)
        opened.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
        yield opened


def put(store: RedisStore, message_id: str, **fields: Any) -> None:
    store.enqueue(v.Batch(messages=(message(message_id, **fields),)))


def until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        threading.Event().wait(0.002)


LATE_S = 4 * PATIENCE_S


@pytest.fixture(autouse=True)
def _nobody_looks_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not woken sleeps on for longer than we wait."""
    monkeypatch.setattr(_waiting, "WORK_SECONDS", LATE_S)
    monkeypatch.setattr(_waiting, "WAIT_SECONDS", LATE_S)


class Waiter(threading.Thread):
    """A worker's consumer: blocks and claims, again and again."""

    def __init__(self, store: RedisStore, session: str) -> None:
        super().__init__()
        self.store, self.session = store, session
        self.wakes = 0
        self.claimed: list[str] = []
        self.ends, self._end = os.pipe()
        self.over = False
        store.open_session(v.SessionInfo(id=session, worker=session), 600_000)
        self.start()

    def end(self) -> None:
        self.over = True
        os.close(self._end)

    def run(self) -> None:
        while not self.over:
            reply = self.store.wait_then_claim(self.session, WANT, LATE_S, self.ends)
            self.wakes += 1
            self.claimed += [c.id for c in reply.claims]


@pytest.fixture
def waiters(store: RedisStore) -> Iterator[list[Waiter]]:
    group = [Waiter(store, f"w{n}") for n in range(4)]
    until(lambda: blocked_clients(store) == len(group))
    for waiter in group:
        waiter.wakes = 0
    yield group
    for waiter in group:
        waiter.end()
    for waiter in group:
        waiter.join()
        os.close(waiter.ends)


# Waking


def test_one_message_wakes_one_of_many(store: RedisStore, waiters: list[Waiter]) -> None:
    for n in range(5):
        put(store, f"m{n}")
        until(lambda n=n: sum(len(w.claimed) for w in waiters) == n + 1)  # type: ignore[misc]
        until(lambda: blocked_clients(store) == len(waiters))
    assert sum(w.wakes for w in waiters) <= 7


def test_a_batch_wakes_as_many_as_it_has_work_for(store: RedisStore, waiters: list[Waiter]) -> None:
    store.enqueue(v.Batch(messages=tuple(message(f"m{n}") for n in range(3))))
    until(lambda: sum(len(w.claimed) for w in waiters) == 3)


def test_an_idle_worker_is_blocked_and_asks_nothing(
    store: RedisStore, waiters: list[Waiter], server: RedisServer
) -> None:
    with redis.Redis.from_url(server.unix_url) as client:
        until(lambda: client.info("clients")["blocked_clients"] == len(waiters))
        before = client.info("stats")["total_commands_processed"]
        threading.Event().wait(0.2)
        assert client.info("stats")["total_commands_processed"] - before == 1, "our own question"


def test_what_becomes_due_wakes_few(store: RedisStore, waiters: list[Waiter]) -> None:
    begun = time.monotonic()
    put(store, "late", delay_ms=150)
    until(lambda: any(w.claimed for w in waiters))
    assert time.monotonic() - begun > 0.14
    until(lambda: blocked_clients(store) == len(waiters))
    assert sum(w.wakes for w in waiters) <= 4


def test_an_earlier_one_is_watched_for(store: RedisStore, waiters: list[Waiter]) -> None:
    put(store, "later", delay_ms=60_000)
    until(lambda: sum(w.wakes for w in waiters) > 0)
    until(lambda: blocked_clients(store) == len(waiters))
    put(store, "sooner", delay_ms=100)
    until(lambda: any(w.claimed == ["sooner"] for w in waiters))


def test_an_interrupted_wait_loses_no_bell(store: RedisStore) -> None:
    readable, writable = os.pipe()
    try:
        os.write(writable, b"x")
        for n in range(5):
            while (seen := store.wait_then_claim("s", WANT, LATE_S, readable)).claims:
                assert [c.id for c in seen.claims] == [f"m{n - 1}"], "it came just then"
            put(store, f"m{n}")
            if n % 2:
                assert store.wait_then_claim("s", WANT, LATE_S).claims
    finally:
        os.close(readable)
        os.close(writable)


def test_a_result_is_told_at_once(store: RedisStore) -> None:
    put(store, "a")
    (claim,) = store.exchange("s", (), WANT).claims
    (record,) = store.read(["a"])
    assert record is not None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.wait, {"a": record.version}, LATE_S)
        until(lambda: bool(store._command("EXISTS", f"{store._key}watched")))
        done = v.Commit(id="a", fence=claim.fence, outcome=oc.Succeeded())
        store.exchange("s", (done,), None)
        assert waiting.result(PATIENCE_S)


# Connections


def test_scripts_that_the_server_forgot_are_sent_again(store: RedisStore) -> None:
    put(store, "a")
    store._command("SCRIPT", "FLUSH")
    put(store, "b")
    assert len(store.exchange("s", (), v.ClaimRequest(queues=QUEUES, limit=9)).claims) == 2


def test_many_threads_share_a_store(store: RedisStore) -> None:
    def work(n: int) -> bool:
        put(store, f"m{n}")
        return store.wait({f"m{n}": -1}, PATIENCE_S)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(64)))
    assert store.counts().queues == {"celery": {"queued": 64}}


def test_a_forked_child_uses_connections_of_its_own(store: RedisStore) -> None:
    put(store, "a")
    assert not store.wait({"a": 1}, 0.01) or store.read(["a"])
    child = os.fork()
    if child == 0:
        try:
            put(store, "from the child")
            store.wait({"a": -1}, 0.05)
            store.close()
        except BaseException:  # noqa: BLE001 - a child of a test must end here
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    put(store, "b")
    assert all(store.read(["a", "b", "from the child"]))


def test_a_closed_store_opens_again(store: RedisStore) -> None:
    store.close()
    put(store, "a")
    assert store.read(["a"]) != (None,)


def test_waits_leave_no_connections_behind(store: RedisStore, server: RedisServer) -> None:
    with redis.Redis.from_url(server.unix_url) as client:
        for n in range(3):
            store.wait({f"m{n}": -1}, 0.01)
            store.wait_then_claim("s", WANT, 0.01)
        before = len(client.client_list())
        for n in range(8):
            store.wait({f"m{n}": -1}, 0.01)
            store.wait_then_claim("s", WANT, 0.01)
        assert len(client.client_list()) == before


def test_a_lock_past_its_cap_is_not_listed_after_it_was_reaped() -> None:
    clock = FakeClock()
    with REDIS_FACTORIES["redis"](v.StoreOptions(), clock) as store:
        assert isinstance(store, RedisStore)
        put(store, "a", once=once(timeout_ms=500), delay_ms=9_000)
        clock.advance(500)
        assert store._command("ZCARD", f"{store._key}locks") == 1
        store.reap()
        assert store._command("ZCARD", f"{store._key}locks") == 0


# Errors


@pytest.mark.parametrize("put", [("SET", "foreign"), ("RPUSH", "foreign"), ("HSET", "f", "v")])
def test_a_key_of_somebody_else_is_refused_and_nothing_is_stored(
    store: RedisStore, put: tuple[str, ...]
) -> None:
    command, *values = put
    store._command(command, f"{store._key}m:taken", *values)
    batch = v.Batch(messages=(message("a"), message("taken")))
    with pytest.raises(errors.StoreError, match="another namespace"):
        store.enqueue(batch)
    assert store.read(["a", "taken"]) == (None, None)
    assert store.counts().queues == {}
    store._command("DEL", f"{store._key}m:taken")


def test_a_server_that_is_away_is_unavailable_and_comes_back() -> None:
    with RedisServer(appendonly=True) as server:
        store = RedisStore(server.unix_url, v.StoreOptions())
        put(store, "a")
        server.kill9()
        with pytest.raises(errors.StoreUnavailable, match="cannot be reached"):
            put(store, "b")
        server.restart()
        put(store, "b")
        assert all(store.read(["a", "b"]))
        store.close()


def test_a_wrong_password_is_told_with_the_remedy() -> None:
    with RedisServer(requirepass="right") as server:
        url = f"redis://:wrong@127.0.0.1:{server.port}/0"
        store = RedisStore(url, v.StoreOptions())
        assert "wrong" not in store.location
        with pytest.raises(errors.StoreError, match="user and password"):
            store.counts()
        store.close()


def test_a_user_without_rights_is_told_which(server: RedisServer) -> None:
    with redis.Redis.from_url(server.unix_url) as client:
        client.execute_command("ACL", "SETUSER", "poor", "on", ">p", "~*", "+ping", "+evalsha")
    store = RedisStore(f"redis://poor:p@127.0.0.1:{server.port}/0", v.StoreOptions())
    with pytest.raises(errors.StoreError, match="report --acl"):
        put(store, "a")
    store.close()


# Cluster, durability, warnings


@pytest.mark.parametrize("form", ["redis+cluster://{}", "redis://{}?cluster=yes"])
def test_a_cluster_runs_a_message_to_its_end(form: str) -> None:
    with RedisServer(cluster=True) as server:
        url = form.format(f"127.0.0.1:{server.port}")
        store = App(broker=url, store_namespace="in a cluster", set_as_current=False).store
        assert isinstance(store, RedisStore)
        assert store.location == f"redis+cluster://127.0.0.1:{server.port}"
        store.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
        assert not store.wait_then_claim("s", WANT, 0.05).claims
        assert store.enqueue_plain(kind(), ["a"], [b""]) == ()
        (claim,) = store.wait_then_claim("s", WANT, 5.0).claims
        done = v.Commit(id="a", fence=claim.fence, outcome=oc.Succeeded(result=b"r"))
        assert store.exchange("s", (done,), None).verdicts == (v.Verdict.COMMITTED,)
        (record,) = store.read(["a"])
        assert record is not None
        assert record.result == b"r"
        assert not store.wait({"a": record.version}, 0.05)
        assert not any("cannot be checked" in w for w in store.health().warnings)
        store.close()


def durable_store(server: RedisServer, durable: str) -> RedisStore:
    return RedisStore(server.unix_url, v.StoreOptions(durable=durable))


@pytest.mark.parametrize("binary", find_servers(), ids=lambda b: f"{b.name}-{b.version}")
def test_a_call_returns_when_its_write_is_on_disk(binary: Any) -> None:
    with RedisServer(binary, appendonly=True) as server:
        store = durable_store(server, "fsync")
        put(store, "a")
        assert store.enqueue_plain(kind(), ["b"], [b""]) == ()
        store.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
        claims = [store.wait_then_claim("s", WANT, 5.0).claims for _ in "ab"]
        assert [c.id for (c,) in claims] == ["a", "b"]
        assert any("survives a crash" in line for line in store.health().holds)
        store.close()


def test_disk_is_refused_by_a_server_that_keeps_nothing(server: RedisServer) -> None:
    with pytest.raises(errors.StoreError, match="appendonly yes"):
        durable_store(server, "fsync")


def test_disk_is_refused_by_an_old_server_that_syncs_late() -> None:
    old = next(b for b in find_servers() if b.version_info < (7, 0))
    with (
        RedisServer(old, appendonly=True, appendfsync="everysec") as server,
        pytest.raises(errors.StoreError, match="appendfsync always"),
    ):
        durable_store(server, "fsync")


def test_replicas_are_refused_where_there_are_too_few(server: RedisServer) -> None:
    with pytest.raises(errors.StoreError, match="0 connected replicas"):
        durable_store(server, "replicas:1")


def test_a_write_waits_for_its_replicas() -> None:
    with (
        RedisServer(args=("--repl-diskless-sync-delay", "0")) as server,
        RedisServer(args=("--replicaof", "127.0.0.1", str(server.port))) as replica,
    ):
        with redis.Redis.from_url(server.unix_url) as client:
            until(lambda: "slave0" in client.info("replication"), 20.0)
            until(lambda: client.info("replication")["slave0"]["state"] == "online", 20.0)
        store = durable_store(server, "replicas:1")
        put(store, "a")
        reader = RedisStore(replica.unix_url, v.StoreOptions())
        assert any("replica" in warning for warning in reader.health().warnings)
        with pytest.raises(errors.StoreUnavailable, match="replica"):
            put(reader, "b")
        reader.close()
        store.close()


def test_an_unknown_durability_is_refused_with_a_suggestion(server: RedisServer) -> None:
    with pytest.raises(errors.ConfigError, match="did you mean 'fsync'"):
        durable_store(server, "fsnyc")


def test_a_server_that_may_lose_messages_is_told_of() -> None:
    with RedisServer(args=("--maxmemory-policy", "allkeys-lru")) as server:
        store = RedisStore(server.unix_url, v.StoreOptions())
        said = " ".join(store.health().warnings)
        assert "allkeys-lru" in said
        assert "all is lost when it stops" in said
        store.close()


def test_a_sound_server_is_warned_of_nothing() -> None:
    with RedisServer(appendonly=True) as server:
        store = RedisStore(server.unix_url, v.StoreOptions())
        assert store.health().warnings == ()
        store.close()


def test_a_clock_far_off_is_told_of(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliable_tasks.store.redis.opening.now_ms", lambda: 0)
    assert any("clock is" in warning for warning in store.health().warnings)
