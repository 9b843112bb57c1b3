"""The invariants, checked on a world at rest."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from reliable_tasks.message import FINAL_STATES, State
from reliable_tasks.store.values import AuditQuery

if TYPE_CHECKING:
    from property_tests.simulation.world import World
    from reliable_tasks.store.values import AuditRow, Record

__all__ = ["violations"]

_ENDINGS = {"succeeded", "failed", "revoked", "expired", "ignored", "rejected", "purged"}


def violations(world: World) -> list[str]:
    """What is not as promised, in words; empty if all is well."""
    records = dict(
        zip(world.acknowledged, world.real.read(list(world.acknowledged), full=True), strict=True)
    )
    rows = world.real.audit(AuditQuery(limit=100_000))
    return [
        *_all_final(world, records),
        *_one_ending(rows),
        *_fences_grow(rows),
        *_bodies(world, records),
        *_results(world, records),
        *_nothing_held(world),
        *_limits(rows),
    ]


def _all_final(world: World, records: dict[str, Record | None]) -> list[str]:
    found = []
    for message_id, record in records.items():
        if record is None:
            found.append(f"{message_id} was acknowledged and is lost")
        elif record.state not in FINAL_STATES:
            found.append(f"{message_id} is {record.state} and nothing moves it")
    del world
    return found


def _one_ending(rows: tuple[AuditRow, ...]) -> list[str]:
    """One final state for a message, never changed (a requeued rejection is no ending)."""
    endings: Counter[str] = Counter()
    for row in rows:
        requeued = row.event == "rejected" and json.loads(row.detail or b"{}").get("requeue")
        if row.event in _ENDINGS and not requeued:
            endings[row.id] += 1
    return [f"{message_id} ended {n} times" for message_id, n in endings.items() if n > 1]


def _fences_grow(rows: tuple[AuditRow, ...]) -> list[str]:
    fences = [row.fence for row in rows if row.event == "started"]
    return [] if fences == sorted(set(fences)) else [f"fences do not strictly grow: {fences}"]


def _bodies(world: World, records: dict[str, Record | None]) -> list[str]:
    """What succeeded has run; a body that ran was known; later attempts have later fences."""
    found = []
    for message_id, record in records.items():
        runs = world.effects.get(message_id, [])
        if record and record.state == State.SUCCEEDED and not record.mirrors and not runs:
            found.append(f"{message_id} succeeded and never ran")
        by_fence = sorted(runs, key=lambda run: run[1])
        if [attempt for attempt, _ in by_fence] != sorted(a for a, _ in by_fence):
            found.append(f"{message_id}: a later claim ran an earlier attempt: {runs}")
    return found


def _results(world: World, records: dict[str, Record | None]) -> list[str]:
    """A chord's body has the sum of its header, if and only if all of that succeeded."""
    found = []
    for message_id, message in world.acknowledged.items():
        record = records[message_id]
        if message.task != "total" or record is None:
            continue
        parents = [
            records.get(m.id)
            for m in world.acknowledged.values()
            if any(edge.child == message_id for edge in m.edges)
        ]
        all_well = all(p is not None and p.state == State.SUCCEEDED for p in parents)
        if record.state == State.SUCCEEDED and (record.result != b"21" or not all_well):
            found.append(
                f"{message_id} has {record.result!r} from {[p and p.state for p in parents]}"
            )
        if all_well and record.state == State.FAILED and record.reason != "delivery limit":
            found.append(f"{message_id} failed although its header succeeded")
    return found


def _nothing_held(world: World) -> list[str]:
    live = {s.id for s in world.real.sessions() if s.claims}
    return [f"lock {lock.name} is held by {lock.owner}" for lock in world.real.locks()] + [
        f"session {session} still holds claims" for session in sorted(live)
    ]


def _limits(rows: tuple[AuditRow, ...]) -> list[str]:
    """Deliveries stay within the limit and the tries of a burial."""
    worst = max((row.delivery for row in rows if row.event == "started"), default=0)
    return [f"a message was delivered {worst} times"] if worst > 3 + 2 else []
