"""An account of a small soak in which all went well, written by hand, for checks to be tried on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from reliable_tasks.beat.encoding import Spec, encode, slot_id
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.message import State
from reliable_tasks.store.values import AuditEvent, AuditRow, Counts, Entry, Record
from tests.soak.account import Account, Effect, Note, Write

__all__ = ["BEGAN_MS", "SLOTS", "well"]

Ev = AuditEvent
BEGAN_MS = 1_700_000_000_000
ENTRY = "every second"
SLOTS = tuple(slot_id("reliable_tasks", ENTRY, BEGAN_MS + 1000 * n) for n in range(3))
KEY = "key"


class AccountBuilder:
    """Writes rows, records, effects and notes as stores, bodies and producers do."""

    def __init__(self) -> None:
        self.now_ms, self.seq, self.fence = BEGAN_MS, 0, 0
        self.rows: list[AuditRow] = []
        self.records: dict[str, Record] = {}
        self.effects: list[Effect] = []
        self.notes: list[Note] = []
        self.writes: list[Write] = []

    def row(self, event: str, message_id: str, fence: int = 0, **detail: Any) -> None:
        self.seq += 1
        self.now_ms += 200
        record = self.records[message_id]
        self.rows.append(
            AuditRow(
                seq=str(self.seq),
                at_ms=self.now_ms,
                event=event,
                id=message_id,
                task=record.task,
                attempt=record.attempt,
                delivery=record.delivery,
                fence=fence,
                detail=msgspec.json.encode(detail),
            )
        )

    def note(self, event: str, message_id: str, **fields: Any) -> None:
        self.notes.append(Note(event, message_id, self.now_ms, **fields))

    def change(self, message_id: str, **changes: Any) -> None:
        self.records[message_id] = msgspec.structs.replace(self.records[message_id], **changes)

    def stored(self, message_id: str, task: str, key: str | None = None) -> None:
        self.records[message_id] = Record(
            id=message_id,
            task=task,
            queue="celery",
            priority=0,
            state=State.QUEUED,
            enqueued_ms=self.now_ms,
            once_key=key,
        )
        self.row(Ev.ENQUEUED, message_id)

    def sent(self, message_id: str, task: str, key: str | None = None, **asked: Any) -> None:
        self.note("sending", message_id, task=task, **asked)
        self.stored(message_id, task, key)
        self.note("sent", message_id, task=task)

    def began(self, message_id: str, given: tuple[int, ...] = ()) -> int:
        """A claim, and the beginning of its body; returns the fence."""
        self.fence += 1
        before = self.records[message_id]
        self.change(message_id, fence=self.fence, delivery=before.delivery + 1)
        self.row(Ev.STARTED, message_id, self.fence)
        self.effect("begin", message_id, given=given)
        return self.fence

    def effect(self, kind: str, message_id: str, fence: int = 0, **more: Any) -> None:
        r = self.records[message_id]
        self.effects.append(
            Effect(kind, r.id, r.attempt, fence or r.fence, 1, self.now_ms, r.task, **more)
        )

    def succeeded(self, message_id: str, number: int = 0) -> None:
        """The end of the body, and the commit of its result."""
        said = (self.fence, number)
        self.effect("end", message_id, said=said)
        self.row(Ev.SUCCEEDED, message_id, self.fence)
        self.ended(message_id, State.SUCCEEDED, result=msgspec.json.encode(said))

    def ended(self, message_id: str, state: State, **more: Any) -> None:
        self.change(message_id, state=state, ended_ms=self.now_ms, **more)

    def ran(self, message_id: str, task: str, number: int = 0, key: str | None = None) -> None:
        self.sent(message_id, task, key, number=number)
        self.began(message_id)
        self.succeeded(message_id, number)

    def account(self) -> Account:
        records = tuple(self.records.values())
        spec = Spec(schedule={"type": "interval"}, catch_up="all")
        last_ms = BEGAN_MS + 1000 * (len(SLOTS) - 1)
        return Account(
            rows=tuple(self.rows),
            records=records,
            counts=Counts(states=dict(Counter(str(r.state) for r in records))),
            entries=(Entry(name=ENTRY, spec=encode(spec), last_ms=last_ms, runs=len(SLOTS)),),
            effects=tuple(self.effects),
            notes=tuple(self.notes),
            writes=tuple(self.writes),
        )


def well() -> Account:
    """One message of each sort; their ids say which."""
    builder = AccountBuilder()
    builder.ran("plain", "plain", 7)
    _tried_again(builder)
    _ended_otherwise(builder)
    _with_effects(builder)
    for message_id in ("once", "once more"):
        builder.ran(message_id, "until_executed", key=KEY)
        builder.ran(f"{message_id} while", "while_executing", key=f"{KEY}:run")
    builder.note("duplicate", "refused", text="once")
    for message_id in SLOTS:
        builder.stored(message_id, "tick")
        builder.row(Ev.FIRED, message_id)
        builder.began(message_id)
        builder.succeeded(message_id)
    return builder.account()


def _tried_again(builder: AccountBuilder) -> None:
    builder.sent("flaky", "flaky", number=3, failures=1)
    fence = builder.began("flaky")
    builder.row(Ev.RETRY, "flaky", fence, delay=0.1)
    builder.change("flaky", attempt=2, delivery=0)
    builder.began("flaky")
    builder.succeeded("flaky", 3)
    # One whose first worker was stopped beyond its lease, and came to its end all the same.
    builder.sent("zombie", "plain", number=5)
    first = builder.began("zombie")
    builder.row(Ev.REAPED, "zombie", first)
    second = builder.began("zombie")
    builder.effect("end", "zombie", first, said=(first, 5))
    builder.row(Ev.STALE, "zombie", first)
    assert second == builder.fence
    builder.succeeded("zombie", 5)


def _ended_otherwise(builder: AccountBuilder) -> None:
    builder.sent("failing", "failing")
    fence = builder.began("failing")
    builder.row(Ev.FAILED, "failing", fence, exception="ValueError")
    failure = encode_failure(ValueError(1))
    builder.ended("failing", State.FAILED, reason="failed", failure=failure)
    builder.sent("revoked", "plain", number=1)
    builder.note("revoking", "revoked")
    builder.row(Ev.REVOKED, "revoked")
    builder.ended("revoked", State.REVOKED, reason="revoked")
    builder.note("revoked", "revoked", text="revoked")
    builder.sent("mortal", "plain", number=1, expires=True)
    builder.row(Ev.EXPIRED, "mortal")
    builder.ended("mortal", State.REVOKED, reason="expired")
    builder.sent("later", "plain", number=2, delay_ms=100)
    builder.began("later")
    builder.succeeded("later", 2)


def _with_effects(builder: AccountBuilder) -> None:
    builder.sent("stepping", "stepping", number=4)
    fence = builder.began("stepping")
    builder.effect("charge", "stepping")
    builder.row(Ev.STEP, "stepping", fence, step="charge")
    builder.succeeded("stepping", 4)
    for message_id in ("guarded", "guarded too"):
        builder.sent(message_id, "guarded", number=6)
        builder.writes.append(Write("account", message_id, builder.began(message_id)))
        builder.succeeded(message_id, 6)
    builder.ran("spawning", "spawning", 8)
    builder.stored("spawning-child", "plain")
    builder.began("spawning-child")
    builder.succeeded("spawning-child", 8)
    builder.sent("greet", "greet")
    builder.began("greet")
    builder.effect("version 2", "greet")
    builder.succeeded("greet", 2)
    builder.ran("parent", "plain", 9)
    builder.change("parent", edges=(("child", "success", 0),))
    handed_on = builder.fence
    builder.sent("child", "add", number=10)
    builder.began("child", given=(handed_on,))
    builder.succeeded("child", 10)
