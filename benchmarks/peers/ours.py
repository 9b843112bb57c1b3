"""reliable_tasks, on Redis or on SQLite, with its default settings."""

import sys
import time

from benchmarks import probe
from benchmarks.adapter import PART, Adapter, store_url, variant
from reliable_tasks import App, chord
from reliable_tasks.message import FINAL_STATES

app = App(
    "benchmarks",
    broker=store_url(),
    task_ignore_result="no-results" in variant(),
    audit="all" if "audit" in variant() else "default",
)


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


class Peer(Adapter):
    def send(self, count: int) -> None:
        for value in range(count):
            noop.delay(value)

    def send_bulk(self, count: int) -> None:
        app.enqueue_many(noop.s(value) for value in range(count))

    def finished(self) -> int:
        counts = app.store.counts().states
        return sum(number for state, number in counts.items() if state in FINAL_STATES)

    def round_trip(self) -> int:
        return now.delay().get(timeout=60)

    def chord(self, count: int) -> None:
        result = chord([noop.s(value) for value in range(count)])(total.s())
        assert result.get(timeout=120) == sum(range(count))

    def schedule(self, count: int) -> None:
        for first in range(0, count, PART):
            part = range(first, min(first + PART, count))
            app.enqueue_many(noop.s(value).set(countdown=3600) for value in part)

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "reliable_tasks", "-q", "-A", "benchmarks.peers.ours:app"]
        command += ["worker", "-c", str(processes), "-l", level]
        return command + (["-f", logfile] if logfile else [])
