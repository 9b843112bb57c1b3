"""Guards refuse the writes of an attempt whose claim was taken away."""

import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from reliable_tasks import App
from reliable_tasks.contrib.guards import RedisGuard, SqlGuard, StaleFence
from reliable_tasks.errors import ConfigError, StaleClaim
from reliable_tasks.testing import bound, run_until_idle
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "bank.db")
    SqlGuard().create(connection)
    SqlGuard().create(connection)
    connection.execute("CREATE TABLE accounts (name, balance)")
    connection.execute("INSERT INTO accounts VALUES ('ann', 10)")
    connection.commit()
    yield connection
    connection.close()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    yield client
    client.flushall()
    client.close()


def test_sql_lets_the_latest_fence_write(connection: sqlite3.Connection) -> None:
    guard = SqlGuard()
    for fence in (3, 3, 8):
        guard.check(connection, "ann", fence)
    with pytest.raises(StaleFence, match="fence 7 comes too late for 'ann': fence 8 has written"):
        guard.check(connection, "ann", 7)
    guard.check(connection, "bob", 1)
    rows = connection.execute("SELECT resource, fence FROM fences ORDER BY resource").fetchall()
    assert rows == [("ann", 8), ("bob", 1)]
    assert issubclass(StaleFence, StaleClaim)


def test_sql_claims_with_the_write_or_not_at_all(connection: sqlite3.Connection) -> None:
    guard = SqlGuard()
    guard.check(connection, "ann", 5)
    connection.execute("UPDATE accounts SET balance = 0")
    connection.rollback()
    guard.check(connection, "ann", 4)
    assert connection.execute("SELECT balance FROM accounts").fetchone() == (10,)


def test_sql_keeps_others_out_until_the_commit(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    guard = SqlGuard()
    guard.check(connection, "ann", 5)
    with sqlite3.connect(tmp_path / "bank.db", timeout=0) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            guard.check(other, "ann", 4)
        connection.commit()
        with pytest.raises(StaleFence):
            guard.check(other, "ann", 4)
    other.close()


class FakeCursor:
    """A driver's cursor over one row, which counts rows as it likes."""

    def __init__(self, known: list[int | None], rowcount: int = 0) -> None:
        self.known = known
        self.rowcount = rowcount
        self.ran: list[tuple[str, Any]] = []

    def cursor(self) -> "FakeCursor":
        return self

    def execute(self, statement: str, parameters: Any = ()) -> None:
        self.ran.append((statement, parameters))

    def fetchone(self) -> tuple[int] | None:
        known = self.known.pop(0)
        return None if known is None else (known,)


def test_sql_believes_a_driver_that_counts_changed_rows_only() -> None:
    SqlGuard().check(FakeCursor([5]), "ann", 5)


def test_sql_tries_again_when_another_was_between() -> None:
    cursor = FakeCursor([4, 4, 9])
    with pytest.raises(StaleFence, match="fence 9"):
        SqlGuard().check(cursor, "ann", 5)
    assert len(cursor.ran) == 6
    with pytest.raises(StaleFence, match="faster"):
        SqlGuard().check(FakeCursor([4, 4, 4]), "ann", 5)


@pytest.mark.parametrize(
    ("style", "marks"),
    [
        ("qmark", ("?", "?", "?")),
        ("format", ("%s", "%s", "%s")),
        ("pyformat", ("%s", "%s", "%s")),
        ("numeric", (":1", ":2", ":3")),
        ("named", (":1", ":2", ":3")),
    ],
)
def test_sql_speaks_every_paramstyle(style: str, marks: tuple[str, str, str]) -> None:
    cursor = FakeCursor([], rowcount=1)
    SqlGuard("bank.fences", paramstyle=style).check(cursor, "ann", 5)
    one, two, three = marks
    expected = f"UPDATE bank.fences SET fence = {one} WHERE resource = {two} AND fence <= {three}"
    assert cursor.ran == [(expected, (5, "ann", 5))]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"table": "fences; DROP TABLE accounts"}, "is not the name of a table"),
        ({"paramstyle": "qmrak"}, "did you mean 'qmark'"),
    ],
)
def test_sql_refuses_what_is_not_possible(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SqlGuard(**options)


def test_redis_lets_the_latest_fence_write(client: redis.Redis) -> None:
    guard = RedisGuard(client)
    assert guard.execute("ann", 9, "SET", "balance", "7")
    guard.check("ann", 10)
    with pytest.raises(StaleFence, match="fence 9 comes too late for 'ann': fence 10 has written"):
        guard.execute("ann", 9, "SET", "balance", "0")
    assert guard.execute("ann", 10, "INCRBY", "balance", 1) == 8
    guard.check("bob", 1)


def test_redis_compares_numbers_and_not_texts(client: redis.Redis) -> None:
    guard = RedisGuard(client)
    guard.check("ann", 9)
    guard.check("ann", 10)
    with pytest.raises(StaleFence):
        guard.check("ann", 9)


def test_redis_forgets_in_its_time(client: redis.Redis) -> None:
    RedisGuard(client, prefix="f:", ttl=dt.timedelta(hours=1)).check("ann", 9)
    assert client.keys() == [b"f:ann"]
    assert 3_590_000 < int(client.pttl("f:ann")) <= 3_600_000


def test_a_body_that_is_not_run_by_a_worker_has_no_fence(
    client: redis.Redis, connection: sqlite3.Connection
) -> None:
    app = App("guards", broker="sqlite://", set_as_current=False)

    @app.task(bind=True, name="pay")
    def pay(self: Any) -> None:
        RedisGuard(client).check("ann", self.request.fence)
        SqlGuard().check(connection, "ann", self.request.fence)

    with pytest.raises(ConfigError, match="called directly or eagerly"):
        pay()
    with pytest.raises(ConfigError, match="called directly or eagerly"):
        SqlGuard().check(connection, "ann", 0)
    with bound(app):
        result = pay.delay()
        run_until_idle(app)
        assert result.successful()
