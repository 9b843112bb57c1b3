"""Taskiq on Redis streams, with its result backend."""

import asyncio
import sys
import time

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks import probe
from benchmarks.adapter import Adapter, key_count, store_url, variant

RESULTS = "no-results" not in variant()
TOGETHER = 100
broker = RedisStreamBroker(store_url())
if RESULTS:
    broker = broker.with_result_backend(RedisAsyncResultBackend(store_url()))


@broker.task(task_name="noop")
async def noop(value: int) -> int:
    probe.hit()
    return value


@broker.task(task_name="now")
async def now() -> int:
    return time.monotonic_ns()


class Peer(Adapter):
    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._runner.run(broker.startup())

    def send(self, count: int) -> None:
        self._runner.run(self._send(count))

    async def _send(self, count: int) -> None:
        for value in range(count):
            await noop.kiq(value)

    def send_bulk(self, count: int) -> None:
        self._runner.run(self._send_bulk(count))

    async def _send_bulk(self, count: int) -> None:
        for first in range(0, count, TOGETHER):
            together = range(first, min(first + TOGETHER, count))
            await asyncio.gather(*(noop.kiq(value) for value in together))

    def finished(self) -> int | None:
        return key_count() if RESULTS else None

    def round_trip(self) -> int:
        return self._runner.run(self._round_trip())

    async def _round_trip(self) -> int:
        task = await now.kiq()
        result = await task.wait_result(timeout=60, check_interval=0.001)
        return result.return_value

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "taskiq", "worker", "benchmarks.peers.taskiq:broker"]
        return [*command, "--workers", str(processes), "--log-level", level]
