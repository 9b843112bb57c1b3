"""What single steps cost here: a few seconds with a server of its own, and with real workers."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.outcome import Succeeded
from reliable_tasks.store.values import ClaimRequest, Commit, SessionInfo
from tests.redis_server import RedisServer

from . import capacity_tasks, processes
from .arena import ROOT, BenchmarkError, end_group
from .capacity_model import MOST_AHEAD as BATCH
from .capacity_model import Costs, Used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reliable_tasks import App
    from reliable_tasks.store.values import Claim

__all__ = ["Run", "costs", "run"]

FEW, MANY, PART, REPEATS = 300, 3_000, 500, 3
DRAINED = 20_000
LEASE_MS = 3_600_000
START_S, END_S = 60.0, 120.0
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of real workers used, for each message.

    `worker_us` is of all their processes, `growth_bytes` what the server's memory has grown by.
    """

    used: Used
    worker_us: float
    rate: float
    growth_bytes: float


class _Server:
    """A private server and an app on it."""

    def __init__(self, server: RedisServer) -> None:
        self._client = server.client()
        self.app: App = type(capacity_tasks.app)(
            "capacity", broker=server.url, set_as_current=False
        )
        self.task: Any = self.app.task(name="rest")(capacity_tasks.rest.run)
        self.app.store.counts()

    def memory(self) -> float:
        """Bytes that it has allocated."""
        return float(self._info("memory")["used_memory"])

    def now(self) -> Used:
        """What it and this process have used so far."""
        stats = self._info("stats")
        return Used(
            processes.server_seconds(self._client) * 1e6,
            time.process_time() * 1e6,
            float(stats["total_net_input_bytes"]),
            float(stats["total_net_output_bytes"]),
            0.0,
        )

    def per(self, count: int, run: Callable[[], object], trips: float) -> Used:
        """What each of so many used; the median of a few runs by the server's time."""
        found = []
        for _ in range(REPEATS):
            before = self.now()
            run()
            used = self.now().plus(before, -1.0)
            found.append(Used().plus(used, 1 / count).plus(Used(trips=trips)))
        return sorted(found, key=lambda used: used.server_us)[len(found) // 2]

    def _info(self, section: str) -> dict[str, Any]:
        found: Any = self._client.info(section)
        return dict(found)


@contextlib.contextmanager
def _server() -> Iterator[tuple[RedisServer, _Server]]:
    with RedisServer() as server:
        bench = _Server(server)
        try:
            yield server, bench
        finally:
            bench.app.close()


class _Steps:
    """The steps of a message, called as producers and workers call them."""

    def __init__(self, bench: _Server, padding: str) -> None:
        self._store, self._task, self._padding = bench.app.store, bench.task, padding
        self._result = Succeeded(result=b'"%s"' % padding.encode())
        self._store.open_session(SessionInfo(id="s", worker="capacity@here"), LEASE_MS)

    def call_alone(self) -> None:
        for _ in range(FEW):
            self._task.delay(0, self._padding)

    def call_many(self) -> None:
        for _ in range(0, MANY, PART):
            self._task.enqueue_many((0, self._padding) for _ in range(PART))

    def _commits(self, claims: Sequence[Claim]) -> list[Commit]:
        return [Commit(id=c.id, fence=c.fence, outcome=self._result) for c in claims]

    def live(self) -> None:
        """Call, and do as an idle worker does: wait, claim, commit, and find nothing more."""
        want = ClaimRequest(queues=("celery",), limit=1)
        for _ in range(FEW):
            self._task.delay(0, self._padding)
            claims = self._store.wait_then_claim("s", want, 1.0).claims
            self._store.exchange("s", self._commits(claims), want)

    def drain(self, limit: int, most: int) -> None:
        want = ClaimRequest(queues=("celery",), limit=limit)
        claims = self._store.exchange("s", (), want).claims
        done = len(claims)
        while claims:
            more = want if done < most else None
            claims = self._store.exchange("s", self._commits(claims), more).claims
            done += len(claims)


def costs(padding: str) -> Costs:
    """Measure: arguments and results have this in them."""
    with _server() as (_, bench):
        steps = _Steps(bench, padding)
        steps.call_alone()
        steps.drain(BATCH, FEW)
        base = bench.memory()
        call_alone = bench.per(FEW, steps.call_alone, 1.0)
        steps.drain(BATCH, REPEATS * FEW)
        met = bench.per(FEW, steps.live, 3.0).plus(call_alone, -1.0)
        waiting_from = bench.memory()
        call_many = bench.per(MANY, steps.call_many, 1 / PART)
        waiting = (bench.memory() - waiting_from) / (REPEATS * MANY)
        one = bench.per(FEW, lambda: steps.drain(1, FEW), 1.0)
        some = bench.per(MANY // 2, lambda: steps.drain(BATCH, MANY // 2), 1 / BATCH)
        steps.drain(BATCH, 10 * MANY)
        ended_bytes = (bench.memory() - base) / (REPEATS * (MANY + 2 * FEW))
    # By itself one costs `exchange + each`, one of a batch `exchange / BATCH + each`.
    exchange = Used().plus(one.plus(some, -1.0), 1 / (1 - 1 / BATCH))
    each = one.plus(exchange, -1.0)
    lone = run(processes_=2, seconds=4.0, rate=60.0, body_s=0.005, padding=padding)
    # Between lone messages a server's caches grow cold, which no loop of calls shows.
    cold_us = lone.used.server_us - call_alone.server_us - met.server_us
    many = run(processes_=2, seconds=4.0, rate=0.0, body_s=0.0, padding=padding)
    return Costs(
        call_alone=call_alone,
        call_many=call_many,
        met=met.plus(Used(server_us=max(0.0, cold_us))),
        exchange=exchange,
        each=each,
        worker_us=lone.worker_us,
        worker_many_us=many.worker_us,
        waiting_bytes=waiting,
        ended_bytes=ended_bytes,
        base_bytes=base,
    )


# Real workers ------------------------------------------------------------------------------------


def run(*, processes_: int, seconds: float, rate: float, body_s: float, padding: str) -> Run:
    """Call at a rate, and let a real worker run it; at a rate of 0, what waits is drained."""
    with _server() as (server, bench), contextlib.ExitStack() as stack:
        count = int(seconds * rate) if rate else DRAINED
        grown_from = bench.memory()
        if not rate:
            _fill(bench, count, body_s, padding)
        worker = stack.enter_context(_worker(server.url, processes_))
        if rate:
            _wake(bench, processes_, padding)
        _until(lambda: _ended(bench) > 0, START_S)
        ended_from = _ended(bench)
        before, cpu = bench.now(), processes.cpu_seconds(worker.pid)
        began = time.monotonic()
        if rate:
            _paced(bench, count, rate, body_s, padding)
        goal = ended_from + count if rate else count
        _until(lambda: _ended(bench) >= goal, END_S)
        took, done = time.monotonic() - began, _ended(bench) - ended_from
        used = Used().plus(bench.now().plus(before, -1.0), 1 / done)
        worker_us = (processes.cpu_seconds(worker.pid) - cpu) * 1e6 / done
        return Run(used, worker_us, done / took, (bench.memory() - grown_from) / count)


@contextlib.contextmanager
def _worker(url: str, number: int) -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, capacity_tasks.URL: url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "reliable_tasks", "-q", "-A", "benchmarks.capacity_tasks:app"]
    command += ["worker", "-c", str(number), "-l", "WARNING"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True)
    try:
        yield process
    finally:
        end_group(process)


def _fill(bench: _Server, count: int, body_s: float, padding: str) -> None:
    for _ in range(0, count, PART):
        bench.task.enqueue_many((body_s, padding) for _ in range(PART))


def _paced(bench: _Server, count: int, rate: float, body_s: float, padding: str) -> None:
    due = time.monotonic()
    for _ in range(count):
        due += random.expovariate(rate)  # as calls come that know nothing of each other
        ahead = due - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        bench.task.delay(body_s, padding)


def _ended(bench: _Server) -> int:
    return bench.app.store.counts().states.get("succeeded", 0)


def _wake(bench: _Server, number: int, padding: str) -> None:
    """Each process has run something: its code and connections are there."""
    for _ in range(50 * number):
        bench.task.delay(0.0, padding)
    _until(lambda: not sum(map(len, bench.app.store.counts().queues.values())), START_S)


def _until(ready: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the workers took over {seconds:g} s")
        time.sleep(PAUSE_S)
