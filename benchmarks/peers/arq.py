"""Arq on Redis, with its default settings; a command runs one process."""

import asyncio
import sys
import time
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks import marks, probe
from benchmarks.adapter import Adapter, key_count, quick, store_url

TOGETHER = 100
SETTINGS = RedisSettings.from_dsn(store_url())


async def noop(_ctx: Any, value: int) -> int:
    probe.hit()
    return value


async def now(_ctx: Any) -> int:
    return time.monotonic_ns()


async def nap(_ctx: Any, number: int, milliseconds: int) -> str:
    return await marks.async_nap(number, milliseconds)


class WorkerSettings:
    functions = (noop, now, nap)
    redis_settings = SETTINGS
    # A job is taken up again ten seconds after its time limit.
    job_timeout = 1 if quick() else 300


class Peer(Adapter):
    blocking = False

    def __init__(self) -> None:
        self._pool = self.run(create_pool(SETTINGS))
        self._naps = {}

    def send(self, count: int) -> None:
        self.run(self._send(count))

    async def _send(self, count: int) -> None:
        for value in range(count):
            await self._pool.enqueue_job("noop", value)

    def send_bulk(self, count: int) -> None:
        self.run(self._send_bulk(count))

    async def _send_bulk(self, count: int) -> None:
        for first in range(0, count, TOGETHER):
            together = range(first, min(first + TOGETHER, count))
            await asyncio.gather(*(self._pool.enqueue_job("noop", value) for value in together))

    async def asend_one(self) -> None:
        await self._pool.enqueue_job("noop", 1)

    def finished(self) -> int:
        return key_count()

    def round_trip(self) -> int:
        return self.run(self.around_trip())

    async def around_trip(self) -> int:
        job = await self._pool.enqueue_job("now")
        return await job.result(timeout=60, poll_delay=0.001)

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "arq", "benchmarks.peers.arq.WorkerSettings"]
        return command + (["-v"] if level == "INFO" else [])

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self.run(self._send_naps(numbers, milliseconds))

    async def _send_naps(self, numbers: list[int], milliseconds: int) -> None:
        for number in numbers:
            self._naps[number] = await self._pool.enqueue_job("nap", number, milliseconds)

    def waiting(self) -> list[int]:
        return [job.args[0] for job in self.run(self._pool.queued_jobs())]

    def nap_results(self) -> list[tuple[int, str | None]]:
        return self.run(self._nap_results())

    async def _nap_results(self) -> list[tuple[int, str | None]]:
        found = [(number, await job.result_info()) for number, job in self._naps.items()]
        return [(number, info.result if info else None) for number, info in found]
