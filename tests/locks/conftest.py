"""Every test that asks for `store` runs on Redis and on SQLite."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import redis
import redis.asyncio

from locks import _renewer
from locks._opening import Client
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]


@pytest.fixture(autouse=True)
def nothing_is_renewed_any_more() -> Iterator[None]:
    """Tests let go of leases without a release: these end with their test."""
    yield
    for token, renewal in list(_renewer._mine()._renewals.items()):
        renewal.holding.leaving = True
        _renewer.forget(token)


AsyncStores = Callable[[], AbstractAsyncContextManager[Client | Path]]


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(params=["redis", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def address(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The store as a word of a command line: a URL or a path."""
    if kind == "sqlite":
        return str(tmp_path / "locks.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    request.getfixturevalue("client")
    return server.url


@pytest.fixture
def store(kind: str, address: str, request: pytest.FixtureRequest) -> Client | Path:
    if kind == "sqlite":
        return Path(address)
    client: redis.Redis = request.getfixturevalue("client")
    return client


@pytest.fixture
def open_async(kind: str, address: str) -> AsyncStores:
    """Opens the same store for asyncio, inside the test's own event loop."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Client | Path]:
        if kind == "sqlite":
            yield Path(address)
            return
        async with redis.asyncio.Redis.from_url(address) as client:
            yield client

    return opened


@pytest.fixture
def name() -> str:
    return f"lock-{uuid.uuid4().hex[:8]}"
