"""How messages move in the reference model: readiness, endings and locks, in plain Python."""

from __future__ import annotations

import msgspec

from property_tests.model.tables import Ev, Lock, Row, Tables
from reliable_tasks.core.message import FINAL_STATES, Edge, On, State
from reliable_tasks.store import values as v

HELD_UNTIL = {"until_executed", "until_executing", "until_and_while_executing", "until_expired"}
HELD_WHILE = {"while_executing", "until_and_while_executing"}
FREED_BY_CLAIM = {"until_executing", "until_and_while_executing"}


class Transitions(Tables):
    """Everything that follows when a message becomes ready, or ends."""

    # Becoming ready ------------------------------------------------------------------------------

    def _admit(self, r: Row) -> bool:
        """Take the once-lock for a stored message; else park it, or make it a mirror."""
        once = r.once
        if once is None or once.scope not in HELD_UNTIL or self._take(once.key, r, once.timeout_ms):
            r.admitted = True
            return True
        holder = self._lend(self.lock_table[once.key].owner, r)
        if holder == r.m.id:
            r.admitted = True
            return True
        self._set(r, State.WAITING)
        if not r.m.joins_duplicate and once.on_conflict in {"reschedule", "rerun"}:
            self._park(r, once.key)
            return False
        self._mirror(r, holder)
        return False

    def _mirror(self, r: Row, parent_id: str) -> None:
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

    def _startable(self, r: Row) -> bool:
        sealed = r.stage is None or self.stages[r.stage].sealed
        return r.state == State.WAITING and not (r.waits or r.parked or r.mirrors) and sealed

    def _ready(self, r: Row) -> None:
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

    def _queue_at(self, r: Row, due: int | None, *, keep_place: bool = False) -> None:
        r.due = due
        if due is not None and due > self.clock():
            self._set(r, State.SCHEDULED)
            return
        if not keep_place or not r.seq:
            self.seq += 1
            r.seq = self.seq
        self._set(r, State.QUEUED)

    def _again(self, r: Row, due: int | None, *, keep_place: bool = False) -> None:
        """Back to the queue, taking the once-key again where the claim had freed it."""
        if r.once and r.once.scope in FREED_BY_CLAIM:
            self._take(r.once.key, r, r.once.timeout_ms)  # a conflict leaves this one without
        self._queue_at(r, due, keep_place=keep_place)

    def _uncount(self, r: Row) -> None:
        r.delivery -= 1
        if r.delivery == 0 and r.attempt == 1:
            r.first_started = None

    def _attempt_over(self, r: Row) -> None:
        r.session = None
        if r.once and r.once.scope in HELD_WHILE:
            self._free(r.once.key + ":run", r.m.id)

    # Endings -------------------------------------------------------------------------------------

    def _end(
        self,
        r: Row,
        state: State,
        reason: str,
        result: bytes = b"",
        *,
        keep: bool = False,
        failure: bytes | None = None,
        detail: bytes = b"",
    ) -> None:
        """Make it final, free its locks and count down its children, which may end in turn."""
        self._end_one(r, state, reason, result, keep=keep, failure=failure, detail=detail)
        self._drain()

    def _drain(self) -> None:
        while self._endings:
            parent, edge, value, keep = self._endings.popleft()
            self._follow(parent, edge, value, keep)

    def _end_one(
        self,
        r: Row,
        state: State,
        reason: str,
        result: bytes,
        *,
        keep: bool,
        failure: bytes | None,
        detail: bytes,
    ) -> None:
        was = r.state
        r.reason, r.ended, r.due = reason, self.clock(), None
        r.result = result if keep else None
        r.failure = failure
        r.doom = None
        if state != State.FAILED:  # a dead letter keeps what it takes to run again
            r.payload = None
            r.inputs.clear()
            r.steps.clear()
        ttl = r.m.failure_ttl_ms if state == State.FAILED else r.m.result_ttl_ms
        r.delete_at = r.ended + ttl if ttl else None
        self._set(r, state)
        self._audit(_event_of(state, reason), r, detail or _because(reason))
        if r.parked:
            self.parked[r.parked].remove(r.m.id)
            r.parked = None
        if r.once and r.once.scope in HELD_UNTIL - {"until_expired"}:
            self._let_go(r, r.once.key)
        run = r.once.key + ":run" if r.once and r.once.scope in HELD_WHILE else None
        if was == State.QUEUED and run and self._lock_of(run) is None:
            # It may have been let go on when the lock was freed: it is the next one's turn.
            self._unpark(run)
        self._endings.extend((r, e, result, keep) for e in r.edges)

    def _follow(self, parent: Row, edge: Edge, value: bytes, keep: bool) -> None:
        """One edge of a parent that has ended."""
        child = self.recs.get(edge.child)
        if child is None or (edge.on != On.MIRROR and child.waits <= 0):
            return  # it has started, or is a later one of the same id, which waits for nobody
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

    def _break(self, child: Row, parent: Row, reason: str) -> None:
        """A parent did not succeed: neither does the child."""
        if child.state == State.WAITING or child.reason in {"parent", "mirror"}:
            child.broken.add(parent.m.id)
        if child.state == State.WAITING:
            self._end_one(
                child, State.FAILED, reason, b"", keep=False, failure=parent.failure, detail=b""
            )

    def _errback(self, child: Row, parent: Row, edge: Edge, *, failed: bool) -> None:
        if child.state != State.WAITING:
            return
        child.waits = 0 if failed else child.waits - 1
        if failed:
            child.inputs[edge.slot, parent.m.id] = v.Input(
                slot=edge.slot, parent=parent.m.id, ok=False, value=parent.failure or b""
            )
            if self._startable(child):  # it may wait for its once-key as well
                self._ready(child)
        elif child.waits == 0:
            self._end_one(
                child, State.REVOKED, "not needed", b"", keep=False, failure=None, detail=b""
            )

    # Locks ---------------------------------------------------------------------------------------

    def _lock_of(self, name: str) -> Lock | None:
        lock = self.lock_table.get(name)
        return None if lock is None or (lock.until and lock.until <= self.clock()) else lock

    def _take(self, name: str, r: Row, timeout_ms: int) -> bool:
        lock = self._lock_of(name)
        if lock is None:
            self.fence += 1
            until = self.clock() + timeout_ms if timeout_ms else 0
            self.lock_table[name] = Lock(r.m.id, self.fence, self.clock(), until)
        return lock is None or lock.owner == r.m.id

    def _lend(self, owner: str, r: Row) -> str:
        """Let `r` use the key of a message in whose place it stands, unless another there does.

        The lock stays with the replaced one, whose ending frees it. Gives whom `r` has to wait for:
        nobody but itself where it may use the key.
        """
        stands_for = self._stands_for(r)
        user = self.recs.get(owner) if owner in stands_for else None
        if user is None:
            return owner
        while (heir := self._heir(user)) is not None:
            user = heir
        if user is not r and user.m.id in stands_for:
            user.lent = r.m.id
            user = r
        return user.m.id

    def _heir(self, r: Row) -> Row | None:
        """Who uses the key of a replaced message, and is still there."""
        heir = self.recs.get(r.lent) if r.lent else None
        return heir if heir and heir.graft and heir.state not in FINAL_STATES else None

    def _stands_for(self, r: Row) -> list[str]:
        """Those in whose place it stands, from the nearest on."""
        found = list[str]()
        above: Row | None = r
        while above is not None and above.graft and above.graft not in found:
            found.append(above.graft)
            above = self.recs.get(above.graft)
        return found

    def _let_go(self, r: Row, name: str) -> None:
        """Free the key of an ended message, or pass it to the replacement that still uses it."""
        heir, lock = self._heir(r), self.lock_table.get(name)
        if heir is not None and lock is not None and lock.owner == r.m.id:
            lock.owner = heir.m.id
        else:
            self._free(name, r.m.id)

    def _park(self, r: Row, name: str) -> None:
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
