"""Guards: let a resource refuse the writes of an attempt whose claim was taken away.

A worker that was stopped for longer than its lease, and continued, does not know that its message
was given to another one. What it commits to the store is refused there; what it writes elsewhere is
refused by a guard, which remembers for each resource the highest `self.request.fence` it has seen.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Protocol

from reliable_tasks.errors import ConfigError, StaleClaim, suggest

__all__ = ["RedisGuard", "SqlGuard", "StaleFence"]

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
_MARKS = {"qmark": "?", "format": "%s", "pyformat": "%s", "numeric": ":{n}", "named": ":{n}"}
_TRIES = 3


class StaleFence(StaleClaim):
    """A later claim has written to the resource: this attempt's writes are refused."""


class _Connection(Protocol):
    def cursor(self) -> Any: ...


class SqlGuard:
    """A table of resources and fences beside the tables that are guarded, for any DB-API driver.

    Args:
        table: its name, which may have a schema before it.
        paramstyle: the driver's, such as `psycopg.paramstyle`; `sqlite3` has "qmark".

    Raises:
        ConfigError: the name or the style is not possible.
    """

    def __init__(self, table: str = "fences", *, paramstyle: str = "qmark") -> None:
        if not _NAME.fullmatch(table):
            raise ConfigError(f"{table!r} is not the name of a table")
        if paramstyle not in _MARKS:
            raise ConfigError(
                f"there is no paramstyle {paramstyle!r}{suggest(paramstyle, _MARKS)}; "
                f"DB-API knows {', '.join(_MARKS)}"
            )
        one, two, three = (_MARKS[paramstyle].format(n=n) for n in (1, 2, 3))
        # The name is checked above; values go as parameters.
        self._update = (
            f"UPDATE {table} SET fence = {one} WHERE resource = {two} AND fence <= {three}"  # noqa: S608
        )
        self._select = f"SELECT fence FROM {table} WHERE resource = {one}"  # noqa: S608
        self._insert = f"INSERT INTO {table} (resource, fence) VALUES ({one}, {two})"  # noqa: S608
        self.schema = (
            f"CREATE TABLE IF NOT EXISTS {table} "
            "(resource VARCHAR(255) PRIMARY KEY, fence BIGINT NOT NULL)"
        )

    def create(self, connection: _Connection) -> None:
        """Create the table if it is not there; you commit."""
        connection.cursor().execute(self.schema)

    def check(self, connection: _Connection, resource: str, fence: int) -> None:
        """Claim a resource for this fence, inside the transaction that is going to write.

        The row stays locked until you commit, so what passes is written before anyone else passes.
        Nothing is committed here.

        Raises:
            StaleFence: a later claim has had the resource; roll back.
            ConfigError: there is no fence, since the body was not started by a worker.
        """
        _demand(fence, resource)
        cursor = connection.cursor()
        for _ in range(_TRIES):
            cursor.execute(self._update, (fence, resource, fence))
            if cursor.rowcount > 0:
                return
            cursor.execute(self._select, (resource,))
            row = cursor.fetchone()
            if row is None:
                cursor.execute(self._insert, (resource, fence))
                return
            if row[0] == fence:  # some drivers do not count a row that was set to what it was
                return
            if row[0] > fence:
                raise _stale(resource, fence, row[0])
        raise StaleFence(f"{resource!r} is claimed by others faster than fence {fence} can be set")


class RedisGuard:
    """A key with the highest fence for each resource, compared and written in one step.

    Args:
        client: a redis-py client (not of `redis.asyncio`).
        prefix: of the keys' names.
        ttl: how long a fence is remembered after its last use: longer than any worker may have
            been stopped and come back.
    """

    def __init__(
        self, client: Any, *, prefix: str = "fence:", ttl: dt.timedelta = dt.timedelta(days=7)
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._ttl_ms = round(ttl.total_seconds() * 1000)

    def check(self, resource: str, fence: int) -> None:
        """Claim a resource for this fence.

        What is written afterwards may still come too late; `execute` leaves no such gap.

        Raises:
            StaleFence: a later claim has had the resource.
            ConfigError: there is no fence, since the body was not started by a worker.
        """
        self.execute(resource, fence)

    def execute(self, resource: str, fence: int, *command: Any) -> Any:
        """Claim a resource for this fence and run one command, in one atomic step.

        `guard.execute("account:7", self.request.fence, "SET", "balance:7", 30)`. On a cluster, the
        command's keys and the resource must share a hash tag.

        Raises:
            StaleFence: a later claim has had the resource; the command was not run.
            ConfigError: there is no fence, since the body was not started by a worker.
        """
        _demand(fence, resource)
        key = f"{self._prefix}{resource}"
        latest, reply = self._client.eval(_SCRIPT, 1, key, fence, self._ttl_ms, *command)
        if latest:
            raise _stale(resource, fence, int(latest))
        return reply


# KEYS[1] the fence's key. ARGV[1] fence, ARGV[2] how long to remember it (ms), ARGV[3..] a command.
# Returns {the later fence or '', the command's reply}. The fence is set first: should the command
# fail, the claim stands.
_SCRIPT = """
local known = redis.call('GET', KEYS[1])
if known and tonumber(known) > tonumber(ARGV[1]) then
  return {known, false}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if #ARGV > 2 then
  return {'', redis.call(unpack(ARGV, 3))}
end
return {'', false}
"""


def _demand(fence: int, resource: str) -> None:
    if fence <= 0:
        raise ConfigError(
            f"no fence for {resource!r}: the body was called directly or eagerly, and nothing was "
            "claimed; run it by a worker (in tests: reliable_tasks.testing)"
        )


def _stale(resource: str, fence: int, latest: int) -> StaleFence:
    return StaleFence(
        f"fence {fence} comes too late for {resource!r}: fence {latest} has written to it"
    )
