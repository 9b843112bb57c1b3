"""Potatoq on Redis, with results kept there, or on SQLite."""

import json
import sys
import time

from potatoq import Potatoq, group
from redis import Redis

from benchmarks import marks, probe
from benchmarks.adapter import RECOVERY_S, Adapter, quick, store_url, variant

RESULTS = "no-results" not in variant()
COUNT = "SELECT count(*) FROM potatoq_jobs"
PLACES = ("ready", "delayed", "active")
ON_REDIS = store_url().startswith("redis")
# On SQLite results are kept anyway. "broker" keeps them in the same step as the acknowledgement.
app = Potatoq("benchmarks", broker=store_url(), backend="broker" if RESULTS else None)
app.conf.task_ignore_result = not RESULTS
if quick():
    app.conf.worker_dead_after = RECOVERY_S
if "durable" in variant():
    app.conf.broker_transport_options = {"durable": True}


@app.task(name="noop")
def noop(value: int) -> int:
    probe.hit()
    return value


@app.task(name="now", ignore_result=False)
def now() -> int:
    return time.monotonic_ns()


@app.task(name="nap")
def nap(number: int, milliseconds: int) -> str:
    return marks.nap(number, milliseconds)


class Peer(Adapter):
    def __init__(self) -> None:
        self._sent = 0
        self._naps = {}

    def send(self, count: int) -> None:
        for value in range(count):
            noop.delay(value)
        self._sent += count

    def send_bulk(self, count: int) -> None:
        group(noop.s(value) for value in range(count)).apply_async()
        self._sent += count

    async def asend_one(self) -> None:
        await noop.adelay(1)
        self._sent += 1

    def finished(self) -> int:
        if not ON_REDIS:
            return self._sent - app.broker.conn.execute(COUNT).fetchone()[0]
        with Redis.from_url(store_url()) as client:
            return self._sent - sum(client.zcard(f"potatoq:q:default:{p}") for p in PLACES)

    def round_trip(self) -> int:
        return now.delay().get(timeout=60)

    async def around_trip(self) -> int:
        return await (await now.adelay()).aget(timeout=60)

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "potatoq", "-A", "benchmarks.peers.potatoq:app"]
        command += ["worker", "-c", str(processes), "-l", level]
        return command + (["-f", logfile] if logfile else [])

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self._naps |= {number: nap.delay(number, milliseconds) for number in numbers}

    def waiting(self) -> list[int]:
        return [json.loads(payload)["args"][0] for payload in self._living()]

    @staticmethod
    def _living() -> list[str | bytes]:
        """What is kept of messages that are queued, scheduled or thought to be running."""
        if not ON_REDIS:
            rows = app.broker.conn.execute("SELECT payload FROM potatoq_jobs").fetchall()
            return [payload for (payload,) in rows]
        with Redis.from_url(store_url()) as client:
            ids = {i for p in PLACES for i in client.zrange(f"potatoq:q:default:{p}", 0, -1)}
            with client.pipeline(transaction=False) as pipe:
                for each in ids:
                    pipe.hget(b"potatoq:job:" + each, "p")
                return [payload for payload in pipe.execute() if payload]

    def nap_results(self) -> list[tuple[int, str | None]]:
        return [(n, handle.result if handle.ready() else None) for n, handle in self._naps.items()]
