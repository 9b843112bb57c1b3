"""The invariants: some at every step, the rest on a world at rest."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from reliable_tasks.message import FINAL_STATES, State
from reliable_tasks.store.values import AuditQuery

if TYPE_CHECKING:
    from property_tests.model import Model
    from property_tests.simulation.world import World
    from reliable_tasks.store.values import AuditRow, Record

__all__ = ["violations", "watch_model"]

Records = dict[str, "Record | None"]
Rows = tuple["AuditRow", ...]

_ENDINGS = {"succeeded", "failed", "revoked", "expired", "ignored", "rejected", "purged"}
_BURIALS = 2


def watch_model(world: World) -> list[str]:
    """What must hold at every instant, read from the model's own tables."""
    model: Model = world.real
    found = []
    for name, lock in model.lock_table.items():
        owner = model.recs.get(lock.owner)
        if owner is None or owner.state in FINAL_STATES:
            found.append(f"lock {name} is held by {lock.owner}, which has ended")
        elif name.endswith(":run") and owner.state != State.RUNNING:
            found.append(f"lock {name} is held by {lock.owner}, which does not run")
    for r in model.recs.values():
        if (r.session is not None) != (r.state == State.RUNNING):
            found.append(f"{r.m.id} is {r.state} and belongs to session {r.session}")
        if (
            r.once
            and r.once.scope == "until_executed"
            and r.admitted
            and r.state not in FINAL_STATES
        ):
            lock_now = model.lock_table.get(r.once.key)
            if lock_now is None or lock_now.owner != r.m.id:
                found.append(f"{r.m.id} lives, and does not hold its once-key {r.once.key}")
    return found


def violations(world: World) -> list[str]:
    """What is not as promised, in words; empty if all is well."""
    ids = list(world.acknowledged)
    records = dict(zip(ids, world.real.read(ids, full=True), strict=True))
    rows = world.real.audit(AuditQuery(limit=100_000))
    return [
        *world.violations,
        *world.store.stale_commits,
        *_all_final(records),
        *_one_ending(rows),
        *_fences(rows),
        *_times(world, rows),
        *_bodies(world, records),
        *_steps(world),
        *_slots(world, rows),
        *_workflows(world, records),
        *_revoked(world, records),
        *_flagged(world, rows),
        *_at_rest(world),
        *_limits(world, rows),
    ]


def _all_final(records: Records) -> list[str]:
    """Conservation: what was acknowledged is there, and has ended."""
    found = []
    for message_id, record in records.items():
        if record is None:
            found.append(f"{message_id} was acknowledged and is lost")
        elif record.state not in FINAL_STATES:
            found.append(f"{message_id} is {record.state} and nothing moves it")
    return found


def _detail(row: AuditRow) -> dict[str, Any]:
    detail: dict[str, Any] = json.loads(row.detail or b"{}")
    return detail


def _is_ending(row: AuditRow) -> bool:
    return row.event in _ENDINGS and not (row.event == "rejected" and _detail(row).get("requeue"))


def _one_ending(rows: Rows) -> list[str]:
    """One final state for each message, never changed."""
    endings = Counter(row.id for row in rows if _is_ending(row))
    return [f"{message_id} ended {n} times" for message_id, n in endings.items() if n > 1]


def _fences(rows: Rows) -> list[str]:
    """Fences strictly grow, and what is committed is the latest claim's."""
    fences = [row.fence for row in rows if row.event == "started"]
    found = [] if fences == sorted(set(fences)) else [f"fences do not strictly grow: {fences}"]
    latest: dict[str, int] = defaultdict(int)
    running: set[str] = set()
    for row in rows:
        if row.event == "started":
            latest[row.id] = row.fence
            running.add(row.id)
        elif row.event in {"succeeded", "failed", "retry"} and row.fence:
            if row.fence != latest[row.id]:
                found.append(f"{row.id}: {row.event} by fence {row.fence}, not {latest[row.id]}")
            if row.event != "failed" and row.id not in running and not _mirrored(row):
                found.append(f"{row.id}: {row.event} although nobody held it")
        if row.event in {"released", "reaped", "retry", "doomed"}:
            running.discard(row.id)
    return found


def _mirrored(row: AuditRow) -> bool:
    return row.attempt == 1 and row.delivery == 0


def _times(world: World, rows: Rows) -> list[str]:
    """Nothing starts before it is due or after it has expired, or from nowhere."""
    found = []
    enqueued = {row.id: row.at_ms for row in rows if row.event == "enqueued"}
    for row in rows:
        if row.event != "started":
            continue
        message = world.sent.get(row.id)
        if message is None and row.task == "tick":
            continue
        if message is None:
            found.append(f"{row.id} was started and never enqueued")
            continue
        since = row.at_ms - enqueued[row.id]
        if since < message.delay_ms:
            found.append(f"{row.id} started {message.delay_ms - since} ms too early")
        if message.expires_in_ms is not None and since >= message.expires_in_ms:
            found.append(f"{row.id} started after it had expired")
    retried: dict[str, int] = {}
    for row in rows:
        if row.event == "retry":
            retried[row.id] = row.at_ms + round(_detail(row)["delay"] * 1000)
        elif row.event == "started" and row.at_ms < retried.get(row.id, 0):
            found.append(f"{row.id} was retried before its delay had passed")
    return found


def _bodies(world: World, records: Records) -> list[str]:
    """What succeeded has run; later attempts have later fences."""
    found = []
    for message_id, record in records.items():
        runs = world.effects.get(message_id, [])
        if record and record.state == State.SUCCEEDED and not record.mirrors and not runs:
            found.append(f"{message_id} succeeded and never ran")
        if len({run.fence for run in runs}) < len(runs):
            found.append(f"{message_id}: one claim ran twice: {runs}")
        attempts = [run.attempt for run in sorted(runs, key=lambda run: run.fence)]
        if attempts != sorted(attempts):
            found.append(f"{message_id}: a later claim ran an earlier attempt: {runs}")
    return found


def _steps(world: World) -> list[str]:
    """A recorded step is done once, whatever happens to its attempts."""
    return [
        f"{message_id} was charged {times} times"
        for message_id, times in world.charges.items()
        if times > 1
    ]


def _slots(world: World, rows: Rows) -> list[str]:
    """Each slot of a schedule is fired once, and none is left out."""
    fired = [row.id for row in rows if row.event == "fired"]
    found = [f"slot {i} was fired {n} times" for i, n in Counter(fired).items() if n > 1]
    (entry,) = world.real.entries()
    if entry.runs != len(fired) or entry.missed:
        found.append(f"{len(fired)} slots were fired, the entry says {entry.runs}")
    ended = world.real.read(fired)
    if any(r is None or r.state not in FINAL_STATES for r in ended):
        found.append("a slot's message was lost")
    return found


def _workflows(world: World, records: Records) -> list[str]:
    """A child succeeds only if its parents did; a chord's body has the sum of its header."""
    found = []
    for message_id, message in world.acknowledged.items():
        record = records[message_id]
        if not message.waits or record is None:
            continue
        parents = [
            records.get(m.id)
            for m in world.acknowledged.values()
            if any(edge.child == message_id for edge in m.edges)
        ]
        well = all(p is not None and p.state == State.SUCCEEDED for p in parents)
        if record.state == State.SUCCEEDED and not well:
            found.append(f"{message_id} succeeded from {[p and p.state for p in parents]}")
        if record.state == State.SUCCEEDED and message.task == "total" and record.result != b"21":
            found.append(f"{message_id} is {record.result!r}, not 21")
        if well and record.state == State.FAILED and record.reason != "delivery limit":
            found.append(f"{message_id} failed although its parents succeeded")
        if not well and world.effects.get(message_id):
            found.append(f"{message_id} ran although not all of its parents succeeded")
    return found


def _revoked(world: World, records: Records) -> list[str]:
    """A revocation wins or loses, never both."""
    found = []
    for message_id, at_ms in world.revoked.items():
        record = records.get(message_id)
        if record is not None and record.state != State.REVOKED:
            found.append(f"{message_id} was revoked and is {record.state}")
        late = [run for run in world.effects.get(message_id, []) if run.at_ms > at_ms]
        # A claim that was taken away before the revocation may still be running somewhere.
        started = [run for run in late if record and run.fence >= record.fence and record.session]
        if started:
            found.append(f"{message_id} ran after it was revoked")
    return found


def _flagged(world: World, rows: Rows) -> list[str]:
    """What was revoked while it ran may end well, but does not start again."""
    return [
        f"{row.id} was started again after it was revoked"
        for row in rows
        if row.event == "started" and row.at_ms > world.flagged.get(row.id, row.at_ms)
    ]


def _at_rest(world: World) -> list[str]:
    """Nothing is held, and the counters say what the records say."""
    found = [f"lock {lock.name} is held by {lock.owner}" for lock in world.real.locks()]
    found += [f"session {s.id} still holds claims" for s in world.real.sessions() if s.claims]
    counts = world.real.counts()
    live = [
        s for s in counts.states if s not in {str(f) for f in FINAL_STATES} and counts.states[s]
    ]
    if live:
        found.append(f"the counters say that something lives: {counts.states}")
    return found


def _limits(world: World, rows: Rows) -> list[str]:
    """Deliveries stay within the limit and the tries of a burial."""
    default = world.app.settings.max_deliveries
    found = []
    for row in rows:
        message = world.sent.get(row.id)
        allowed = (message.max_deliveries if message else default) + _BURIALS
        if row.event == "started" and row.delivery > allowed:
            found.append(f"{row.id} was delivered {row.delivery} times")
    return found
