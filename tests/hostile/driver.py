"""A worker, a store, and messages that misbehave, each beside an innocent one."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.message import FINAL_STATES, State
from tests.hostile.misdeeds import DEEDS
from tests.hostile.places import MAX_DELIVERIES, MAX_RETRIES, PLACES
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reliable_tasks.results.result import AsyncResult
    from reliable_tasks.store.values import Record
    from tests.process.harness import Place, Worker

__all__ = ["Case", "Driver", "cases", "draw"]

_PATIENCE_S = 60.0  # until one more message ends: each is bounded, however busy the machine
_CHILDREN = 2


@dataclass(frozen=True, slots=True)
class Case:
    """A misdeed in a place of the program."""

    place: str
    deed: str

    def __str__(self) -> str:
        return f"{self.deed} in {self.place}"


def cases(pool: str) -> Iterator[Case]:
    """Whatever may be done in this pool."""
    for name, deed in DEEDS.items():
        if pool != "prefork" and (deed.kills or deed.hangs):
            continue  # a process of many bodies dies with all of them, and has no limits
        for place in PLACES:
            yield Case(place, name)


def draw(pool: str, seed: int, count: int) -> list[Case]:
    """Some of them, each deed before any deed comes again."""
    rng = random.Random(seed)
    possible = list(cases(pool))
    rng.shuffle(possible)
    times: Counter[str] = Counter()
    ranked = []
    for case in possible:
        ranked.append((times[case.deed], case))
        times[case.deed] += 1
    ranked.sort(key=lambda pair: pair[0])
    return [case for _, case in ranked[:count]]


class Driver:
    """Runs cases on a worker, and says what is not as promised.

    Args:
        place: the folder, the store and the worker.
        pool: of the worker.
    """

    def __init__(self, place: Place, pool: str) -> None:
        self._place = place
        self._pool = pool
        self._cases: dict[str, Case] = {}
        self._innocents: dict[str, int] = {}
        self._handles: list[AsyncResult[Any]] = []

    def run(self, chosen: Iterable[Case]) -> list[str]:
        """Send each case and an innocent message after it; returns what is broken at rest."""
        self._place.app.conf.max_deliveries = MAX_DELIVERIES
        module = "tests.hostile.limited" if self._pool == "prefork" else "tests.hostile.program"
        worker = self._place.start_worker(
            "--pool", self._pool, "--concurrency", str(_CHILDREN), module=module
        )
        for n, case in enumerate(chosen):
            task = "hostile_coroutine" if case.place == "coroutine" else "hostile"
            call = [case.place, case.deed]
            handle = self._place.app.send_task(task, call)
            self._cases[handle.id] = case
            innocent = self._place.app.send_task("innocent", [n])
            self._innocents[innocent.id] = n
            self._handles += [handle, innocent]
        while not self._at_rest(worker) and self._one_more_ends(worker):
            pass
        return [*self._broken(worker), *self._afterwards(worker)]

    def _records(self) -> dict[str, Record]:
        store = self._place.store
        ids = [*self._cases, *self._innocents]
        return {r.id: r for r in store.read(ids) if r is not None}

    def _at_rest(self, worker: Worker) -> bool:
        if not worker.running:
            return True
        return not self._pending()

    def _pending(self) -> list[str]:
        return [r.id for r in self._records().values() if r.state not in FINAL_STATES]

    def _one_more_ends(self, worker: Worker) -> bool:
        left = len(self._pending()) or 1  # none, if the last one has just ended
        try:
            wait_until(
                lambda: not worker.running or len(self._pending()) < left, "progress", _PATIENCE_S
            )
        except AssertionError:  # told afterwards, for each message that has not ended
            return False
        return True

    def _name(self, message_id: str) -> str:
        return str(self._cases.get(message_id, f"innocent {self._innocents.get(message_id)}"))

    def _broken(self, worker: Worker) -> list[str]:
        records = self._records()
        starts = Counter(message_id for message_id, _ in self._starts())
        found = [] if worker.running else [f"the worker ended with {worker.process.poll()}"]
        for message_id in [*self._cases, *self._innocents]:
            name, record = self._name(message_id), records.get(message_id)
            if record is None:
                found.append(f"{name} is lost")
            elif record.state not in FINAL_STATES:
                found.append(f"{name} is {record.state}, delivery {record.delivery}")
            if starts[message_id] > (MAX_RETRIES + 1) * MAX_DELIVERIES:
                found.append(f"{name} started {starts[message_id]} times")
        for message_id, n in self._innocents.items():
            innocent = records.get(message_id)
            if innocent is not None and innocent.state is not State.SUCCEEDED:
                found.append(f"innocent {n} is {innocent.state}")
            # An outcome on its way may be lost with a process that the next body kills.
            if not 1 <= starts[message_id] <= MAX_DELIVERIES:
                found.append(f"innocent {n} started {starts[message_id]} times")
        if "internal error" in worker.log or "internal_error" in worker.log:
            found.append("the worker speaks of an internal error")
        return found

    def _starts(self) -> list[tuple[str, int]]:
        lines = (self._place.path / "effects.jsonl").read_text(encoding="utf-8").splitlines()
        return [tuple(json.loads(line)) for line in lines]

    def _stopped(self, worker: Worker) -> list[str]:
        worker.signal(signal.SIGTERM)
        try:
            code = worker.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return ["told to stop, it goes on"]
        return [f"told to stop, it ended with {code}"] if code else []

    def _afterwards(self, worker: Worker) -> list[str]:
        """What is left in the store, and whether the worker stops on SIGTERM."""
        store = self._place.store
        found = [f"lock {lock.name} is held by {self._name(lock.owner)}" for lock in store.locks()]
        found += [f"session {s.id} holds {s.claims} claims" for s in store.sessions() if s.claims]
        if any(store.counts().queues.values()):
            found.append(f"there is something in the queues: {store.counts().queues}")
        if worker.running:
            found += self._stopped(worker)
        if store.sessions():
            found.append(f"{len(store.sessions())} sessions are left")
        return found
