"""Dramatiq on Redis, with its result backend."""

import json
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import ResultMissing, Results
from dramatiq.results.backends import RedisBackend

from benchmarks import marks, probe
from benchmarks.adapter import RECOVERY_S, Adapter, key_count, quick, store_url, variant

# A worker's death is noticed by one of a thousand commands, or by one of twenty.
quickly = {"heartbeat_timeout": RECOVERY_S * 1000, "maintenance_chance": 50_000}
broker = RedisBroker(url=store_url(), **(quickly if quick() else {}))
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


@dramatiq.actor(store_results=True)
def nap(number: int, milliseconds: int) -> str:
    return marks.nap(number, milliseconds)


class Peer(Adapter):
    def __init__(self) -> None:
        self._naps = {}

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

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self._naps |= {number: nap.send(number, milliseconds) for number in numbers}

    def waiting(self) -> list[int]:
        keys = ("dramatiq:default.msgs", "dramatiq:default.DQ.msgs")
        found = [message for key in keys for message in broker.client.hvals(key)]
        return [json.loads(message)["args"][0] for message in found]

    def nap_results(self) -> list[tuple[int, str | None]]:
        return [(number, self._result(message)) for number, message in self._naps.items()]

    def _result(self, message: dramatiq.Message) -> str | None:
        try:
            return message.get_result()
        except ResultMissing:
            return None
