"""Streaq on Redis, with its default settings."""

import sys
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from anyio.from_thread import start_blocking_portal
from streaq import Worker
from streaq.task import Task, TaskStatus

from benchmarks import marks, probe
from benchmarks.adapter import PART, RECOVERY_S, Adapter, quick, store_url

worker = Worker(redis_url=store_url(), **({"idle_timeout": RECOVERY_S} if quick() else {}))
TOGETHER = 1000


@worker.task
async def noop(value: int) -> int:
    probe.hit()
    return value


@worker.task
async def now() -> int:
    return time.monotonic_ns()


@worker.task
async def nap(number: int, milliseconds: int) -> str:
    return await marks.async_nap(number, milliseconds)


async def _await(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await coroutine


class Peer(Adapter):
    blocking = False

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._stack.enter_context(self._portal.wrap_async_context_manager(worker))
        self._sent = 0
        self._naps = {}

    def send(self, count: int) -> None:
        self._portal.call(self._send, count)
        self._sent += count

    async def _send(self, count: int) -> None:
        for value in range(count):
            await noop.enqueue(value)

    def send_bulk(self, count: int) -> None:
        for first in range(0, count, TOGETHER):
            some = range(first, min(first + TOGETHER, count))
            self._portal.call(worker.enqueue_many, [noop.enqueue(value) for value in some])
        self._sent += count

    async def asend_one(self) -> None:
        await noop.enqueue(1)
        self._sent += 1

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._portal.start_task_soon(_await, coroutine).result()

    def finished(self) -> int:
        return self._sent - self._portal.call(worker.queue_size)

    def round_trip(self) -> int:
        return self._portal.call(self.around_trip)

    async def around_trip(self) -> int:
        task = await now.enqueue()
        return (await task.result(timeout=60)).result

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "streaq", "run", "benchmarks.peers.streaq:worker"]
        return [*command, "--workers", str(processes)]

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self._portal.call(self._send_naps, numbers, milliseconds)

    async def _send_naps(self, numbers: list[int], milliseconds: int) -> None:
        for number in numbers:
            self._naps[number] = await nap.enqueue(number, milliseconds)

    def waiting(self) -> list[int]:
        return self._portal.call(self._waiting)

    async def _waiting(self) -> list[int]:
        # What is over is deleted from the stream; its own listing leaves out what is prefetched.
        entries = await worker.redis.xrange(f"{worker.stream_key}normal", "-", "+")
        ids = [str(entry.field_values["task_id"]) for entry in entries]
        found = [await worker.info_by_id(task_id) for task_id in ids]
        found += await worker.get_tasks_by_status(TaskStatus.SCHEDULED, limit=PART)
        return [task.args[0] for task in found if task]

    def nap_results(self) -> list[tuple[int, str | None]]:
        return self._portal.call(self._nap_results)

    async def _nap_results(self) -> list[tuple[int, str | None]]:
        return [(number, await self._result(task)) for number, task in self._naps.items()]

    async def _result(self, task: Task) -> str | None:
        if await task.status() != TaskStatus.DONE:
            return None
        found = await task.result(timeout=timedelta(seconds=5))
        return found.result if found.success else None
