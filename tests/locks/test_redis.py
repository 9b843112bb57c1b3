"""What is about Redis alone."""

import contextlib
import threading
import time

import pytest
import redis
import redis.asyncio

import locks
from locks import Lock, LockStoreError, Semaphore, _ops, keys
from locks._ops import Subject
from locks.redis_async import AsyncRedisBackend
from locks.redis_backend import RedisBackend
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer

NAMED_WITHOUT_EXPIRY = {keys.fence("locks").encode()}


def commands(client: redis.Redis) -> int:
    info = client.info("stats")
    return int(info["total_commands_processed"])


def test_waiting_does_not_poll(client: redis.Redis, name: str) -> None:
    held = Lock(name, client, auto_renew=False).acquire()
    thread = threading.Thread(target=lambda: Lock(name, client).acquire().release())
    thread.start()
    eventually(lambda: locks.inspect(client, name)[0].waiters == 1, "the waiter")
    before = commands(client)
    threading.Event().wait(0.5)
    assert commands(client) - before <= 4
    held.release()
    thread.join()


def test_a_waiter_that_died_of_its_wake_up_does_not_block_the_others(
    redis_server: RedisServer, client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ops, "WAIT_SLICE_MS", 300)
    held = Lock(name, client).acquire()
    # This one blocks first, so the release wakes it; and it dies of that.
    dead = redis_server.client()
    popped = threading.Thread(target=dead.blpop, args=(keys.wake("locks", "lock", name), 4))
    popped.start()
    eventually(lambda: client.info("clients")["blocked_clients"] == 1, "the first waiter")
    leases: list[locks.Lease] = []
    lock = Lock(name, client)
    thread = threading.Thread(target=lambda: leases.append(lock.acquire(timeout=PATIENCE_S)))
    thread.start()
    eventually(lambda: locks.inspect(client, name)[0].waiters == 1, "the second waiter")
    held.release()
    popped.join()
    dead.close()
    thread.join()
    assert leases[0].valid
    leases[0].release()


def test_waiting_keeps_below_the_clients_socket_timeout(
    redis_server: RedisServer, client: redis.Redis, name: str
) -> None:
    held = Lock(name, client).acquire()
    with contextlib.closing(redis_server.client(socket_timeout=0.5)) as impatient:
        started = time.monotonic()
        with pytest.raises(locks.LockTimeout):
            _acquire_in_a_thread(name, impatient)
        assert time.monotonic() - started >= 0.7
    held.release()


def _acquire_in_a_thread(name: str, client: redis.Redis) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            Lock(name, client).acquire(timeout=0.7)
        except locks.LockError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    raise errors[0]


def test_a_release_whose_reply_was_lost_can_be_repeated(client: redis.Redis, name: str) -> None:
    backend = RedisBackend(client, "locks")
    for subject in (Subject("lock", name), Subject("semaphore", name, 2)):
        backend.take(subject, f"me-{subject.kind}", 10_000)
        assert backend.free(subject, f"me-{subject.kind}")
        assert backend.free(subject, f"me-{subject.kind}")
        assert not backend.free(subject, "another")


def test_scripts_that_the_server_forgot_are_sent_again(client: redis.Redis, name: str) -> None:
    with Lock(name, client) as lease:
        client.script_flush()
        lease.renew()
        client.script_flush()
    client.script_flush()
    assert not Lock(name, client).locked()


def test_every_key_but_the_counter_expires(client: redis.Redis, name: str) -> None:
    with Lock(name, client, ttl=5), Semaphore(name, client, 2, ttl=5):
        with pytest.raises(locks.LockTimeout):
            _acquire_in_a_thread(name, client)
        _assert_all_expire(client)
    _assert_all_expire(client)


def _assert_all_expire(client: redis.Redis) -> None:
    found = set(client.scan_iter())
    assert found
    assert {key for key in found if client.ttl(key) == -1} <= NAMED_WITHOUT_EXPIRY


def test_the_keys_are_those_that_keys_names(client: redis.Redis, name: str) -> None:
    with Lock(name, client) as lock, Semaphore(name, client, 1) as place:
        record = client.hgetall(keys.lock("locks", name))
        assert record[b"owner"] == lock.token.encode()
        assert int(record[b"fence"]) == lock.fence
        assert client.zscore(keys.semaphore("locks", name), place.token)
        assert client.hexists(keys.semaphore_data("locks", name), place.token)
        assert client.get(keys.fence("locks")) == str(place.fence).encode()
    assert client.exists(keys.freed("locks", lock.token))
    assert set(client.scan_iter()) <= {
        keys.fence("locks").encode(),
        keys.freed("locks", lock.token).encode(),
        keys.freed("locks", place.token).encode(),
    }


def test_a_lock_without_end_lasts_until_it_is_released(client: redis.Redis, name: str) -> None:
    backend = RedisBackend(client, "locks")
    subject = Subject("lock", name)
    backend.take(subject, "message-1", ttl_ms=0)
    assert client.ttl(keys.lock("locks", name)) == -1
    (info,) = locks.inspect(client, name)
    assert info.until is None
    assert backend.free(subject, "message-1")


def test_decoding_clients_and_the_third_protocol_serve(
    redis_server: RedisServer, name: str
) -> None:
    for options in ({"decode_responses": True}, {"protocol": 3}, {"protocol": 2}):
        with (
            contextlib.closing(redis_server.client(**options)) as client,
            Lock(name, client) as lease,
            Semaphore(name, client, 1),
        ):
            assert Lock(name, client).owner() == lease.token
            assert len(locks.inspect(client)) == 2


def test_a_server_that_is_gone_is_told(name: str) -> None:
    with RedisServer() as server:
        url = server.url
    with (
        contextlib.closing(redis.Redis.from_url(url, retry=None)) as client,
        pytest.raises(LockStoreError, match="Redis could not be asked"),
    ):
        Lock(name, client).try_acquire()


def test_fences_grow_over_a_killed_server_that_kept_its_log(name: str) -> None:
    with RedisServer(appendonly=True) as server:
        lock = Lock(name, server.client())
        lease = lock.acquire()
        server.kill9()
        server.start()
        assert lock.owner() == lease.token
        lease.release()
        with lock as later:
            assert later.fence > lease.fence


def test_pain_45_a_cluster_routes_every_script(name: str) -> None:
    with RedisServer(cluster=True) as server:
        client = redis.RedisCluster.from_url(server.url)
        try:
            lock = Lock(name, client)
            with lock as lease, Semaphore(name, client, 2):
                assert len(locks.inspect(client)) == 2
                lease.renew()
            held = lock.acquire()
            thread = threading.Thread(target=lambda: Lock(name, client).acquire().release())
            thread.start()
            eventually(lambda: locks.inspect(client, name)[0].waiters == 1, "the waiter")
            held.release()
            thread.join()
            assert not lock.locked()
        finally:
            client.close()


def test_pain_45_a_user_with_the_keys_of_one_namespace_is_enough(name: str) -> None:
    rules = "+evalsha +eval +blpop +time +hmget +hset +incr +pexpire +persist +del +exists +llen"
    rules += " +rpush +zremrangebyscore +zadd +zrem +zcount +set +zrange +zrangebyscore +zscore"
    rules += " +hget +hdel +scan"
    app = f"user app on >secret resetkeys ~{{locks}}:* {rules}"
    with RedisServer(acl=["user default on nopass ~* &* +@all", app]) as server:
        url = server.url.replace("redis://", "redis://app:secret@")
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            with Lock(name, client) as lease, Semaphore(name, client, 1) as place:
                lease.renew()
                place.renew()
                assert len(locks.inspect(client)) == 2
                with pytest.raises(locks.LockTimeout):
                    Semaphore(name, client, 1).acquire(timeout=0.02)
            with pytest.raises(LockStoreError, match="NoPermission"):
                Lock(name, client, namespace="other").try_acquire()


def test_a_renewing_client_is_made_for_every_kind_of_asyncio_client(
    redis_server: RedisServer,
) -> None:
    tcp = redis.asyncio.Redis.from_url(redis_server.url)
    unix = redis.asyncio.Redis.from_url(redis_server.unix_url)
    for own in (tcp, unix):
        with AsyncRedisBackend(own, "locks").blocking() as backend:
            assert backend.read(Subject("lock", "nothing")) == (0, [])
    sentinel = redis.asyncio.Sentinel([("127.0.0.1", 1)])  # type: ignore[no-untyped-call]
    with (
        pytest.raises(locks.LockError, match="auto_renew=False"),
        AsyncRedisBackend(sentinel.master_for("x"), "locks").blocking(),
    ):
        pytest.fail("no blocking client can follow an asyncio Sentinel")


def test_what_is_held_is_renewed_on_a_server_without_room() -> None:
    with RedisServer() as server, server.client() as client:
        held = [
            Lock("a", client, auto_renew=False).acquire(),
            Semaphore("b", client, limit=2, auto_renew=False).acquire(),
        ]
        client.config_set("maxmemory", 1)
        with pytest.raises(LockStoreError, match="OutOfMemory"):
            Lock("c", client).acquire()
        for lease in held:
            lease.renew()
            assert lease.valid
        client.config_set("maxmemory", 0)
        for lease in held:
            lease.release()


def test_a_cluster_that_is_away_is_told_as_any_server() -> None:
    with RedisServer(cluster=True) as server:
        client = redis.RedisCluster.from_url(server.url)
        Lock("a", client).acquire().release()
        server.kill9()
        with pytest.raises(LockStoreError, match="could not be asked"):
            Lock("a", client).acquire()
        client.close()
