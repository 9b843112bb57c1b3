"""How to open the Redis store for a test: a namespace of its own on a server of this process.

After each test all that can be dropped is dropped, and what is then left without an expiry must be
on the list of `keys.LASTING`: anything else is a leak.
"""

import atexit
import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import redis

from reliable_tasks.core.message import FINAL_STATES, LIVE_STATES
from reliable_tasks.store.protocol import Clock, Store
from reliable_tasks.store.redis import RedisStore, acl_rules, keys
from reliable_tasks.store.values import AuditQuery, MessageQuery, StoreOptions, every_of
from tests.redis_server import RedisServer, ServerBinary, default_server, find_servers

__all__ = ["REDIS_FACTORIES", "assert_nothing_leaks", "empty", "server_of"]

ACL_NAMESPACE = "tests"
_numbers = itertools.count(1)


@functools.cache
def server_of(binary: ServerBinary) -> RedisServer:
    """The server of this process that runs a binary; it ends with the process."""
    server = RedisServer(binary)
    atexit.register(server.stop)
    return server


def _old_server() -> ServerBinary:
    return next(b for b in find_servers() if b.version_info < (7, 0))


def assert_nothing_leaks(store: RedisStore, client: redis.Redis) -> None:
    """Empty a store, and see that nothing is left but what lapses by itself."""
    empty(store)
    prefix = keys.prefix(store.options.namespace)
    left = {str(key, "utf-8").removeprefix(prefix) for key in client.scan_iter(f"{prefix}*")}
    lasting = {key for key in left if client.ttl(prefix + key) == -1}
    stages: Any = client.zrange(f"{prefix}stages", 0, -1)
    lasting -= {"stages", *(f"stage:{name.decode()}" for name in stages)}  # until their deadline
    lasting -= _of_the_trail(store, client, prefix)
    assert lasting <= keys.LASTING, sorted(lasting - keys.LASTING)


def _of_the_trail(store: RedisStore, client: redis.Redis, prefix: str) -> set[str]:
    """The keys that belong to the rows of the trail, which have nothing of rows that went."""
    rows = [*every_of(store.audit, AuditQuery())]
    again: Any = client.hkeys(f"{prefix}auditagain")
    cut: Any = client.hkeys(f"{prefix}auditcut")
    assert len(again) == sum(row.count > 1 for row in rows)
    assert {message_id.decode() for message_id in cut} <= {"", *(row.id for row in rows)}
    return {*(f"audit:{row.id}" for row in rows), *(["auditagain"] if again else [])}


def empty(store: Store) -> None:
    """Delete all that can be deleted through a store's verbs."""
    for session in store.sessions():
        store.close_session(session.id)
    for entry in store.entries():
        store.remove_entry(entry.name)
    ids = [r.id for r in every_of(store.find, MessageQuery())]
    store.revoke([r.id for r in store.read(ids) if r is not None and r.state in LIVE_STATES])
    store.drop([r.id for r in store.read(ids) if r is not None and r.state in FINAL_STATES])
    for lock in store.locks():
        store.release_lock(lock.name, lock.owner)
    store.reap()


def _opened(
    url: str, client: redis.Redis, options: StoreOptions, clock: Clock | None
) -> Iterator[Store]:
    store = RedisStore(url, options, clock)
    try:
        yield store
        assert_nothing_leaks(store, client)
    finally:
        store.close()
        prefix = keys.prefix(options.namespace)
        for key in client.scan_iter(f"{prefix}*", count=1000):
            client.delete(key)


def _factory(
    binary: Callable[[], ServerBinary],
) -> Callable[[StoreOptions, Clock | None], AbstractContextManager[Store]]:
    @contextlib.contextmanager
    def opened(options: StoreOptions, clock: Clock | None) -> Iterator[Store]:
        server = server_of(binary())
        options = msgspec.structs.replace(options, namespace=f"{options.namespace}{next(_numbers)}")
        with redis.Redis.from_url(server.unix_url) as client:
            yield from _opened(server.unix_url, client, options, clock)

    return opened


@contextlib.contextmanager
def _least_privileged(options: StoreOptions, clock: Clock | None) -> Iterator[Store]:
    server = server_of(default_server())
    options = msgspec.structs.replace(options, namespace=ACL_NAMESPACE)
    with redis.Redis.from_url(server.unix_url) as client:
        rules = acl_rules(ACL_NAMESPACE, server.binary.version_info)
        client.execute_command("ACL", "SETUSER", "worker", "reset", "on", ">secret", *rules.split())
        url = f"redis://worker:secret@127.0.0.1:{server.port}/0"
        yield from _opened(url, client, options, clock)


def _itself(binary: ServerBinary) -> ServerBinary:
    return binary


def _further_servers() -> dict[str, Any]:
    """A factory for each server on this machine of another version than those of the wheels."""
    known = {default_server().version, _old_server().version}
    found = {b.version: b for b in find_servers() if b.version not in known}
    return {
        f"redis-{version}": _factory(functools.partial(_itself, b))
        for version, b in sorted(found.items())
    }


REDIS_FACTORIES = {
    "redis": _factory(default_server),
    "redis-6.2": _factory(_old_server),
    "redis-acl": _least_privileged,
    **_further_servers(),
}
