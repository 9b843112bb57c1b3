"""Huey on Redis or on SQLite."""

import sys
import time

from huey import RedisHuey, SqliteHuey

from benchmarks import probe
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


class Peer(Adapter):
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
