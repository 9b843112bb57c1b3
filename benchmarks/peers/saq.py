"""SAQ on Redis."""

import asyncio
import contextlib
import sys
import time
from typing import Any

from saq import Queue, Status

from benchmarks import marks, probe
from benchmarks.adapter import RECOVERY_S, Adapter, quick, store_url, variant

TOGETHER = 100
queue = Queue.from_url(store_url())
# It deletes the record of a job that has no time to live: the result goes with it.
TTL = -1 if "no-results" in variant() else 600


async def noop(_ctx: Any, *, value: int) -> int:
    probe.hit()
    return value


async def now(_ctx: Any) -> int:
    return time.monotonic_ns()


async def nap(_ctx: Any, *, number: int, milliseconds: int) -> str:
    return await marks.async_nap(number, milliseconds)


settings = {"queue": queue, "functions": [noop, now, nap]}
# It may be run three times, and what is stuck is looked for more often than once a minute.
QUICKLY = {"retries": 3} if quick() else {}
if quick():
    settings["timers"] = {"sweep": RECOVERY_S}


class Peer(Adapter):
    blocking = False

    def __init__(self) -> None:
        self.run(queue.connect())
        self._sent = 0
        self._naps = {}

    def send(self, count: int) -> None:
        self.run(self._send(count))
        self._sent += count

    async def _send(self, count: int) -> None:
        for value in range(count):
            await queue.enqueue("noop", value=value, ttl=TTL, retries=2)

    def send_bulk(self, count: int) -> None:
        self.run(self._send_bulk(count))
        self._sent += count

    async def _send_bulk(self, count: int) -> None:
        for first in range(0, count, TOGETHER):
            together = range(first, min(first + TOGETHER, count))
            calls = (queue.enqueue("noop", value=v, ttl=TTL, retries=2) for v in together)
            await asyncio.gather(*calls)

    def finished(self) -> int:
        left = self.run(queue.count("incomplete"))
        return self._sent - left

    async def asend_one(self) -> None:
        await queue.enqueue("noop", value=1, ttl=TTL, retries=2)
        self._sent += 1

    def round_trip(self) -> int:
        return self.run(self.around_trip())

    async def around_trip(self) -> int:
        job = await queue.enqueue("now", retries=2)
        while not job.completed:  # an end between its look and its listening is not told
            with contextlib.suppress(TimeoutError):
                await job.refresh(until_complete=1)
        return job.result

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "saq", "benchmarks.peers.saq.settings"]
        command += ["-v"] if level == "INFO" else []
        return [*command, "--workers", str(processes)]

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self.run(self._send_naps(numbers, milliseconds))

    async def _send_naps(self, numbers: list[int], milliseconds: int) -> None:
        for number in numbers:
            job = await queue.enqueue("nap", number=number, milliseconds=milliseconds, **QUICKLY)
            self._naps[number] = job

    def waiting(self) -> list[int]:
        return self.run(self._waiting())

    async def _waiting(self) -> list[int]:
        living = [Status.NEW, Status.QUEUED, Status.ACTIVE]
        return [job.kwargs["number"] async for job in queue.iter_jobs(statuses=living)]

    def nap_results(self) -> list[tuple[int, str | None]]:
        return self.run(self._nap_results())

    async def _nap_results(self) -> list[tuple[int, str | None]]:
        for job in self._naps.values():
            await job.refresh()
        return [(number, job.result) for number, job in self._naps.items()]
