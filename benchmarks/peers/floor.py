"""The floor: the least that a claim and a commit can cost, in batches as large as a worker's.

No task queue: ids in a list, a hash for each message, and no retries, priorities, leases or trail.
A claim moves ids to the worker and hands out the payloads; a commit stores results and deletes the
claims. On Redis each is one Lua script; on SQLite the commit of a batch and the claim of the next
are one transaction.
"""

import signal
import sys

import apsw
import redis

from benchmarks import probe
from benchmarks.adapter import Adapter, store_url

BATCH = 256
FILLED = 1000
ON_REDIS = store_url().startswith("redis")

CLAIM = """
local ids = redis.call('LPOP', 'queue', ARGV[1])
if not ids then return {} end
local reply = {}
for index, id in ipairs(ids) do
  reply[2 * index - 1] = id
  reply[2 * index] = redis.call('HGET', 'm:' .. id, 'payload')
end
redis.call('SADD', 'claimed', unpack(ids))
return reply
"""
COMMIT = """
for index = 1, #ARGV, 2 do
  if redis.call('SREM', 'claimed', ARGV[index]) == 1 then
    redis.call('HSET', 'm:' .. ARGV[index], 'result', ARGV[index + 1])
    redis.call('INCR', 'done')
  end
end
"""
SCHEMA = """
CREATE TABLE IF NOT EXISTS message(
  id INTEGER PRIMARY KEY, state INTEGER NOT NULL, payload BLOB, result BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS queued ON message(id) WHERE state = 0;
"""


def body(payload: bytes) -> bytes:
    probe.hit()
    return payload


def work_on_redis() -> None:
    client = redis.Redis.from_url(store_url())
    claim, commit = client.register_script(CLAIM), client.register_script(COMMIT)
    while claimed := claim(args=[BATCH]):
        pairs = zip(claimed[::2], claimed[1::2], strict=True)
        commit(args=[part for key, payload in pairs for part in (key, body(payload))])


def connect() -> apsw.Connection:
    connection = apsw.Connection(store_url().removeprefix("sqlite:///"))
    connection.set_busy_timeout(30_000)
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
    connection.execute(SCHEMA)
    return connection


def work_on_sqlite() -> None:
    connection = connect()
    done: list[tuple[bytes, int]] = []
    while True:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("UPDATE message SET state = 2, result = ? WHERE id = ?", done)
        claimed = connection.execute(
            "SELECT id, payload FROM message WHERE state = 0 ORDER BY id LIMIT ?", (BATCH,)
        ).fetchall()
        connection.executemany(
            "UPDATE message SET state = 1 WHERE id = ?", [(key,) for key, _ in claimed]
        )
        connection.execute("COMMIT")
        if not claimed:
            return
        done = [(body(payload), key) for key, payload in claimed]


class Peer(Adapter):
    def __init__(self) -> None:
        self._sent = 0

    def send_bulk(self, count: int) -> None:
        until = self._sent + count
        while self._sent < until:
            some = range(self._sent, min(self._sent + FILLED, until))
            self._sent = some.stop
            if ON_REDIS:
                self._fill_redis(some)
            else:
                self._fill_sqlite(some)

    def _fill_redis(self, some: range) -> None:
        with redis.Redis.from_url(store_url()) as client, client.pipeline() as pipe:
            for key in some:
                pipe.hset(f"m:{key}", "payload", f"[[{key}],{{}}]")
            pipe.rpush("queue", *some)
            pipe.execute()

    def _fill_sqlite(self, some: range) -> None:
        with connect() as connection:
            connection.executemany(
                "INSERT INTO message VALUES (?, 0, ?, NULL)",
                [(key, f"[[{key}],{{}}]".encode()) for key in some],
            )

    def finished(self) -> int:
        if ON_REDIS:
            with redis.Redis.from_url(store_url()) as client:
                return int(client.get("done") or 0)
        found: int = connect().execute("SELECT count(*) FROM message WHERE state = 2").get
        return found

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        return [sys.executable, "-m", "benchmarks.peers.floor", str(processes)]


def main(processes: int) -> None:
    from multiprocessing import get_context  # noqa: PLC0415 - adapters do without

    work = work_on_redis if ON_REDIS else work_on_sqlite
    children = [get_context("fork").Process(target=work) for _ in range(processes)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    signal.pause()  # its processor time, with theirs, is asked for until it is ended


if __name__ == "__main__":
    main(int(sys.argv[1]))
