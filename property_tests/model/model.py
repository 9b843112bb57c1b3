"""The reference model: what the store's verbs mean, in plain Python, for reading and for testing.

Dictionaries, no I/O and no clock of its own. Every store must give the same answers on every trace
(numbers of fences and of audit rows apart: those need only grow). Each public method is one step.
"""

from collections.abc import Sequence

import msgspec

from property_tests.model.core import Core
from property_tests.model.lists import matches, page_of
from property_tests.model.tables import Ev, Row, adds_rows, is_dead
from property_tests.model.transitions import HELD_UNTIL
from property_tests.model.turns import Turns
from reliable_tasks.core.message import FINAL_STATES, On, State
from reliable_tasks.core.outcome import HOOK_DELIVERIES
from reliable_tasks.store import values as v


class Model(Turns, Core):
    """A store without a store."""

    # Sessions -------------------------------------------------------------------------------------

    def open_session(self, info: v.SessionInfo, lease_ms: int) -> None:
        now = self.clock()
        self.session_table[info.id] = msgspec.structs.replace(
            info, started_ms=now, lease_until_ms=now + lease_ms
        )
        self.turns.pop(f"host:{info.host}", None)  # there is somebody else to look after

    @adds_rows
    def close_session(self, session: str) -> int:
        held = self._held_by(session)
        for r in held:
            self._attempt_over(r)
            self._uncount(r)
            self._audit(Ev.RELEASED, r)
            if r.revoked is not None:
                self._end(r, State.REVOKED, "revoked")
            else:
                self._again(r, None, keep_place=True)
        self.session_table.pop(session, None)
        return len(held)

    def heartbeat(self, sessions: Sequence[str], lease_ms: int) -> v.Heartbeat:
        now = self.clock()
        lost, commands = list[str](), list[v.Command]()
        for sid in sessions:
            s = self.session_table.get(sid)
            if s is None:  # what has lapsed only may still be renewed: nobody has taken it back
                lost.append(sid)
                continue
            self.session_table[sid] = msgspec.structs.replace(s, lease_until_ms=now + lease_ms)
            commands.extend(
                v.Command(session=sid, id=r.m.id, fence=r.fence, signal=r.revoked)
                for r in self._held_by(sid)
                if r.revoked
            )
        return v.Heartbeat(lost=tuple(lost), commands=tuple(commands), now_ms=now)

    def held(self, session: str) -> tuple[v.Claim, ...]:
        return tuple(self._as_claim(r) for r in self._held_by(session))

    def _held_by(self, session: str) -> list[Row]:
        held = (r for r in self.recs.values() if r.session == session)
        return sorted(held, key=lambda r: r.fence)

    def sessions(self) -> tuple[v.SessionInfo, ...]:
        return tuple(
            msgspec.structs.replace(s, claims=len(self._held_by(s.id)))
            for _, s in sorted(self.session_table.items())
        )

    # While a body runs ----------------------------------------------------------------------------

    def report(self, message_id: str, fence: int, state: str, meta: bytes) -> v.Verdict:
        r = self.recs.get(message_id)
        if r is None or r.state != State.RUNNING or r.fence != fence:
            return v.Verdict.STALE
        r.progress = (state, meta)
        self._changed(r)
        return v.Verdict.COMMITTED

    @adds_rows
    def step(self, message_id: str, fence: int, name: str, value: bytes | None) -> v.StepReply:
        r = self.recs.get(message_id)
        if r is None or r.state != State.RUNNING or r.fence != fence:
            return v.StepReply(known="stale")
        begun_by, known = r.steps.get(name, (0, None))
        if known is not None:
            return v.StepReply(known="done", value=known)
        if value is not None:
            r.steps[name] = (fence, value)
            self._audit(Ev.STEP, r, msgspec.json.encode({"step": name}))
            return v.StepReply(known="done", value=value)
        if begun_by not in {0, fence}:
            return v.StepReply(known="begun")
        r.steps[name] = (fence, None)
        return v.StepReply(known="new")

    # Operators ------------------------------------------------------------------------------------

    @adds_rows
    def revoke(
        self, ids: Sequence[str], *, terminate: bool = False, signal: str = "SIGTERM"
    ) -> tuple[v.RevokeReply, ...]:
        return tuple(v.RevokeReply(id=i, found=self._revoke(i, terminate, signal)) for i in ids)

    def _revoke(self, message_id: str, terminate: bool, signal: str) -> str:
        r = self.recs.get(message_id)
        if r is None:
            return "unknown"
        if r.state in FINAL_STATES:
            return "ended"
        if r.state == State.RUNNING:
            r.revoked = signal if terminate else r.revoked or ""
            return "running"
        self._end(r, State.REVOKED, "revoked")
        return "revoked"

    @adds_rows
    def replay(self, ids: Sequence[str]) -> tuple[v.Replayed, ...]:
        return tuple(self._replay(i) for i in ids)

    def _replay(self, message_id: str) -> v.Replayed:
        r = self.recs.get(message_id)
        if r is None:
            return v.Replayed(id=message_id, done="unknown")
        if not is_dead(r):
            return v.Replayed(id=message_id, done="not dead")
        if r.once and r.once.scope in HELD_UNTIL:
            if not self._take(r.once.key, r, r.once.timeout_ms):
                holder = self.lock_table[r.once.key].owner
                return v.Replayed(id=message_id, done="held", holder=holder)
            r.admitted = True
        r.attempt, r.delivery, r.bounces = 1, 0, 0
        r.first_started = r.started = r.ended = r.delete_at = r.expires = None
        r.failure, r.revoked, r.reason = None, None, ""
        self._audit(Ev.REPLAYED, r)
        self._queue_at(r, None)
        self._revive(r)
        return v.Replayed(id=message_id, done="replayed")

    def _revive(self, parent: Row) -> None:
        """Its dependants wait again, unless another parent of theirs did not succeed either."""
        todo = [(parent.m.id, e) for e in parent.edges]
        while todo:
            parent_id, edge = todo.pop(0)
            child = self.recs.get(edge.child)
            if child is None or edge.on == On.FAILURE or parent_id not in child.broken:
                continue
            child.broken.discard(parent_id)
            if child.state == State.FAILED and not child.broken:
                child.reason, child.failure, child.ended, child.delete_at = "", None, None, None
                child.admitted = False
                self._set(child, State.WAITING)
                todo += [(child.m.id, e) for e in child.edges]

    @adds_rows
    def drop(self, ids: Sequence[str]) -> int:
        final = [self.recs[i] for i in dict.fromkeys(ids) if i in self.recs]
        final = [r for r in final if r.state in FINAL_STATES]
        for r in final:
            if is_dead(r):
                self._audit(Ev.DROPPED, r)
            self._delete(r)
        return len(final)

    @adds_rows
    def purge(self, queue: str, limit: int | None = None) -> int:
        waiting = [r for r in self._live() if r.m.queue == queue]
        scheduled = [r for r in waiting if r.state == State.SCHEDULED]
        found = self._queued(queue) + sorted(scheduled, key=lambda r: (r.due, r.m.id))
        for r in found[:limit]:
            self._end(r, State.REVOKED, "purged")
        return len(found[:limit])

    # Readers --------------------------------------------------------------------------------------

    def read(self, ids: Sequence[str], *, full: bool = False) -> tuple[v.Record | None, ...]:
        return tuple(self._record(self.recs[i], full) if i in self.recs else None for i in ids)

    def _record(self, r: Row, full: bool) -> v.Record:
        return v.Record(
            id=r.m.id,
            task=r.m.task,
            queue=r.m.queue,
            priority=r.m.priority,
            state=r.state,
            reason=r.reason,
            version=r.version,
            attempt=r.attempt,
            delivery=r.delivery,
            bounces=r.bounces,
            max_deliveries=r.m.max_deliveries,
            fence=r.fence,
            session=r.session,
            worker=r.worker,
            enqueued_ms=r.enqueued,
            due_ms=r.due,
            expires_ms=r.expires,
            first_started_ms=r.first_started,
            started_ms=r.started,
            ended_ms=r.ended,
            result=r.result,
            failure=r.failure,
            progress_state=r.progress[0] if r.progress else None,
            progress_meta=r.progress[1] if r.progress else None,
            once_key=r.once.key if r.once else None,
            root_id=r.m.root_id,
            parent_id=r.m.parent_id,
            waits=r.waits,
            broken=tuple(sorted(r.broken)),
            mirrors=r.mirrors,
            joins=r.m.waits > 1,
            payload=r.payload if full else None,
            headers=r.m.headers if full else b"",
            edges=tuple((e.child, e.on, e.slot) for e in r.edges) if full else (),
        )

    def find(self, query: v.MessageQuery) -> v.Page[v.Record]:
        wanted = [self._record(r, query.full) for r in self.recs.values() if matches(r, query)]
        return page_of(wanted, query.after, query.limit)

    def counts(self) -> v.Counts:
        queues: dict[str, dict[str, int]] = {}
        states: dict[str, int] = {}
        for r in self.recs.values():
            states[r.state] = states.get(r.state, 0) + 1
            if r.state not in FINAL_STATES:
                at = queues.setdefault(r.m.queue, {})
                at[r.state] = at.get(r.state, 0) + 1
        dead = sum(is_dead(r) for r in self.recs.values())
        return v.Counts(queues=queues, states=states, dead=dead)

    def audit(self, query: v.AuditQuery) -> v.Page[v.AuditRow]:
        rows = [
            row
            for row in self.trail
            if query.id in {None, row.id}
            and query.event in {None, row.event}
            and (query.since_ms is None or row.at_ms >= query.since_ms)
            and (query.after is None or int(row.seq) > int(query.after))
        ]
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        return v.Page(rows, rows[-1].seq if more else None)

    def audit_cut(self, message_id: str) -> v.AuditCut:
        return v.AuditCut(rows=self.cut.get(message_id, 0), until_ms=self.cut_until)

    def locks(
        self,
        name: str | None = None,
        *,
        users: bool = False,
        after: str | None = None,
        limit: int | None = None,
    ) -> v.Page[v.LockInfo]:
        del users
        held = [
            v.LockInfo(
                name=n,
                owner=lock.owner,
                fence=lock.fence,
                since_ms=lock.since,
                until_ms=lock.until,
                parked=tuple(self.parked.get(n, ())),
            )
            for n, lock in sorted(self.lock_table.items())
            if name in {None, n} and self._lock_of(n) is not None
        ]
        return page_of(held, after, limit)

    # Groups and beat ------------------------------------------------------------------------------

    def save_group(self, group_id: str, value: bytes, ttl_ms: int) -> None:
        self.groups[group_id] = value

    def load_group(self, group_id: str) -> bytes | None:
        return self.groups.get(group_id)

    def delete_group(self, group_id: str) -> None:
        self.groups.pop(group_id, None)

    def entries(self) -> tuple[v.Entry, ...]:
        return tuple(e for _, e in sorted(self.entry_table.items()))

    def put_entry(self, entry: v.Entry, expected_version: int | None = None) -> bool:
        old = self.entry_table.get(entry.name)
        version = old.version if old else -1
        if expected_version is not None:
            fired = old is not None and (old.runs, old.missed) != (entry.runs, entry.missed)
            if expected_version != version or fired:
                return False
        self.entry_table[entry.name] = msgspec.structs.replace(entry, version=max(version, 0) + 1)
        return True

    def remove_entry(self, name: str) -> bool:
        return self.entry_table.pop(name, None) is not None

    @adds_rows
    def fire(self, entry: v.Entry, expected_ms: int | None, batch: v.Batch) -> v.Enqueued | None:
        old = self.entry_table.get(entry.name)
        if old is None or old.paused or old.version != entry.version or old.next_ms != expected_ms:
            return None
        done = self.enqueue(batch)
        self.entry_table[entry.name] = msgspec.structs.replace(
            old,
            next_ms=entry.next_ms,
            last_ms=entry.last_ms,
            last_id=entry.last_id,
            runs=entry.runs,
            missed=entry.missed,
        )
        for m in batch.messages:
            self._audit_id(Ev.FIRED, m.id, m.task)
        return done

    # Housekeeping ---------------------------------------------------------------------------------

    def reap(
        self, dead: Sequence[str] = (), limit: int = 500, lapsed_by_ms: int | None = None
    ) -> v.Reaped:
        now = self.clock()
        by = now if lapsed_by_ms is None else min(now, lapsed_by_ms)
        lapsed = sorted(s.id for s in self.session_table.values() if s.lease_until_ms <= by)
        requeued, dead_lettered = 0, list[v.DeadLettered]()
        for sid in dict.fromkeys([*dead, *lapsed]):
            for r in self._held_by(sid):
                if self._take_back(r):
                    dead_lettered.append(v.DeadLettered(id=r.m.id, task=r.m.task))
                requeued += r.state == State.QUEUED
            self.session_table.pop(sid, None)
        promoted = self._promote(limit)
        late = [r for r in self._live() if r.expires is not None and r.expires <= now]
        late = [r for r in late if r.state != State.RUNNING]
        for r in sorted(late, key=lambda r: (r.expires, r.m.id)):
            if r.state not in FINAL_STATES:  # the ending of one may have been that of another
                self._end(r, State.REVOKED, "expired")
        unparked = 0
        for name in [n for n in self.lock_table if self._lock_of(n) is None]:
            del self.lock_table[name]
            unparked += bool(self.parked.get(name))
            self._unpark(name)
        deleted = self._sweep_stages(limit) + self._sweep_old()
        return v.Reaped(
            requeued=requeued,
            dead_lettered=tuple(dead_lettered),
            promoted=promoted,
            expired=len(late),
            deleted=deleted,
            unparked=unparked,
            next_due_ms=self._next_due(),
        )

    def _take_back(self, r: Row) -> bool:
        """What a dead session held goes back to its place, until it has killed too many."""
        self._attempt_over(r)
        self._audit(Ev.REAPED, r)
        if r.revoked is not None:
            self._end(r, State.REVOKED, "revoked")
        elif r.delivery >= r.m.max_deliveries + HOOK_DELIVERIES:
            self._end(r, State.FAILED, "delivery limit", failure=r.doom)
            return True
        else:
            self._again(r, None, keep_place=True)
        return False

    def _sweep_stages(self, limit: int) -> int:
        deleted = 0
        for name, stage in list(self.stages.items()):
            if stage.sealed:
                self._open_stage(name, limit)
            elif stage.deadline <= self.clock():
                del self.stages[name]
                for message_id in stage.ids:
                    r = self.recs.get(message_id)
                    if r is not None and r.stage == name:  # not one of the same id that came later
                        deleted += 1
                        self._audit(Ev.DROPPED, r, b'{"reason":"abandoned"}')
                        self._delete(r)
        return deleted

    def _sweep_old(self) -> int:
        now = self.clock()
        old = [r for r in self.recs.values() if r.delete_at is not None and r.delete_at <= now]
        for r in old:
            self._delete(r)
        self._trim(now - self.options.audit_ttl_ms if self.options.audit_ttl_ms else -1)
        return len(old)

    def _delete(self, r: Row) -> None:
        del self.recs[r.m.id]
        if r.parked:
            self.parked[r.parked].remove(r.m.id)
        if r.once and r.once.scope != "until_expired":
            self._free(r.once.key, r.m.id)
