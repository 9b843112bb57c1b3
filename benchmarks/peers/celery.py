"""Celery on Redis, with its default settings, or with `acks_late`."""

import base64
import json
import sys
import time

from celery import Celery, chord, group
from redis import Redis

from benchmarks import marks, probe
from benchmarks.adapter import RECOVERY_S, Adapter, key_count, quick, store_url, variant

app = Celery("benchmarks", broker=store_url(), backend=store_url())
app.conf.task_acks_late = "acks-late" in variant()
app.conf.task_ignore_result = "no-results" in variant()
app.conf.broker_connection_retry_on_startup = True
if quick():
    app.conf.broker_transport_options = {"visibility_timeout": RECOVERY_S}
    app.conf.worker_prefetch_multiplier = 1


@app.task(name="noop")
def noop(value: int) -> int:
    probe.hit()
    return value


@app.task(name="now")
def now() -> int:
    return time.monotonic_ns()


@app.task(name="total")
def total(values: list[int]) -> int:
    return sum(values)


@app.task(name="nap")
def nap(number: int, milliseconds: int) -> str:
    return marks.nap(number, milliseconds)


class Peer(Adapter):
    def __init__(self) -> None:
        self._naps = {}

    def send(self, count: int) -> None:
        for value in range(count):
            noop.delay(value)

    def send_bulk(self, count: int) -> None:
        group(noop.s(value) for value in range(count)).apply_async(add_to_parent=False)

    def send_bulk_otherwise(self, count: int) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            for value in range(count):
                noop.apply_async((value,), producer=producer)

    def finished(self) -> int | None:
        if "no-results" in variant():
            return None
        # The server holds little else: the queue, its bindings, what is unacknowledged.
        return key_count()

    def round_trip(self) -> int:
        return now.delay().get(timeout=60)

    def chord(self, count: int) -> None:
        result = chord([noop.s(value) for value in range(count)])(total.s())
        assert result.get(timeout=120) == sum(range(count))

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "celery", "-q", "-A", "benchmarks.peers.celery:app"]
        command += ["worker", "-c", str(processes), "-l", level]
        return command + (["-f", logfile] if logfile else [])

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self._naps |= {number: nap.delay(number, milliseconds) for number in numbers}

    def waiting(self) -> list[int]:
        with Redis.from_url(store_url()) as client:
            found = [json.loads(message) for message in client.lrange("celery", 0, -1)]
            found += [json.loads(value)[0] for value in client.hvals("unacked")]
        return [json.loads(base64.b64decode(message["body"]))[0][0] for message in found]

    def nap_results(self) -> list[tuple[int, str | None]]:
        return [(n, handle.result if handle.ready() else None) for n, handle in self._naps.items()]
