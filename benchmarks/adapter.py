"""The adapter's side: one process in a peer's environment that sends, waits and answers.

The driver writes a JSON object to its standard input, `{"do": verb, ...arguments}`, and reads one
from its standard output, `{"value": ...}` or `{"error": text}`. Only the standard library is
imported here, for every peer's environment loads this.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = [
    "PART",
    "RECOVERY_S",
    "STORE",
    "VARIANT",
    "Adapter",
    "WithoutIt",
    "key_count",
    "quick",
    "serve",
    "store_url",
    "variant",
]

STORE = "BENCH_STORE"
VARIANT = "BENCH_VARIANT"
RECOVERY_S = 10
"""After so long a peer is to take a worker for dead, where it is set to recover quickly."""
PAUSE_S = 0.004
PART = 20_000


def store_url() -> str:
    """The URL of the server, or the path of the database, that the driver has made."""
    return os.environ[STORE]


def variant() -> frozenset[str]:
    """What this run is to do otherwise, such as "no-results"."""
    return frozenset(os.environ.get(VARIANT, "").split())


def quick() -> bool:
    """Whether the peer is to be set to recover quickly from a death, instead of its defaults."""
    return "quick" in variant()


def key_count() -> int:
    """How many keys the server holds: little else than results, where each has a key."""
    from redis import Redis  # noqa: PLC0415 - not every environment has it

    with Redis.from_url(store_url()) as client:
        return int(client.dbsize())


class WithoutIt(Exception):
    """The peer has nothing of the kind."""


class Adapter:
    """What the driver asks of a peer. Times are nanoseconds of the monotonic clock."""

    blocking = True
    """Whether `send` and `round_trip` are the peer's own calls, not a coroutine that is run."""
    _runner: asyncio.Runner | None = None

    def send(self, count: int) -> None:
        """Enqueue calls of the empty body one after the other."""
        raise NotImplementedError

    def send_bulk(self, count: int) -> None:
        """Enqueue them in the way that the peer has for many."""
        raise WithoutIt

    def send_bulk_otherwise(self, count: int) -> None:
        """The same in another way, where it is not plain which is the fastest."""
        raise WithoutIt

    def send_one(self) -> None:
        """Enqueue one call of the empty body."""
        self.send(1)

    async def asend_one(self) -> None:
        """The same from a coroutine."""
        raise WithoutIt

    async def around_trip(self) -> int:
        """`round_trip` from a coroutine."""
        raise WithoutIt

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the event loop on which the peer is at home."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def finished(self) -> int | None:
        """How many messages are over and done with, their results stored; None if unknown."""
        raise NotImplementedError

    def round_trip(self) -> int:
        """Enqueue one call of the body that returns the time, and wait for its result."""
        raise NotImplementedError

    def chord(self, count: int) -> None:
        """Run a chord with so many parts, and wait for its body."""
        raise WithoutIt

    def lateness(self, count: int) -> list[float]:
        """By how many seconds so many lone calls began after they were due, some pauses apart."""
        raise WithoutIt

    def schedule(self, count: int) -> None:
        """Enqueue calls that are due in an hour."""
        raise WithoutIt

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        """The command line of a worker, logging from this level on to this file ("" for none)."""
        raise NotImplementedError

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        """Enqueue a call of the body that naps for each number, with the peer's own defaults."""
        raise NotImplementedError

    def waiting(self) -> list[int]:
        """The naps that are still kept and not over: queued, delayed, or thought to be running."""
        raise NotImplementedError

    def nap_results(self) -> list[tuple[int, str | None]]:
        """What is stored as the result of each nap that this process has sent."""
        raise NotImplementedError


class _Verbs:
    """What the driver may ask."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def timed(self, what: str, count: int) -> dict[str, float]:
        """Seconds that a verb of the adapter's takes for so many messages: elapsed, and of CPU."""
        began, used = time.monotonic_ns(), time.process_time()
        getattr(self._adapter, what)(count)
        return {"s": (time.monotonic_ns() - began) / 1e9, "cpu_s": time.process_time() - used}

    def at_once(self, what: str, count: int, width: int, *, threads: bool) -> dict[str, float]:
        """The same for so many coroutines side by side, each of which calls again and again.

        `threads`: each call is a blocking one, in a thread, as one does with no other at hand.
        """
        if threads and not self._adapter.blocking:
            raise WithoutIt
        began, used = time.monotonic_ns(), time.process_time()
        self._adapter.run(self._side_by_side(what, count, width, threads=threads))
        return {"s": (time.monotonic_ns() - began) / 1e9, "cpu_s": time.process_time() - used}

    async def _side_by_side(self, what: str, count: int, width: int, *, threads: bool) -> None:
        async def call() -> None:
            for _ in range(count // width):
                if threads:
                    await asyncio.to_thread(getattr(self._adapter, what))
                else:
                    await getattr(self._adapter, f"a{what}")()

        await asyncio.gather(*(call() for _ in range(width)))

    def latencies(self, count: int, seconds: float) -> list[list[int]]:
        """Of so many lone messages: ns from the enqueue to the body's start, and to the result.

        Of fewer, where they take longer than so many seconds.
        """
        found: list[list[int]] = []
        deadline = time.monotonic() + seconds
        while len(found) < count and time.monotonic() < deadline:
            sent = time.monotonic_ns()
            started = self._adapter.round_trip()
            found.append([started - sent, time.monotonic_ns() - sent])
            time.sleep(random.uniform(PAUSE_S, 3 * PAUSE_S))
        return found

    def paced(self, rate: float, seconds: float) -> float:
        """Send so many messages a second in small batches; returns the rate that was reached."""
        began, sent, step_s = time.monotonic(), 0, 0.02
        while (now := time.monotonic() - began) < seconds:
            due = int(now * rate) - sent
            if due > 0:
                self._send_some(due)
                sent += due
            time.sleep(step_s)
        return sent / (time.monotonic() - began)

    def _send_some(self, count: int) -> None:
        try:
            self._adapter.send_bulk(count)
        except WithoutIt:
            self._adapter.send(count)

    def fill(self, count: int) -> None:
        """Enqueue so many messages, as fast as may be, in parts that fit into memory."""
        for first in range(0, count, PART):
            self._send_some(min(PART, count - first))

    def lateness(self, count: int) -> list[float]:
        return self._adapter.lateness(count)

    def finished(self) -> int | None:
        return self._adapter.finished()

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        return self._adapter.worker(processes, level, logfile)

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self._adapter.send_naps(numbers, milliseconds)

    def waiting(self) -> list[int]:
        return self._adapter.waiting()

    def nap_results(self) -> list[tuple[int, str | None]]:
        return self._adapter.nap_results()


def serve(adapter: Adapter) -> None:
    """Answer the driver until its end of the pipe is closed."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a peer prints does not get between the answers
    verbs = _Verbs(adapter)
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        verb = request.pop("do")
        try:
            answer: dict[str, Any] = {"value": getattr(verbs, verb)(**request)}
        except WithoutIt:
            answer = {"value": None}
        except Exception:  # noqa: BLE001 - the driver is told, and stops
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers)
