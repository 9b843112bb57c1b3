"""reliable_tasks, on Redis or on SQLite, with its default settings."""

import json
import random
import sys
import time
from datetime import UTC, datetime

from benchmarks import marks, probe
from benchmarks.adapter import PART, Adapter, WithoutIt, store_url, variant
from reliable_tasks import App, chord
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.store.values import MessageQuery

DUE_S = 0.5
_expiries = [word.removeprefix("expires-") for word in variant() if word.startswith("expires-")]
app = App(
    "benchmarks",
    broker=store_url(),
    **({"result_expires": int(_expiries[0])} if _expiries else {}),
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


@app.task(name="late")
def late(due: float) -> float:
    return time.time() - due


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
        app.enqueue_many(noop.s(value) for value in range(count))

    def send_bulk_otherwise(self, count: int) -> None:
        if not hasattr(noop, "enqueue_many"):
            raise WithoutIt
        noop.enqueue_many((value,) for value in range(count))

    async def asend_one(self) -> None:
        await noop.adelay(1)

    async def around_trip(self) -> int:
        return await (await now.adelay()).aget(timeout=60)

    def finished(self) -> int:
        counts = app.store.counts().states
        return sum(number for state, number in counts.items() if state in FINAL_STATES)

    def round_trip(self) -> int:
        return now.delay().get(timeout=60)

    def chord(self, count: int) -> None:
        result = chord([noop.s(value) for value in range(count)])(total.s())
        assert result.get(timeout=120) == sum(range(count))

    def lateness(self, count: int) -> list[float]:
        due, calls = time.time() + DUE_S, []
        for _ in range(count):
            due += random.uniform(DUE_S / 4, DUE_S / 2)
            eta = datetime.fromtimestamp(due, UTC)
            calls.append(late.apply_async((due,), eta=eta))
        return [call.get(timeout=60) for call in calls]

    def schedule(self, count: int) -> None:
        for first in range(0, count, PART):
            part = range(first, min(first + PART, count))
            app.enqueue_many(noop.s(value).set(countdown=3600) for value in part)

    def worker(self, processes: int, level: str, logfile: str) -> list[str]:
        command = [sys.executable, "-m", "reliable_tasks", "-q", "-A", "benchmarks.peers.ours:app"]
        command += ["worker", "-c", str(processes), "-l", level]
        return command + (["-f", logfile] if logfile else [])

    def send_naps(self, numbers: list[int], milliseconds: int) -> None:
        self._naps |= {number: nap.delay(number, milliseconds) for number in numbers}

    def waiting(self) -> list[int]:
        living = [state for state in State if state not in FINAL_STATES]
        found = [r for s in living for r in app.store.find(MessageQuery(state=s, limit=PART))]
        # One that has ended since the list was made has no payload any more.
        return [json.loads(record.payload)[0][0] for record in found if record.payload]

    def nap_results(self) -> list[tuple[int, str | None]]:
        return [(n, handle.result if handle.ready() else None) for n, handle in self._naps.items()]
