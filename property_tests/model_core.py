"""The heart of the reference model: how messages move, in plain Python.

One dictionary of records, one of locks, no I/O and no clock of its own. Every store must give the
same answers on every trace. Each public method is one atomic step.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from reliable_tasks import errors
from reliable_tasks import outcome as oc
from reliable_tasks.message import FINAL_STATES, Edge, Message, On, OnceLock, State
from reliable_tasks.store import values as v

PROMOTED_PER_EXCHANGE = 100
BURIAL_TRIES = 2  # claims beyond max_deliveries in which a worker may run the hooks of the dead
HELD_UNTIL = {"until_executed", "until_executing", "until_and_while_executing", "until_expired"}
HELD_WHILE = {"while_executing", "until_and_while_executing"}
FREED_BY_CLAIM = {"until_executing", "until_and_while_executing"}
Ev = v.AuditEvent


@dataclass
class Rec:
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


class Core:
    """A store without a store."""

    def __init__(self, clock: Callable[[], int], options: v.StoreOptions | None = None) -> None:
        self.clock = clock
        self.options = options or v.StoreOptions()
        self.recs: dict[str, Rec] = {}
        self.lock_table: dict[str, Lock] = {}
        self.parked: dict[str, list[str]] = {}
        self.session_table: dict[str, v.SessionInfo] = {}
        self.stages: dict[str, Stage] = {}
        self.trail: list[v.AuditRow] = []
        self.entry_table: dict[str, v.Entry] = {}
        self.groups: dict[str, bytes] = {}
        self.fence = self.seq = self.rows = 0
        self._endings: deque[tuple[Rec, Edge, bytes, bool]] = deque()

    # Enqueue: take the once-lock and store, or say why not ---------------------------------------

    def enqueue(self, batch: v.Batch) -> v.Enqueued:
        if len(batch.messages) > self.options.max_batch:
            raise errors.StoreError("batch too large")
        for m in batch.messages:
            if len(m.payload) + len(m.headers) > self.options.max_message_bytes:
                raise errors.MessageTooLarge(m.id)
        stage = None
        if batch.stage is not None:
            stage = self.stages.setdefault(batch.stage, Stage(0))
            stage.deadline = self.clock() + self.options.stage_ttl_ms
        receipts = tuple(self._store(m, batch.stage) for m in batch.messages)
        held = 0
        if stage is not None and batch.stage is not None and batch.seal:
            stage.sealed = True
            held = self._open_stage(batch.stage, self.options.max_batch)
        return v.Enqueued(receipts=receipts, held=held)

    def _store(self, m: Message, stage: str | None) -> v.Receipt:
        old = self.recs.get(m.id)
        if old is not None:
            if old.m.token == m.token:
                return self._receipt_again(old)
            if old.state not in FINAL_STATES:
                self._audit(Ev.DUPLICATE, old)
                return v.Receipt(
                    id=m.id, kind=v.ReceiptKind.DUPLICATE, holder=m.id, countdown_ms=self._left(old)
                )
            del self.recs[m.id]
        r = Rec(m, m.once, list(m.edges), m.waits, self.clock(), payload=m.payload, stage=stage)
        r.expires = m.expires_ms
        refused = self._refuse(r)
        if refused is not None:
            return refused
        self.recs[m.id] = r
        self._audit(Ev.ENQUEUED, r)
        if stage is not None:
            self.stages[stage].ids.append(m.id)
        if m.once is not None and m.once.scope in HELD_UNTIL and not self._admit(r):
            return self._receipt_again(r)
        if self._startable(r):
            self._ready(r)
        return v.Receipt(id=m.id)

    def _refuse(self, r: Rec) -> v.Receipt | None:
        """The answer to a message that is not stored because its once-key is held."""
        once = r.once
        lock = self._lock_of(once.key) if once and once.scope in HELD_UNTIL else None
        if once is None or lock is None or lock.owner == r.m.id or r.m.joins_duplicate:
            return None
        holder, policy = self.recs.get(lock.owner), once.on_conflict
        if policy == "reschedule":
            return None
        waiting = holder if holder and holder.state not in FINAL_STATES | {State.RUNNING} else None
        if policy == "rerun" and waiting is None:
            behind = [self.recs[i] for i in self.parked.get(once.key, ())]
            if not behind:
                return None
            return self._overwrite(behind[0], r.m, v.ReceiptKind.RERUN)
        if policy in {"replace", "rerun"} and waiting is not None:
            return self._overwrite(waiting, r.m, v.ReceiptKind.REPLACED)
        self._audit_id(Ev.DUPLICATE, lock.owner, holder.m.task if holder else r.m.task)
        left = lock.until - self.clock() if lock.until else self._left(holder)
        return v.Receipt(
            id=r.m.id, kind=v.ReceiptKind.DUPLICATE, holder=lock.owner, countdown_ms=left
        )

    def _overwrite(self, r: Rec, m: Message, kind: v.ReceiptKind) -> v.Receipt:
        r.payload = m.payload
        r.m = msgspec.structs.replace(r.m, headers=m.headers)
        self._changed(r)
        self._audit(Ev.REPLACED if kind == v.ReceiptKind.REPLACED else Ev.RERUN, r)
        return v.Receipt(id=m.id, kind=kind, holder=r.m.id)

    def _receipt_again(self, r: Rec) -> v.Receipt:
        if r.mirrors:
            return v.Receipt(id=r.m.id, kind=v.ReceiptKind.JOINED, holder=r.mirrors)
        if r.parked and r.once and r.once.on_conflict == "rerun":
            return v.Receipt(id=r.m.id, kind=v.ReceiptKind.RERUN)
        return v.Receipt(id=r.m.id)

    def _admit(self, r: Rec) -> bool:
        """Take the once-lock for a stored message; else park it, or make it a mirror."""
        once = r.once
        if once is None or once.scope not in HELD_UNTIL or self._take(once.key, r, once.timeout_ms):
            r.admitted = True
            return True
        holder = self.lock_table[once.key].owner
        self._set(r, State.WAITING)
        if not r.m.joins_duplicate and once.on_conflict in {"reschedule", "rerun"}:
            self._park(r, once.key)
            return False
        self._mirror(r, holder)
        return False

    def _mirror(self, r: Rec, parent_id: str) -> None:
        r.mirrors = parent_id
        self._audit(Ev.JOINED, r)
        parent = self.recs.get(parent_id)
        if parent is None:
            self._end(r, State.REVOKED, "duplicate")
        elif parent.state in FINAL_STATES:
            self._follow(
                parent, Edge(r.m.id, On.MIRROR), parent.result or b"", parent.result is not None
            )
            self._drain()
        else:
            parent.edges.append(Edge(r.m.id, On.MIRROR))

    def _startable(self, r: Rec) -> bool:
        sealed = r.stage is None or self.stages[r.stage].sealed
        return r.state == State.WAITING and not (r.waits or r.parked or r.mirrors) and sealed

    def _ready(self, r: Rec) -> None:
        """Everything it waited for has happened: queue it, or schedule it for its time."""
        now = self.clock()
        if not r.admitted and not self._admit(r):
            return
        if r.m.expires_in_ms is not None:
            r.expires = now + r.m.expires_in_ms
        r.due = (
            r.m.eta_ms if r.m.eta_ms is not None else now + r.m.delay_ms if r.m.delay_ms else None
        )
        self._queue_at(r, r.due)

    def _queue_at(self, r: Rec, due: int | None, *, keep_place: bool = False) -> None:
        r.due = due
        if due is not None and due > self.clock():
            self._set(r, State.SCHEDULED)
            return
        if not keep_place or not r.seq:
            self.seq += 1
            r.seq = self.seq
        self._set(r, State.QUEUED)

    def _open_stage(self, name: str, limit: int) -> int:
        stage = self.stages[name]
        moved = 0
        while stage.ids and moved < limit:
            r = self.recs.get(stage.ids.pop(0))
            if r is not None:
                if self._startable(r):
                    self._ready(r)
                moved += 1
        if not stage.ids:
            for r in self.recs.values():
                r.stage = None if r.stage == name else r.stage
            del self.stages[name]
        return len(stage.ids)

    # Exchange: commit, then claim -----------------------------------------------------------------

    def exchange(
        self, session: str, commits: Sequence[v.Commit], want: v.Want | None
    ) -> v.Exchange:
        verdicts = tuple(self._commit(c, session) for c in commits)
        s = self.session_table.get(session)
        if s is None or s.lease_until_ms <= self.clock():
            return v.Exchange(verdicts=verdicts, lost=True)
        if want is None:
            return v.Exchange(verdicts=verdicts)
        self._promote(PROMOTED_PER_EXCHANGE)
        claims: list[v.Claim] = []
        for queue in want.queues:
            for r in self._queued(queue):
                if len(claims) < want.limit and r.state == State.QUEUED and self._claim(r, s):
                    claims.append(self._as_claim(r))
        return v.Exchange(verdicts=verdicts, claims=tuple(claims), next_due_ms=self._next_due())

    def _queued(self, queue: str) -> list[Rec]:
        found = [r for r in self.recs.values() if r.state == State.QUEUED and r.m.queue == queue]
        return sorted(found, key=lambda r: (r.m.priority, r.seq))

    def _claim(self, r: Rec, s: v.SessionInfo) -> bool:
        now, once = self.clock(), r.once
        if r.expires is not None and r.expires <= now:
            self._end(r, State.REVOKED, "expired")
            return False
        if once and once.scope in HELD_WHILE and not self._take(once.key + ":run", r, 0):
            self._set(r, State.WAITING)
            self._park(r, once.key + ":run")
            return False
        self.fence += 1
        r.fence, r.session, r.worker = self.fence, s.id, s.worker
        r.delivery += 1
        r.started = now
        r.first_started = r.first_started or now
        r.progress = None
        self._set(r, State.RUNNING)
        self._audit(Ev.STARTED, r)
        if once and once.scope in FREED_BY_CLAIM:
            self._free(once.key, r.m.id)
        return True

    def _commit(self, c: v.Commit, session: str) -> v.Verdict:
        r = self.recs.get(c.id)
        if r is None or r.state != State.RUNNING or r.fence != c.fence:
            if r is not None and r.committed_fence == c.fence:
                return v.Verdict.COMMITTED
            s = self.session_table.get(session)
            self._audit_id(
                Ev.STALE, c.id, r.m.task if r else "", fence=c.fence, worker=s.worker if s else ""
            )
            return v.Verdict.STALE
        r.committed_fence = c.fence
        self._attempt_over(r)
        o = c.outcome
        again = isinstance(o, oc.Retry | oc.Released | oc.Keyed | oc.Replaced | oc.Doomed)
        if r.revoked is not None and (again or (isinstance(o, oc.Rejected) and o.requeue)):
            self._end(r, State.REVOKED, "revoked")
        else:
            self._apply(r, o)
        return v.Verdict.COMMITTED

    def _apply(self, r: Rec, o: oc.Outcome) -> None:  # noqa: C901, PLR0912 - a case per outcome
        match o:
            case oc.Succeeded():
                self._end(r, State.SUCCEEDED, "", o.result, keep=o.keep, detail=o.detail)
            case oc.Failed():
                self._end(r, State.FAILED, o.reason, failure=o.failure, detail=o.detail)
            case oc.Ignored():
                self._end(r, State.REVOKED, "ignored", detail=o.detail)
            case oc.Revoked():
                self._end(r, State.REVOKED, "terminated", detail=o.detail)
            case oc.Rejected(requeue=False):
                self._end(r, State.FAILED, "rejected", failure=o.failure, detail=o.detail)
            case oc.Rejected() if r.delivery >= r.m.max_deliveries:
                self._end(r, State.FAILED, "delivery limit", failure=o.failure, detail=o.detail)
            case oc.Rejected():
                self._audit(Ev.REJECTED, r, o.detail)
                self._again(r, None)
            case oc.Retry():
                self._audit(Ev.RETRY, r, o.detail)
                r.attempt += 1
                r.delivery = r.bounces = 0
                r.failure = o.failure
                r.payload = r.payload if o.payload is None else o.payload
                if o.queue is not None:
                    r.m = msgspec.structs.replace(r.m, queue=o.queue)
                self._again(r, o.at_ms if o.at_ms is not None else self.clock() + o.delay_ms)
            case oc.Released():
                self._uncount(r)
                r.bounces += o.bounce
                self._audit(Ev.UNKNOWN if o.bounce else Ev.RELEASED, r, o.detail)
                due = self.clock() + o.delay_ms if o.delay_ms else None
                self._again(r, due, keep_place=True)
            case oc.Doomed():
                r.doom = o.failure
                self._audit(Ev.DOOMED, r, o.detail)
                self._again(r, None, keep_place=True)
            case oc.Keyed():
                self._uncount(r)
                r.once, r.admitted = o.once, False
                if self._admit(r):
                    self._again(r, None, keep_place=True)
            case oc.Replaced():
                self._set(r, State.WAITING)
                r.mirrors = next(m.id for m in o.messages for e in m.edges if e.child == r.m.id)
                for m in o.messages:
                    self._store(m, None)

    def _uncount(self, r: Rec) -> None:
        r.delivery -= 1
        if r.delivery == 0 and r.attempt == 1:
            r.first_started = None

    def _again(self, r: Rec, due: int | None, *, keep_place: bool = False) -> None:
        """Back to the queue, taking the once-key again where the claim had freed it."""
        if r.once and r.once.scope in FREED_BY_CLAIM:
            self._take(r.once.key, r, r.once.timeout_ms)  # a conflict leaves this one without
        self._queue_at(r, due, keep_place=keep_place)

    def _attempt_over(self, r: Rec) -> None:
        r.session = None
        if r.once and r.once.scope in HELD_WHILE:
            self._free(r.once.key + ":run", r.m.id)

    # Endings --------------------------------------------------------------------------------------

    def _end(
        self,
        r: Rec,
        state: State,
        reason: str,
        result: bytes = b"",
        *,
        keep: bool = False,
        failure: bytes | None = None,
        detail: bytes = b"",
    ) -> None:
        """Make it final, free its locks, and tell its children; the children's endings follow."""
        self._end_one(r, state, reason, result, keep=keep, failure=failure, detail=detail)
        self._drain()

    def _drain(self) -> None:
        while self._endings:
            parent, edge, value, keep = self._endings.popleft()
            self._follow(parent, edge, value, keep)

    def _end_one(
        self,
        r: Rec,
        state: State,
        reason: str,
        result: bytes,
        *,
        keep: bool,
        failure: bytes | None,
        detail: bytes,
    ) -> None:
        r.reason, r.ended, r.due = reason, self.clock(), None
        r.result = result if keep else None
        r.failure = failure
        r.doom = None
        r.steps.clear()
        if state != State.FAILED:  # a dead letter keeps what it takes to run again
            r.payload = None
            r.inputs.clear()
        ttl = r.m.failure_ttl_ms if state == State.FAILED else r.m.result_ttl_ms
        r.delete_at = r.ended + ttl if ttl else None
        self._set(r, state)
        self._audit(_event_of(state, reason), r, detail or _because(reason))
        if r.parked:
            self.parked[r.parked].remove(r.m.id)
            r.parked = None
        if r.once and r.once.scope in HELD_UNTIL - {"until_expired"}:
            self._free(r.once.key, r.m.id)
        self._endings.extend((r, e, result, keep) for e in r.edges)

    def _follow(self, parent: Rec, edge: Edge, value: bytes, keep: bool) -> None:
        """One edge of a parent that has ended."""
        child = self.recs.get(edge.child)
        if child is None:
            return
        ok = parent.state == State.SUCCEEDED
        if edge.on == On.MIRROR:
            if child.state == State.WAITING and child.mirrors == parent.m.id:
                if ok:
                    self._end_one(
                        child, State.SUCCEEDED, "", value, keep=keep, failure=None, detail=b""
                    )
                else:
                    self._break(child, parent, "mirror")
        elif edge.on == On.FAILURE:
            self._errback(child, parent, edge, failed=not ok and parent.reason != "ignored")
        elif not ok:
            self._break(child, parent, "parent")
        elif child.state == State.WAITING or child.reason in {"parent", "mirror"}:
            if edge.slot >= 0:
                child.inputs[edge.slot, parent.m.id] = v.Input(
                    slot=edge.slot, parent=parent.m.id, ok=True, value=value
                )
            child.waits -= 1
            if self._startable(child):
                self._ready(child)

    def _break(self, child: Rec, parent: Rec, reason: str) -> None:
        """A parent did not succeed: neither does the child."""
        if child.state == State.WAITING or child.reason in {"parent", "mirror"}:
            child.broken.add(parent.m.id)
        if child.state == State.WAITING:
            self._end_one(
                child, State.FAILED, reason, b"", keep=False, failure=parent.failure, detail=b""
            )

    def _errback(self, child: Rec, parent: Rec, edge: Edge, *, failed: bool) -> None:
        if child.state != State.WAITING:
            return
        child.waits -= 1
        if failed:
            child.inputs[edge.slot, parent.m.id] = v.Input(
                slot=edge.slot, parent=parent.m.id, ok=False, value=parent.failure or b""
            )
            self._ready(child)
        elif child.waits == 0:
            self._end_one(
                child, State.REVOKED, "not needed", b"", keep=False, failure=None, detail=b""
            )

    # Locks ----------------------------------------------------------------------------------------

    def _lock_of(self, name: str) -> Lock | None:
        lock = self.lock_table.get(name)
        return None if lock is None or (lock.until and lock.until <= self.clock()) else lock

    def _take(self, name: str, r: Rec, timeout_ms: int) -> bool:
        lock = self._lock_of(name)
        if lock is None:
            self.fence += 1
            until = self.clock() + timeout_ms if timeout_ms else 0
            self.lock_table[name] = Lock(r.m.id, self.fence, self.clock(), until)
        return lock is None or lock.owner == r.m.id

    def _park(self, r: Rec, name: str) -> None:
        r.parked = name
        self.parked.setdefault(name, []).append(r.m.id)

    def _free(self, name: str, owner: str) -> bool:
        lock = self.lock_table.get(name)
        if lock is None or lock.owner != owner:
            return False
        del self.lock_table[name]
        self._unpark(name)
        return True

    def _unpark(self, name: str) -> None:
        """The lock is free: let the first that waits behind it go on."""
        if not self.parked.get(name):
            return
        r = self.recs[self.parked[name].pop(0)]
        r.parked = None
        if name.endswith(":run"):
            self._queue_at(r, None, keep_place=True)
        elif self._admit(r) and self._startable(r):
            self._ready(r)

    def release_lock(self, name: str, owner: str) -> bool:
        freed = self._free(name, owner)
        if freed:
            self._audit_id(Ev.UNLOCKED, owner, "")
        return freed

    def _promote(self, limit: int) -> int:
        now = self.clock()
        waiting = [r for r in self._live() if r.state == State.SCHEDULED]
        due = sorted((r.due, r.m.id) for r in waiting if r.due is not None and r.due <= now)
        for _, message_id in due[:limit]:
            r = self.recs[message_id]
            self._queue_at(r, r.due)
            self._audit(Ev.PROMOTED, r)
        return len(due[:limit])

    def _next_due(self) -> int | None:
        return min(
            (r.due for r in self._live() if r.state == State.SCHEDULED and r.due), default=None
        )

    # Small things ---------------------------------------------------------------------------------

    def _set(self, r: Rec, state: State) -> None:
        r.state = state
        self._changed(r)

    def _changed(self, r: Rec) -> None:
        r.version += 1

    def _left(self, r: Rec | None) -> int:
        due = r.due if r and r.state == State.SCHEDULED else None
        return due - self.clock() if due is not None else 0

    def _live(self) -> list[Rec]:
        return [r for r in self.recs.values() if r.state not in FINAL_STATES]

    def _as_claim(self, r: Rec) -> v.Claim:
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
            inputs=tuple(r.inputs[k] for k in sorted(r.inputs)),
            doom=r.doom,
        )

    def _audit(self, event: v.AuditEvent, r: Rec, detail: bytes = b"") -> None:
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


def _event_of(state: State, reason: str) -> v.AuditEvent:
    if state == State.SUCCEEDED:
        return Ev.SUCCEEDED
    named = {
        "expired": Ev.EXPIRED,
        "ignored": Ev.IGNORED,
        "purged": Ev.PURGED,
        "rejected": Ev.REJECTED,
    }
    return named.get(reason, Ev.FAILED if state == State.FAILED else Ev.REVOKED)


def _because(reason: str) -> bytes:
    """The detail of an ending that no worker committed."""
    return msgspec.json.encode({"reason": reason}) if reason else b""
