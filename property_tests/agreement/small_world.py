"""A small world, explored whole: two workers, two messages, one once-key, one of each misfortune.

Breadth first over every interleaving of enqueues, claims, commits, lost replies, a crash, a lapsed
lease, a revocation and reaping, with the invariants checked in every state.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from property_tests.model.model import Model
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import FINAL_STATES, Message, OnceLock, State
from reliable_tasks.store import values as v

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MISFORTUNES", "Explored", "explore"]

_ONCE = OnceLock(key="k", on_conflict="reschedule")
MESSAGES = {
    name: Message(id=name, task="t", once=_ONCE, max_deliveries=1, result_ttl_ms=0)
    for name in ("a", "b")
}
MISFORTUNES = ("crash", "lapse", "lose", "revoke", "again", "retry")
"""A worker dies, a lease lapses, a reply is lost, a user revokes or sends again, a body retries."""

_WANT = v.ClaimRequest(queues=("celery",), limit=1)
_ENDED = oc.Succeeded(result=b"1")


@dataclass(frozen=True)
class Worker:
    """What a worker believes."""

    name: str
    life: int = 0
    holds: tuple[str, int] | None = None
    uncertain: bool = False

    @property
    def session(self) -> str:
        return f"{self.name}{self.life}"


@dataclass
class Small:
    """A state of the world."""

    model: Model
    workers: dict[str, Worker]
    left: dict[str, int]

    def key(self) -> Any:
        """The state with its numbers replaced by their order: what matters of it."""
        numbers = {r.fence for r in self.model.recs.values()}
        numbers |= {r.committed_fence for r in self.model.recs.values()}
        numbers |= {w.holds[1] for w in self.workers.values() if w.holds}
        fences = {fence: rank for rank, fence in enumerate(sorted(numbers | {0}))}
        return (
            tuple(self._record(r, fences) for _, r in sorted(self.model.recs.items())),
            tuple(sorted((n, lock.owner) for n, lock in self.model.lock_table.items())),
            tuple(tuple(ids) for _, ids in sorted(self.model.parked.items())),
            tuple(sorted((s.id, s.lease_until_ms) for s in self.model.session_table.values())),
            tuple(
                (w.life, w.uncertain, w.holds and (w.holds[0], fences[w.holds[1]]))
                for w in self.workers.values()
            ),
            tuple(self.left.values()),
        )

    @staticmethod
    def _record(r: Any, fences: dict[int, int]) -> Any:
        return (
            *(r.m.id, r.state, r.reason, r.attempt, r.delivery, r.session, r.parked, r.revoked),
            *(fences[r.fence], fences[r.committed_fence], r.admitted),
        )


@dataclass(frozen=True)
class Explored:
    """What exploring found."""

    states: int
    steps: int
    violations: tuple[str, ...]


def explore(misfortunes: frozenset[str], limit: int = 1_000_000) -> Explored:
    """Every state that can be reached with one of each misfortune, each checked once."""
    left = {name: int(name in misfortunes) for name in MISFORTUNES}
    first = Small(Model(lambda: 1_000), {"x": Worker("x"), "y": Worker("y")}, left)
    for worker in first.workers.values():
        first.model.open_session(v.SessionInfo(id=worker.session, worker=worker.name), 1_000)
    seen = {first.key()}
    todo: deque[Small] = deque([first])
    steps = 0
    violations: list[str] = []
    while todo and len(seen) < limit:
        world = todo.popleft()
        for name, after in _steps(world):
            steps += 1
            violations += [f"{name}: {what}" for what in _wrong(world, after)]
            key = after.key()
            if key not in seen:
                seen.add(key)
                todo.append(after)
    return Explored(len(seen), steps, tuple(violations))


def _fork(world: Small) -> Small:
    clock = world.model.clock
    model = copy.copy(world.model)
    model.recs = {i: copy.copy(r) for i, r in world.model.recs.items()}
    model.lock_table = {n: copy.copy(lock) for n, lock in world.model.lock_table.items()}
    model.parked = {n: list(ids) for n, ids in world.model.parked.items()}
    model.session_table = dict(world.model.session_table)
    model.trail = []
    model.clock = clock
    return Small(model, dict(world.workers), dict(world.left))


def _spend(world: Small, what: str) -> Small:
    after = _fork(world)
    after.left[what] -= 1
    return after


def _steps(world: Small) -> Iterator[tuple[str, Small]]:
    yield from _user_steps(world)
    for worker in world.workers.values():
        yield from _worker_steps(world, worker)
        yield from _misfortunes(world, worker)
    after = _fork(world)
    after.model.reap()
    yield "reap", after


def _user_steps(world: Small) -> Iterator[tuple[str, Small]]:
    for name, message in MESSAGES.items():
        if name not in world.model.recs:
            after = _fork(world)
            after.model.enqueue(v.Batch(messages=(message,)))
            yield f"enqueue {name}", after
        elif world.left["again"]:
            after = _spend(world, "again")
            after.model.enqueue(v.Batch(messages=(message,)))
            yield f"enqueue {name} again", after
        if world.left["revoke"] and name in world.model.recs:
            after = _spend(world, "revoke")
            after.model.revoke([name])
            yield f"revoke {name}", after


def _worker_steps(world: Small, worker: Worker) -> Iterator[tuple[str, Small]]:
    if worker.uncertain:
        after = _fork(world)
        held = after.model.held(worker.session)
        holds = (held[0].id, held[0].fence) if held else worker.holds
        after.workers[worker.name] = replace(worker, uncertain=False, holds=holds)
        yield f"{worker.name} reconciles", after
    elif worker.holds is None:
        for lost in range(1 + world.left["lose"]):
            after = _spend(world, "lose") if lost else _fork(world)
            claims = after.model.exchange(worker.session, [], _WANT).claims
            holds = (claims[0].id, claims[0].fence) if claims and not lost else None
            after.workers[worker.name] = replace(worker, holds=holds, uncertain=bool(lost))
            yield f"{worker.name} claims" + (", reply lost" if lost else ""), after
    else:
        yield from _commits(world, worker, worker.holds)


def _commits(world: Small, worker: Worker, holds: tuple[str, int]) -> Iterator[tuple[str, Small]]:
    outcomes: list[tuple[str, oc.Outcome]] = [("succeeds", _ENDED), ("releases", oc.Released())]
    if world.left["retry"]:
        outcomes.append(("retries", oc.Retry()))
    for word, outcome in outcomes:
        for lost in range(1 + world.left["lose"]):
            after = _spend(world, "lose") if lost else _fork(world)
            if word == "retries":
                after.left["retry"] -= 1
            commit = v.Commit(id=holds[0], fence=holds[1], outcome=outcome)
            after.model.exchange(worker.session, [commit], None)
            if not lost:
                after.workers[worker.name] = replace(worker, holds=None)
            yield f"{worker.name} {word}" + (", reply lost" if lost else ""), after


def _misfortunes(world: Small, worker: Worker) -> Iterator[tuple[str, Small]]:
    if world.left["crash"]:
        after = _spend(world, "crash")
        after.model.reap(dead=[worker.session])
        after.workers[worker.name] = _reborn(after, worker)
        yield f"{worker.name} crashes", after
    if world.left["lapse"] and worker.session in world.model.session_table:
        after = _spend(world, "lapse")
        info = after.model.session_table[worker.session]
        after.model.session_table[worker.session] = v.SessionInfo(
            id=info.id, worker=info.worker, lease_until_ms=0
        )
        yield f"{worker.name}'s lease lapses", after
    if worker.holds is None and worker.session not in world.model.session_table:
        after = _fork(world)
        after.workers[worker.name] = _reborn(after, worker)
        yield f"{worker.name} opens a new session", after


def _reborn(world: Small, worker: Worker) -> Worker:
    new = Worker(worker.name, worker.life + 1)
    world.model.open_session(v.SessionInfo(id=new.session, worker=new.name), 1_000)
    return new


def _wrong(before: Small, after: Small) -> list[str]:
    """What is not as promised in this step or in the state it led to."""
    found = []
    model = after.model
    for message_id, was in before.model.recs.items():
        now = model.recs[message_id]
        if was.state in FINAL_STATES and now.version != was.version:
            found.append(f"{message_id} was {was.state}, and changed to {now.state}")
        if now.fence < was.fence:
            found.append(f"{message_id}: its fence shrank")
    lock = model.lock_table.get("k")
    if lock is not None and model.recs[lock.owner].state in FINAL_STATES:
        found.append(f"the key is held by {lock.owner}, which has ended")
    active = [r.m.id for r in model.recs.values() if r.state in {State.QUEUED, State.RUNNING}]
    if len(active) > 1:
        found.append("two messages of one key are under way at once")
    for r in model.recs.values():
        if r.state == State.WAITING and not (lock and r.parked):
            found.append(f"{r.m.id} waits for nothing")
        if r.state == State.RUNNING and r.session not in model.session_table:
            found.append(f"{r.m.id} runs in a session that is gone")
        if r.delivery > r.m.max_deliveries + 2:
            found.append(f"{r.m.id} was delivered {r.delivery} times")
    return found
