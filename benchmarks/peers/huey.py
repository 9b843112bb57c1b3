"""Huey on Redis or on SQLite."""

import sys
import time

from huey import RedisHuey, SqliteHuey

from benchmarks import marks, probe
from benchmarks.adapter import Adapter, store_url, variant

RESULTS = "no-results" not in variant()
if store_url().startswith("redis"):
    # `notify` is its way to wait for a result without polling; it costs a little per message.
    app = RedisHuey("bench", url=store_url(), results=RESULTS, notify_result="latency" in variant())
else:
    app = SqliteHuey("bench", filename=store_url().removeprefix("sqlite:///"), results=RESULTS)


@app.task()
def noop(value: int) -> int:
    probe.hit()
    return value


@app.task()
def now() -> int:
    return time.monotonic_ns()


@app.task()
def nap(number: int, milliseconds: int) -> str:
    return marks.nap(number, milliseconds)


class Peer(Adapter):
    def __init__(self) -> None:
        self._naps = {}

    def send(self, count: int) -> None:
        for value in range(count):
            noop(value)

    def finished(self) -> int | None:
        return app.result_count() if RESULTS else None

    def round_trip(self) -> int:
        return now().get(blocking=True, timeout=60)

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "huey.bin.huey_consumer", "benchmarks.peers.huey.app"]
        command += ["-w", str(processes), "-k", "process"]
        command += ["-q"] if level == "WARNING" else []
        return command + (["-l", logfile] if logfile else [])

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self._naps |= {number: nap(number, milliseconds) for number in numbers}

    def waiting(self) -> list[int]:
        return [task.args[0] for task in [*app.pending(), *app.scheduled()]]

    def nap_results(self) -> list[tuple[int, str | None]]:
        return [(number, handle.get(preserve=True)) for number, handle in self._naps.items()]
