"""The invariants: some at every instant, the rest on a world at rest.

What a store's own account can tell, `reliable_tasks.audit.verify` checks: the very checker that is
run on the trail of a real installation. Here stands what it takes a witness for: what producers
were told, what bodies did to the world outside, what users asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from property_tests.simulation.account import all_records
from property_tests.simulation.bounds import HOSTILE, NOT_ITS_FAULT, cost
from property_tests.simulation.schedule import SLACK_MS
from property_tests.simulation.tasks import HARD_LIMIT_S, SOFT_LIMIT_S
from reliable_tasks.audit.verify import verify
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.store.values import AuditEvent

if TYPE_CHECKING:
    from property_tests.model.model import Model
    from property_tests.simulation.world import World
    from reliable_tasks.store.values import AuditRow, Record

__all__ = ["violations", "watch", "watch_model"]

Ev = AuditEvent
Records = dict[str, "Record"]
Rows = tuple["AuditRow", ...]

_FAILING = {"failing", "rejecting", "requeuing", "poison", "softly", *HOSTILE}
_LIMITS_MS = {
    "limited": round(HARD_LIMIT_S * 1000) + SLACK_MS,
    "softly": round(SOFT_LIMIT_S * 1000) + SLACK_MS,
}


# At every instant ---------------------------------------------------------------------------------


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
        running = r.state == State.RUNNING
        if (r.session is not None) != running:
            found.append(f"{r.m.id} is {r.state} and belongs to session {r.session}")
        if r.once is None or r.state in FINAL_STATES | {State.WAITING}:
            continue
        wanted = [r.once.key] if r.once.scope == "until_executed" else []
        if running and r.once.scope in {"while_executing", "until_and_while_executing"}:
            wanted.append(f"{r.once.key}:run")
        for name in wanted:
            lock_now = model.lock_table.get(name)
            if lock_now is None or lock_now.owner != r.m.id:
                found.append(f"{r.m.id} lives, and does not hold its once-key {name}")
    return found


def watch(world: World) -> list[str]:
    """What must hold at every instant, read through the verbs of a real store."""
    store = world.real
    found = verify(
        (),
        all_records(store),
        store.locks(),
        store.counts(),
        sessions=store.sessions(),
        full=False,
    )
    return [str(violation) for violation in found]


# At rest ------------------------------------------------------------------------------------------


def violations(world: World) -> list[str]:
    """What is not as promised, in words; empty if all is well."""
    rows, records, locks, counts, sessions = world.account
    account = verify(rows, records, locks, counts, sessions=sessions)
    by_id = {record.id: record for record in records}
    return [
        *world.violations,
        *world.store.stale_commits,
        *(f"{broken.id}: {broken.invariant}: {broken.text}" for broken in account),
        *_all_final(world, by_id),
        *_enqueued_once(world, by_id, rows),
        *_times(world, rows),
        *_bodies(world, by_id),
        *cost(world, by_id, rows),
        *_steps(world),
        *_slots(world, by_id, rows),
        *_workflows(world, by_id),
        *_reasons(world, by_id),
        *_limits(world, by_id, rows),
        *_kept(world, rows),
        *_revoked(world, by_id, rows),
        *_doomed(world, rows),
        *_at_rest(world),
    ]


def _all_final(world: World, records: Records) -> list[str]:
    """Conservation: what was acknowledged is there, and has ended."""
    found = []
    for message_id in world.producers.acknowledged:
        record = records.get(message_id)
        if record is None:
            found.append(f"{message_id} was acknowledged and is lost")
        elif record.state not in FINAL_STATES:
            found.append(f"{message_id} is {record.state} and nothing moves it")
    ran = {i for i in world.producers.abandoned if i in records or i in world.effects}
    return found + [f"{i} was left on a stage that was never sealed" for i in sorted(ran)]


def _enqueued_once(world: World, records: Records, rows: Rows) -> list[str]:
    """Nothing comes from nowhere, and successors come once."""
    found = []
    for message_id, times in Counter(r.id for r in rows if r.event == Ev.ENQUEUED).items():
        if times > 1:
            found.append(f"{message_id} was enqueued {times} times")
        record = records.get(message_id)
        if record is None or message_id in world.producers.sent or record.task == "tick":
            continue
        parent = records.get(record.parent_id or record.root_id)
        if parent is None or parent.task not in {"spawning", "replacing"}:
            found.append(f"{message_id} comes from nowhere")
    children = Counter(r.parent_id or r.root_id for r in records.values() if r.task == "plain")
    for record in records.values():
        if (
            record.task == "spawning"
            and record.state == State.SUCCEEDED
            and not children[record.id]
        ):
            found.append(f"{record.id} succeeded, and what it enqueued is lost")
        if children[record.id] > 1:
            found.append(f"{record.id} has {children[record.id]} successors")
    return found


def _times(world: World, rows: Rows) -> list[str]:
    """Nothing starts before it is due or after it has expired; retries wait for their delay."""
    found = []
    enqueued = {row.id: row.at_ms for row in rows if row.event == Ev.ENQUEUED}
    retried: dict[str, int] = {}
    for row in rows:
        message = world.producers.sent.get(row.id)
        if row.event == Ev.RETRY:
            retried[row.id] = row.at_ms + round(float(row.fields["delay"]) * 1000)
        if row.event != Ev.STARTED:
            continue
        if row.at_ms < retried.get(row.id, 0):
            found.append(f"{row.id} was retried before its delay had passed")
        if message is None or row.id not in enqueued:
            continue
        since = row.at_ms - enqueued[row.id]
        if since < message.delay_ms:
            found.append(f"{row.id} started {message.delay_ms - since} ms too early")
        late = message.expires_in_ms is not None and since >= message.expires_in_ms
        if late and not world.replays[row.id]:
            found.append(f"{row.id} started after it had expired")
    return found


def _bodies(world: World, records: Records) -> list[str]:
    """What succeeded has run, once for each claim; later attempts have later fences."""
    found = []
    for record in records.values():
        runs = world.effects.get(record.id, [])
        if record.state == State.SUCCEEDED and not record.mirrors and not runs:
            found.append(f"{record.id} succeeded and never ran")
        if len({run.fence for run in runs}) < len(runs):
            found.append(f"{record.id}: one claim ran twice")
        attempts = [run.attempt for run in sorted(runs, key=lambda run: run.fence)]
        if attempts != sorted(attempts) and not world.replays[record.id]:
            found.append(f"{record.id}: a later claim ran an earlier attempt")
    return found


def _steps(world: World) -> list[str]:
    """A recorded step is done once, whatever happens to its attempts, and by a replay, too."""
    return [
        f"{message_id} was charged {times} times"
        for message_id, times in world.charges.items()
        if times > 1
    ]


def _slots(world: World, records: Records, rows: Rows) -> list[str]:
    """Each slot of a schedule is fired once, and none is left out."""
    fired = [row.id for row in rows if row.event == Ev.FIRED]
    found = [f"slot {i} was fired {n} times" for i, n in Counter(fired).items() if n > 1]
    (entry,) = world.real.entries()
    if entry.runs != len(fired) or entry.missed:
        found.append(f"{len(fired)} slots were fired, the entry says {entry.runs}")
    if any(i not in records for i in fired):
        found.append("a slot's message was lost")
    ticks = sum(record.task == "tick" for record in records.values())
    if ticks != len(fired):
        found.append(f"{len(fired)} slots were fired, and there are {ticks} messages of them")
    return found


def _workflows(world: World, records: Records) -> list[str]:
    """A child succeeds if its parents do, and only then; a chord's body has all of the header."""
    known = world.producers.acknowledged
    parents: dict[str, list[Record]] = defaultdict(list)
    for message in known.values():
        for edge in message.edges:
            if message.id in records:
                parents[edge.child].append(records[message.id])
    found = []
    for message in known.values():
        record = records.get(message.id)
        if message.waits and record is not None and not record.mirrors:
            ended_well = [p.state == State.SUCCEEDED for p in parents[message.id]]
            well = ended_well == [True] * message.waits
            found += _child(record, 7 * message.waits, well=well)
            if not well and world.effects.get(message.id):
                found.append(f"{message.id} ran although not all of its parents succeeded")
    return found


def _child(record: Record, total: int, *, well: bool) -> list[str]:
    found = []
    if record.state == State.SUCCEEDED and not well:
        found.append(f"{record.id} succeeded although not all of its parents did")
    summed = record.task == "total" and record.state == State.SUCCEEDED
    if summed and record.result != str(total).encode():
        found.append(f"{record.id} is {record.result!r}, not {total}")
    if well and record.state == State.FAILED and record.reason in {"parent", "mirror"}:
        found.append(f"{record.id} failed although its parents succeeded")
    return found


def _reasons(world: World, records: Records) -> list[str]:
    """Whoever did not succeed has a reason for it."""
    found = []
    for record in records.values():
        by_itself = record.task in _FAILING or record.id in world.failed_effects
        by_itself |= record.id in world.producers.damaged | world.store.interrupted
        if record.reason == "internal error":
            found.append(f"{record.id} ({record.task}) failed by a fault of ours")
        if record.state == State.FAILED and not by_itself and record.reason not in NOT_ITS_FAULT:
            failure = decode_failure(record.failure or b"")
            found.append(f"{record.id} ({record.task}) failed without a reason: {failure.type}")
    return found


def _limits(world: World, records: Records, rows: Rows) -> list[str]:
    """No body runs in a delivery beyond the limit, or for longer than its own limit."""
    found = []
    for row in rows:
        record = records.get(row.id)
        if row.event != Ev.STARTED or record is None:
            continue
        runs = [run for run in world.effects.get(row.id, []) if run.fence == row.fence]
        if runs and row.delivery > record.max_deliveries:
            found.append(f"{row.id} ran in delivery {row.delivery} of {record.max_deliveries}")
        limit_ms = _LIMITS_MS.get(record.task)
        # Before that a supervisor may have been frozen, or dead.
        calm = [run for run in runs if run.began_ms >= world.calm_ms]
        if limit_ms and any(run.at_ms - run.began_ms > limit_ms for run in calm):
            found.append(f"{row.id} ran for longer than its limit")
    return found


def _kept(world: World, rows: Rows) -> list[str]:
    """While nothing fails, no live process loses a claim, however long the body runs.

    And however long the store answers nobody.
    """
    calm_ms = world.calm_ms + world.lease_ms + SLACK_MS
    return [
        f"{row.id} was taken away from {row.worker}, which lives"
        for row in rows
        if row.event == Ev.REAPED and row.at_ms > calm_ms and row.fence not in world.of_the_dead
    ]


def _revoked(world: World, records: Records, rows: Rows) -> list[str]:
    """A revocation wins or loses, never both."""
    found = []
    for message_id, at_ms in world.revoked.items():
        record = records.get(message_id)
        if record is not None and record.state != State.REVOKED:
            found.append(f"{message_id} was revoked and is {record.state}")
        started = [r for r in rows if r.id == message_id and r.event == Ev.STARTED]
        if any(row.at_ms > at_ms for row in started):
            found.append(f"{message_id} was started after it was revoked")
    # What was revoked while it ran may end well, but does not start again.
    found += [
        f"{row.id} was started again after it was revoked"
        for row in rows
        if row.event == Ev.STARTED and row.at_ms > world.flagged.get(row.id, row.at_ms)
    ]
    return found


def _doomed(world: World, rows: Rows) -> list[str]:
    """A body that was killed at its limit is buried, not run again."""
    doomed: dict[str, int] = {}
    found = []
    for row in rows:
        if row.event == Ev.DOOMED:
            doomed[row.id] = row.fence
        elif row.event == Ev.REPLAYED:
            doomed.pop(row.id, None)
    for message_id, fence in doomed.items():
        if any(run.fence > fence for run in world.effects.get(message_id, [])):
            found.append(f"{message_id} ran again after it was killed at its limit")
    return found


def _at_rest(world: World) -> list[str]:
    """No lock or claim is held any more, and only live processes have sessions."""
    _, _, locks, _, sessions = world.account
    found = [f"lock {lock.name} is held by {lock.owner}" for lock in locks]
    found += [f"session {s.id} still holds claims" for s in sessions if s.claims]
    living = {child.session for w in world.workers if w.alive for child in w.living()}
    # The session of a process that vanished stays until its lease has lapsed.
    gone = [s for s in sessions if s.id not in living and s.lease_until_ms < world.now_ms - 2_000]
    found += [f"session {s.id} has lapsed and is still there" for s in gone]
    # A worker closes the sessions of its own dead children without waiting for the lease.
    lost_ms = {i: at_ms for w in world.workers if w.alive for i, at_ms in w.lost_ms.items()}
    open_still = [s.id for s in sessions if lost_ms.get(s.id, world.now_ms) < world.now_ms - 100]
    return found + [f"session {i} is of a dead process and still there" for i in open_still]
