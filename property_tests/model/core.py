"""The two hot verbs of the reference model: enqueue and exchange, in plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from property_tests.model.tables import Ev, Row, Stage, adds_rows, is_dead
from property_tests.model.transitions import FREED_BY_CLAIM, HELD_UNTIL, HELD_WHILE, Transitions
from reliable_tasks import errors
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import FINAL_STATES, Message, State
from reliable_tasks.store import steps
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import STAGE_DROPPED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliable_tasks.core.message import Kind

PROMOTED_PER_EXCHANGE = 100


class Core(Transitions):
    """Enqueue, commit and claim."""

    @adds_rows
    def enqueue(self, batch: v.Batch) -> v.Enqueued:
        if len(batch.messages) > self.options.max_batch:
            raise errors.StoreError("batch too large")
        for m in batch.messages:
            if len(m.payload) + len(m.headers) > self.options.max_message_bytes:
                raise errors.MessageTooLarge(m.id)
        if batch.after is not None and batch.after not in self.recs:
            raise errors.StoreError(STAGE_DROPPED)
        stage = None
        if batch.stage is not None:
            stage = self.stages.setdefault(batch.stage, Stage(0))
            stage.deadline = self.clock() + self.options.stage_ttl_ms
        kept = batch.keep_ended
        receipts = tuple(self._store(m, batch.stage, keep_ended=kept) for m in batch.messages)
        held = 0
        if stage is not None and batch.stage is not None and batch.seal:
            stage.sealed = True
            held = self._open_stage(batch.stage, min(self.options.max_batch, steps.STORED_AT_ONCE))
        return v.Enqueued(receipts=receipts, held=held)

    def enqueue_plain(
        self,
        kind: Kind,
        ids: Sequence[str],
        payloads: Sequence[bytes],
        durable: str | None = None,
    ) -> tuple[v.Receipt, ...]:
        return self.enqueue(v.batch_of(kind, ids, payloads, durable)).receipts

    def _store(
        self, m: Message, stage: str | None, graft: str | None = None, *, keep_ended: bool = False
    ) -> v.Receipt:
        old = self.recs.get(m.id)
        if old is not None:
            if old.m.token == m.token:
                return self._receipt_again(old)
            if keep_ended or old.state not in FINAL_STATES:
                same = (old.m.task, old.payload) == (m.task, m.payload)
                self._audit(Ev.DUPLICATE if same else Ev.CONFLICT, old)
                return v.Receipt(
                    id=m.id,
                    kind=v.ReceiptKind.DUPLICATE if same else v.ReceiptKind.CONFLICT,
                    holder=m.id,
                    countdown_ms=self._left(old),
                    holder_task="" if same else old.m.task,
                )
        r = Row(m, m.once, list(m.edges), m.waits, self.clock(), payload=m.payload, stage=stage)
        r.graft = graft
        r.expires = m.expires_ms
        refused = self._refuse(r)
        if refused is not None:
            return refused
        if old is not None:
            if is_dead(old):
                self._audit(Ev.DROPPED, old, b'{"reason":"enqueued again"}')
            del self.recs[m.id]
        self.recs[m.id] = r
        self._audit(Ev.ENQUEUED, r)
        if stage is not None:
            self.stages[stage].ids.append(m.id)
        if m.once is not None and m.once.scope in HELD_UNTIL and not self._admit(r):
            return self._receipt_again(r)
        if self._startable(r):
            self._ready(r)
        return v.Receipt(id=m.id)

    def _refuse(self, r: Row) -> v.Receipt | None:
        """The answer to a message that is not stored because its once-key is held."""
        once = r.once
        lock = self._lock_of(once.key) if once and once.scope in HELD_UNTIL else None
        if once is None or lock is None or lock.owner == r.m.id or r.m.joins_duplicate:
            return None
        holder, policy = self.recs.get(lock.owner), once.on_conflict
        if policy == "reschedule":
            return None
        begun = holder is None or holder.state in FINAL_STATES | {State.RUNNING} or holder.mirrors
        waiting = None if begun else holder
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

    def _overwrite(self, r: Row, m: Message, kind: v.ReceiptKind) -> v.Receipt:
        r.payload = m.payload
        r.steps.clear()  # they were those of another call
        r.m = msgspec.structs.replace(r.m, headers=m.headers)
        self._changed(r)
        self._audit(Ev.REPLACED if kind == v.ReceiptKind.REPLACED else Ev.RERUN, r)
        return v.Receipt(id=m.id, kind=kind, holder=r.m.id)

    def _receipt_again(self, r: Row) -> v.Receipt:
        if r.mirrors:
            return v.Receipt(id=r.m.id, kind=v.ReceiptKind.JOINED, holder=r.mirrors)
        if r.parked and r.once and r.once.on_conflict == "rerun":
            return v.Receipt(id=r.m.id, kind=v.ReceiptKind.RERUN)
        return v.Receipt(id=r.m.id)

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

    @adds_rows
    def exchange(
        self, session: str, commits: Sequence[v.Commit], want: v.ClaimRequest | None
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

    def _queued(self, queue: str) -> list[Row]:
        found = [r for r in self.recs.values() if r.state == State.QUEUED and r.m.queue == queue]
        return sorted(found, key=lambda r: (r.m.priority, r.seq))

    def _claim(self, r: Row, s: v.SessionInfo) -> bool:
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
        again = isinstance(
            o, oc.Retry | oc.Released | oc.KeyAssigned | oc.Replaced | oc.KilledAtLimit
        )
        if r.revoked is not None and (again or (isinstance(o, oc.Rejected) and o.requeue)):
            self._end(r, State.REVOKED, "revoked")
        else:
            self._apply(r, o)
        return v.Verdict.COMMITTED

    def _apply(self, r: Row, o: oc.Outcome) -> None:  # noqa: C901, PLR0912 - a case per outcome
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
                changes = {name: getattr(o, name) for name in ("queue", "headers", "priority")}
                changes = {name: x for name, x in changes.items() if x is not None}
                r.m = msgspec.structs.replace(r.m, **changes)
                r.expires = r.expires if o.expires_ms is None else o.expires_ms
                self._again(r, o.at_ms if o.at_ms is not None else self.clock() + o.delay_ms)
            case oc.Released():
                self._uncount(r)
                r.bounces += o.bounce or o.begun
                self._audit(Ev.UNKNOWN if o.bounce else Ev.RELEASED, r, o.detail)
                due = self.clock() + o.delay_ms if o.delay_ms else None
                self._again(r, due, keep_place=True)
            case oc.KilledAtLimit() if r.doom is not None or r.delivery > r.m.max_deliveries:
                failure = o.failure if r.doom is None else r.doom
                self._end(r, State.FAILED, "time limit", failure=failure, detail=o.detail)
            case oc.KilledAtLimit():
                r.doom = o.failure
                self._audit(Ev.DOOMED, r, o.detail)
                self._again(r, None, keep_place=True)
            case oc.KeyAssigned():
                self._rekey(r, o)
            case oc.Replaced():
                self._graft(r, o)

    def _rekey(self, r: Row, o: oc.KeyAssigned) -> None:
        self._uncount(r)
        if r.once and r.once.key != o.once.key:
            self._free(r.once.key, r.m.id)
        r.once, r.admitted = o.once, False
        if self._admit(r):
            self._again(r, None, keep_place=True)

    def _graft(self, r: Row, o: oc.Replaced) -> None:
        self._set(r, State.WAITING)
        r.expires = None  # it has been started
        r.mirrors = next(m.id for m in o.messages for e in m.edges if e.child == r.m.id)
        for m in o.messages:
            self._store(m, None, r.m.id)

    @adds_rows
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
