"""Locks on a client of redis.asyncio, and a blocking client like it for renewal threads."""

import contextlib
from collections.abc import AsyncIterator, Hashable, Iterator
from typing import Any, Final

import redis
import redis.asyncio
import redis.cluster

from locks import _ops, keys
from locks._backend import Backend
from locks._ops import Busy, Holder, Kind, Subject, Taken
from locks.errors import LockError
from locks.redis_backend import (
    RedisBackend,
    given,
    kind_and_name,
    script,
    texts,
    translated,
    wait_seconds,
)
from locks.redis_errors import SocketTimeout
from locks.scripts import AsyncExecutor, Script, load_script

__all__ = ["AsyncRedisBackend"]

_CONNECTION_OPTIONS: Final = frozenset({
    "host", "port", "path", "db", "username", "password", "credential_provider",
    "socket_timeout", "socket_connect_timeout", "socket_keepalive", "protocol",
})  # fmt: skip


class AsyncRedisBackend:
    """A namespace of locks on the user's own asyncio client."""

    def __init__(self, client: AsyncExecutor, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._prefix = keys.prefix(namespace)
        self.origin: tuple[Hashable, str] = (id(client), namespace)

    async def _call(self, called: Script, *args: Any) -> Any:
        with translated():
            return await called.call_async(self._client, self._prefix, *texts(args))

    async def take(
        self, subject: Subject, owner: str, ttl_ms: int, wait_ms: int = 0, now: int | None = None
    ) -> Taken | Busy:
        """See AsyncBackend."""
        args = (subject.name, owner, ttl_ms, subject.limit, wait_ms, given(now))
        return _ops.parse_taken(await self._call(script(subject.kind, "acquire"), *args))

    async def renew(
        self, subject: Subject, owner: str, ttl_ms: int, now: int | None = None
    ) -> int | None:
        """See AsyncBackend."""
        args = (subject.name, owner, ttl_ms, given(now))
        return _ops.parse_renewed(await self._call(script(subject.kind, "renew"), *args))

    async def free(
        self, subject: Subject, owner: str, now: int | None = None, *, forced: bool = False
    ) -> bool:
        """See AsyncBackend."""
        args = (subject.name, owner, subject.limit, given(now), int(forced))
        return bool(int(await self._call(script(subject.kind, "release"), *args)))

    async def read(
        self, subject: Subject, now: int | None = None
    ) -> tuple[int | None, list[Holder]]:
        """See AsyncBackend."""
        reply = await self._call(script(subject.kind, "read"), subject.name, given(now))
        return _ops.parse_holders(reply)

    async def names(self) -> AsyncIterator[tuple[Kind, str]]:
        """See AsyncBackend."""
        cursor = "0"
        seen: set[tuple[Kind, str]] = set()
        while True:
            args = (cursor, keys.pattern(self._prefix))
            page = await self._call(load_script("locks", "list.lua"), *args)
            fresh = {kind_and_name(key) for key in page[1:]} - seen
            seen |= fresh
            for one in sorted(fresh):
                yield one
            cursor = _ops.text(page[0])
            if cursor == "0":
                return

    async def wait(self, subject: Subject, seconds: float) -> None:
        """See AsyncBackend."""
        key = keys.wake(self._namespace, subject.kind, subject.name)
        timeout = str(wait_seconds(self._client, seconds))
        with translated(), contextlib.suppress(SocketTimeout):
            await self._client.execute_command("BLPOP", key, timeout)

    @contextlib.contextmanager
    def blocking(self) -> Iterator[Backend]:
        """See AsyncBackend: a client with the same address and credentials."""
        with translated():
            made = _blocking_client(self._client)
        with contextlib.closing(made) as client:
            yield RedisBackend(client, self._namespace)


def _connection_options(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in options.items()
        if name in _CONNECTION_OPTIONS or name.startswith("ssl")
    }


def _blocking_client(client: Any) -> redis.Redis | redis.RedisCluster:
    """A blocking client with the addresses and credentials of an asyncio one."""
    if isinstance(client, redis.asyncio.RedisCluster):
        options = _connection_options(client.connection_kwargs)
        nodes = [
            redis.cluster.ClusterNode(node.host, node.port)  # type: ignore[no-untyped-call]
            for node in client.nodes_manager.startup_nodes.values()
        ]
        return redis.RedisCluster(startup_nodes=nodes, **options)
    pool = client.connection_pool
    if isinstance(pool, redis.asyncio.sentinel.SentinelConnectionPool):
        raise LockError(
            "a lease cannot be renewed in the background through an asyncio Sentinel client: "
            "pass auto_renew=False and renew it yourself"
        )
    kind: Any = redis.Connection
    if issubclass(pool.connection_class, redis.asyncio.UnixDomainSocketConnection):
        kind = redis.UnixDomainSocketConnection
    elif issubclass(pool.connection_class, redis.asyncio.SSLConnection):
        kind = redis.SSLConnection
    options = _connection_options(pool.connection_kwargs)
    return redis.Redis.from_pool(redis.ConnectionPool(connection_class=kind, **options))
