"""Dramatiq on Redis, with its result backend."""

import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks import probe
from benchmarks.adapter import Adapter, key_count, store_url, variant

broker = RedisBroker(url=store_url())
backend = RedisBackend(url=store_url())
broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)
KEEP = "no-results" not in variant()


@dramatiq.actor(store_results=KEEP)
def noop(value: int) -> int | None:
    probe.hit()
    return value if KEEP else None


@dramatiq.actor(store_results=True)
def now() -> int:
    return time.monotonic_ns()


class Peer(Adapter):
    def send(self, count: int) -> None:
        for value in range(count):
            noop.send(value)

    def finished(self) -> int | None:
        return key_count() if KEEP else None

    def round_trip(self) -> int:
        return now.send().get_result(block=True, timeout=60_000)

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        # It says nothing about a message below DEBUG.
        command = [sys.executable, "-m", "dramatiq", "-p", str(processes)]
        command += ["--log-file", logfile] if logfile else []
        return [*command, "benchmarks.peers.dramatiq"]
