"""What user code may cost: its own message a bounded number of starts, and others nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from property_tests.simulation.hostile import FATAL, HOSTILE_RETRIES, RAISING
from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.message import State
from reliable_tasks.store.values import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from property_tests.simulation.world import World
    from reliable_tasks.store.values import AuditRow, Record

__all__ = ["HOSTILE", "NOT_ITS_FAULT", "cost"]

Ev = AuditEvent
HOSTILE = {"hostile", "hostile_limited"}
NOT_ITS_FAULT = {"parent", "mirror", "delivery limit", "time limit"}
"""Reasons of failures that are not of the body."""
_RETRIES = {"hostile": HOSTILE_RETRIES, "hostile_limited": HOSTILE_RETRIES, "flaky": 5}
_UNHEARD = {"on_success", "after_return", "prerun receiver", "success receiver", "postrun receiver"}
_SERVED_MS = 25_000  # the longest stall, a lease, and until those who hear nothing are noticed


def cost(world: World, records: dict[str, Record], rows: tuple[AuditRow, ...]) -> Iterator[str]:
    """What is not as promised."""
    yield from _counted(world, records, rows)
    yield from _endings(world, records)
    yield from _served(world, rows)
    for message_id in world.producers.damaged:
        if world.effects.get(message_id):
            yield f"{message_id} ran, although nobody can decode it"


def _counted(world: World, records: dict[str, Record], rows: tuple[AuditRow, ...]) -> Iterator[str]:
    """Every start of a body is counted, and the starts of an attempt are bounded."""
    ran = {(i, run.fence) for i, runs in world.effects.items() for run in runs}
    stops: Counter[str] = Counter()
    started = set()
    for row in rows:
        if row.event == Ev.STARTED:
            started.add((row.id, row.fence))
        elif row.event == Ev.RELEASED and row.fields.get("reason") == "stopped":
            stops[row.id] += 1
        elif row.event in {Ev.RELEASED, Ev.UNKNOWN} and (row.id, row.fence) in ran:
            yield f"{row.id} ran by fence {row.fence} and was given back uncounted"
    for message_id, fence in sorted(ran - started):
        yield f"{message_id} ran by fence {fence}, which nobody has counted"
    for record in records.values():
        attempts = Counter(run.attempt for run in world.effects.get(record.id, []))
        most = record.max_deliveries * (1 + world.replays[record.id]) + stops[record.id]
        for attempt, times in attempts.items():
            if times > most:
                yield f"{record.id} was started {times} times in attempt {attempt}, of {most}"
        if max(attempts, default=0) > _RETRIES.get(record.task, 1_000) + 1:
            yield f"{record.id} ({record.task}) had {max(attempts)} attempts"


def _endings(world: World, records: dict[str, Record]) -> Iterator[str]:
    """A hook or a receiver changes nothing of what its body came to."""
    for record in records.values():
        if record.task not in HOSTILE or record.once_key:
            continue  # who holds a key may have been given the call of another
        payload = world.producers.sent[record.id].payload
        (place, deed), _ = loads_call(payload, "json", ("json",))
        if record.state == State.SUCCEEDED and (place in RAISING or (place, deed) in _FAILS):
            yield f"{record.id} succeeded: {deed} ({place})"
        troubled = record.id in world.failed_effects or record.reason in NOT_ITS_FAULT
        if record.state == State.FAILED and place in _UNHEARD and not troubled:
            yield f"{record.id} failed of what cannot fail it: {deed} ({place})"


_FAILS = {(place, deed) for place in ("body", "before_start") for deed in FATAL}


def _served(world: World, rows: tuple[AuditRow, ...]) -> Iterator[str]:
    """Innocent messages that come into calm run before long, whatever ran before them."""
    enqueued = {row.id: row.at_ms for row in rows if row.event == Ev.ENQUEUED}
    ended = {row.id: row.at_ms for row in rows if row.event == Ev.SUCCEEDED}
    for message_id in world.innocents:
        if message_id not in ended:
            yield f"{message_id} is innocent and did not succeed"
        elif ended[message_id] - enqueued[message_id] > _SERVED_MS:
            took_ms = ended[message_id] - enqueued[message_id]
            yield f"{message_id} is innocent and waited for {took_ms} ms"
