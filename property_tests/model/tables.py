"""The tables of the reference model: records, locks, stages, and the audit trail."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reliable_tasks.core.message import FINAL_STATES, Edge, Message, OnceLock, State
from reliable_tasks.store import values as v

if TYPE_CHECKING:
    from collections.abc import Callable

Ev = v.AuditEvent


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
        self._write(event, r.m.id, r.m.task, r.attempt, r.delivery, r.fence, r.worker or "", detail)

    def _audit_id(
        self, event: v.AuditEvent, message_id: str, task: str, fence: int = 0, worker: str = ""
    ) -> None:
        self._write(event, message_id, task, 0, 0, fence, worker, b"")

    def _write(
        self,
        event: v.AuditEvent,
        message_id: str,
        task: str,
        attempt: int,
        delivery: int,
        fence: int,
        worker: str,
        detail: bytes,
    ) -> None:
        if event not in v.AUDIT_DEFAULT and self.options.audit != "all":
            return
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
