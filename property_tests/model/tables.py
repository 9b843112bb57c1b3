"""The tables of the reference model: records, locks, stages, and the audit trail."""

from __future__ import annotations

import functools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import msgspec

from reliable_tasks.core.message import FINAL_STATES, Edge, Message, OnceLock, State
from reliable_tasks.store import values as v

if TYPE_CHECKING:
    from collections.abc import Callable

Ev = v.AuditEvent
P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound="Tables")


@dataclass
class Row:
    """A record and what only the store itself needs to know of it."""

    m: Message
    once: OnceLock | None
    edges: list[Edge]
    waits: int
    enqueued: int
    state: State = State.WAITING
    reason: str = ""
    version: int = 0
    attempt: int = 1
    delivery: int = 0
    bounces: int = 0
    fence: int = 0
    committed_fence: int = 0
    seq: int = 0
    session: str | None = None
    worker: str | None = None
    due: int | None = None
    expires: int | None = None
    first_started: int | None = None
    started: int | None = None
    ended: int | None = None
    delete_at: int | None = None
    result: bytes | None = None
    failure: bytes | None = None
    progress: tuple[str, bytes] | None = None
    payload: bytes | None = b""
    broken: set[str] = field(default_factory=set)
    mirrors: str | None = None
    parked: str | None = None
    admitted: bool = False
    stage: str | None = None
    inputs: dict[tuple[int, str], v.Input] = field(default_factory=dict)
    graft: str | None = None  # the replaced message in whose place it stands, with others
    lent: str | None = None  # who of those in its place uses its once-key
    doom: bytes | None = None
    revoked: str | None = None  # the signal, "" for none, when a running one was revoked
    steps: dict[str, tuple[int, bytes | None]] = field(default_factory=dict)


@dataclass
class Lock:
    """A once-lock that is held."""

    owner: str
    fence: int
    since: int
    until: int


@dataclass
class Stage:
    """Messages of a workflow that do nothing until it is sealed."""

    deadline: int
    ids: list[str] = field(default_factory=list)
    sealed: bool = False


def is_dead(r: Row) -> bool:
    """A dead letter: it failed by itself, and can be replayed."""
    return r.state == State.FAILED and r.reason not in {"parent", "mirror"}


def adds_rows(verb: Callable[Concatenate[M, P], T]) -> Callable[Concatenate[M, P], T]:
    """A verb that may add to the audit trail, which is trimmed in the same step."""

    @functools.wraps(verb)
    def whole(model: M, /, *args: P.args, **kw: P.kwargs) -> T:
        done = verb(model, *args, **kw)
        model._trim_if_it_is_much()
        return done

    return whole


class Tables:
    """What the model remembers."""

    def __init__(self, clock: Callable[[], int], options: v.StoreOptions | None = None) -> None:
        self.clock = clock
        self.options = options or v.StoreOptions()
        self.recs: dict[str, Row] = {}
        self.lock_table: dict[str, Lock] = {}
        self.parked: dict[str, list[str]] = {}
        self.session_table: dict[str, v.SessionInfo] = {}
        self.turns: dict[str, int] = {}  # what -> when somebody took it last
        self.stages: dict[str, Stage] = {}
        self.trail: list[v.AuditRow] = []
        self.cut: dict[str, int] = {}  # how many rows of messages were dropped that have later ones
        self.cut_until = self.trail_bytes = 0
        self.entry_table: dict[str, v.Entry] = {}
        self.groups: dict[str, bytes] = {}
        self.fence = self.seq = self.rows = 0
        self._endings: deque[tuple[Row, Edge, bytes, bool]] = deque()

    def _set(self, r: Row, state: State) -> None:
        r.state = state
        self._changed(r)

    def _changed(self, r: Row) -> None:
        r.version += 1

    def _left(self, r: Row | None) -> int:
        due = r.due if r and r.state == State.SCHEDULED else None
        return due - self.clock() if due is not None else 0

    def _live(self) -> list[Row]:
        return [r for r in self.recs.values() if r.state not in FINAL_STATES]

    def _as_claim(self, r: Row) -> v.Claim:
        size = sum(len(i.value) for i in r.inputs.values())
        fits = size <= self.options.max_input_bytes
        return v.Claim(
            id=r.m.id,
            task=r.m.task,
            queue=r.m.queue,
            priority=r.m.priority,
            payload=r.payload or b"",
            headers=r.m.headers,
            fence=r.fence,
            attempt=r.attempt,
            delivery=r.delivery,
            bounces=r.bounces,
            max_deliveries=r.m.max_deliveries,
            enqueued_ms=r.enqueued,
            first_started_ms=r.first_started or 0,
            started_ms=r.started or 0,
            eta_ms=r.m.eta_ms,
            expires_ms=r.expires,
            once_key=r.once.key if r.once else None,
            root_id=r.m.root_id,
            parent_id=r.m.parent_id,
            inputs=tuple(r.inputs[k] for k in sorted(r.inputs)) if fits else (),
            oversize=0 if fits else size,
            limit_failure=r.doom,
        )

    def _audit(self, event: v.AuditEvent, r: Row, detail: bytes = b"") -> None:
        who = (r.m.id, r.m.task, r.attempt, r.delivery, r.fence, r.worker or "")
        self._write(event, *who, detail)

    def _audit_id(
        self, event: v.AuditEvent, message_id: str, task: str, fence: int = 0, worker: str = ""
    ) -> None:
        self._write(event, message_id, task, 0, 0, fence, worker)

    def _write(self, event: v.AuditEvent, message_id: str, *told: Any) -> None:
        if event not in v.AUDIT_DEFAULT and self.options.audit != "all":
            return
        if event not in v.AUDIT_COUNTED or not self._count_again(event, message_id):
            self._add_row(event, message_id, *told)

    def _add_row(
        self,
        event: v.AuditEvent,
        message_id: str,
        task: str,
        attempt: int = 0,
        delivery: int = 0,
        fence: int = 0,
        worker: str = "",
        detail: bytes = b"",
    ) -> None:
        self.rows += 1
        self.trail.append(
            v.AuditRow(
                seq=str(self.rows),
                at_ms=self.clock(),
                event=event,
                id=message_id,
                task=task,
                attempt=attempt,
                delivery=delivery,
                fence=fence,
                worker=worker,
                detail=detail,
            )
        )
        self.trail_bytes += _size_of(self.trail[-1])

    def _count_again(self, event: v.AuditEvent, message_id: str) -> bool:
        """Count what has happened again in the newest row of a message, if that tells of it."""
        own = (at for at in reversed(range(len(self.trail))) if self.trail[at].id == message_id)
        at = next(own, None)
        newest = None if at is None else self.trail[at]
        began = self.clock() - v.AUDIT_COUNTED_MS
        if at is None or newest is None or newest.event != event or newest.at_ms <= began:
            return False
        count = newest.count + 1
        self.trail[at] = msgspec.structs.replace(newest, count=count, last_ms=self.clock())
        return True

    def _trim_if_it_is_much(self) -> None:
        """What a verb does that adds rows."""
        if self._exceeds(spare=64):
            self._trim(too_old=-1)

    def _trim(self, too_old: int) -> None:
        """Drop the oldest rows that are beyond the bounds."""
        while self.trail and (self.trail[0].at_ms <= too_old or self._exceeds()):
            gone = self.trail.pop(0)
            self.trail_bytes -= _size_of(gone)
            self.cut_until = gone.at_ms
            self.cut[gone.id] = self.cut.get(gone.id, 0) + 1
            if all(row.id != gone.id for row in self.trail):
                del self.cut[gone.id]

    def _exceeds(self, spare: int = 0) -> bool:
        """Whether the trail is beyond a bound, by more than its `spare`th part."""
        return any(
            bound and there > bound + (bound // spare if spare else 0)
            for there, bound in (
                (len(self.trail), self.options.max_audit_rows),
                (self.trail_bytes, self.options.max_audit_bytes),
            )
        )


def _size_of(row: v.AuditRow) -> int:
    return v.size_of(row.id, row.task, row.worker, row.detail)
