"""Taskiq on Redis streams, with its result backend."""

import asyncio
import json
import sys
import time

from redis import Redis
from taskiq import AsyncTaskiqTask
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks import marks, probe
from benchmarks.adapter import PART, RECOVERY_S, Adapter, key_count, quick, store_url, variant

RESULTS = "no-results" not in variant()
TOGETHER = 100
broker = RedisStreamBroker(store_url(), **({"idle_timeout": RECOVERY_S * 1000} if quick() else {}))
if RESULTS:
    broker = broker.with_result_backend(RedisAsyncResultBackend(store_url()))


@broker.task(task_name="noop")
async def noop(value: int) -> int:
    probe.hit()
    return value


@broker.task(task_name="now")
async def now() -> int:
    return time.monotonic_ns()


@broker.task(task_name="nap")
async def nap(number: int, milliseconds: int) -> str:
    return await marks.async_nap(number, milliseconds)


class Peer(Adapter):
    blocking = False

    def __init__(self) -> None:
        self._naps = {}
        self.run(broker.startup())

    def send(self, count: int) -> None:
        self.run(self._send(count))

    async def _send(self, count: int) -> None:
        for value in range(count):
            await noop.kiq(value)

    def send_bulk(self, count: int) -> None:
        self.run(self._send_bulk(count))

    async def _send_bulk(self, count: int) -> None:
        for first in range(0, count, TOGETHER):
            together = range(first, min(first + TOGETHER, count))
            await asyncio.gather(*(noop.kiq(value) for value in together))

    async def asend_one(self) -> None:
        await noop.kiq(1)

    def finished(self) -> int | None:
        return key_count() if RESULTS else None

    def round_trip(self) -> int:
        return self.run(self.around_trip())

    async def around_trip(self) -> int:
        task = await now.kiq()
        result = await task.wait_result(timeout=60, check_interval=0.001)
        return result.return_value

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "taskiq", "worker", "benchmarks.peers.taskiq:broker"]
        return [*command, "--workers", str(processes), "--log-level", level]

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self.run(self._send_naps(numbers, milliseconds))

    async def _send_naps(self, numbers: list[int], milliseconds: int) -> None:
        for number in numbers:
            self._naps[number] = await nap.kiq(number, milliseconds)

    def waiting(self) -> list[int]:
        with Redis.from_url(store_url()) as client:
            (group,) = client.xinfo_groups("taskiq")
            claimed = client.xpending_range("taskiq", "taskiq", "-", "+", PART)
            found = [e for c in claimed for e in client.xrange("taskiq", c["message_id"], count=1)]
            found += client.xrange("taskiq", f"({group['last-delivered-id'].decode()}")
        return [json.loads(fields[b"data"])["args"][0] for _, fields in found]

    def nap_results(self) -> list[tuple[int, str | None]]:
        return self.run(self._nap_results())

    async def _nap_results(self) -> list[tuple[int, str | None]]:
        return [(number, await self._result(task)) for number, task in self._naps.items()]

    async def _result(self, task: AsyncTaskiqTask) -> str | None:
        return (await task.get_result()).return_value if await task.is_ready() else None
