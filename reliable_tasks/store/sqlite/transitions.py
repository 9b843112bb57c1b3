"""The rules of state changes: admission by once-lock, becoming ready, ending, and what follows.

These are the rules of the reference model, on the records of one transaction. They call one
another in a circle (an ending frees a lock, which makes a message ready, which may end it), which
is why they are one class.
"""

from typing import Final

import msgspec

from locks.keys import sqlite_name
from locks.statements import load_sql
from reliable_tasks.core.message import Edge, On
from reliable_tasks.core.once import Scope
from reliable_tasks.core.reasons import BY_ANOTHER, Reason
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.endings import Ended, Endings, ended
from reliable_tasks.store.sqlite.rows import (
    DEAD,
    FALLEN,
    FIRST_FINAL,
    PART_BROKEN,
    PART_INPUTS,
    PART_STEPS,
    QUEUED,
    REVOKED,
    RUNNING,
    SCHEDULED,
    SUCCEEDED,
    WAITING,
    Row,
    once_of,
    with_edge,
)
from reliable_tasks.store.sqlite.statements import load

__all__ = ["FREED_BY_CLAIM", "HELD_UNTIL", "HELD_WHILE", "RUN_SUFFIX", "Transitions"]

# Of the scopes, as records have them: texts.
HELD_UNTIL: Final = frozenset[str](s for s in Scope if s.is_held_from_enqueue)
HELD_WHILE: Final = frozenset[str](s for s in Scope if s.is_held_while_running)
FREED_BY_CLAIM: Final = frozenset[str](s for s in Scope if s.is_freed_by_claim)
FREED_BY_END: Final = HELD_UNTIL - {s for s in Scope if s.outlives_message}
RUN_SUFFIX: Final = ":run"

LOCK_TAKE: Final = load_sql("locks", "lock_take")
LOCK_READ: Final = load_sql("locks", "lock_read")
LOCK_DROP: Final = load("locks/drop")
LOCK_PASS: Final = load("locks/pass")
PARK: Final = load("parked/put")
UNPARK: Final = load("parked/delete")
PARKED_FIRST: Final = load("parked/first")
BROKEN_PUT: Final = load("broken/put")
STAGE_SEALED: Final = load("stages/sealed")

Ev = v.AuditEvent
_EVENTS: Final[dict[str, v.AuditEvent]] = {
    Reason.EXPIRED: Ev.EXPIRED,
    Reason.IGNORED: Ev.IGNORED,
    Reason.PURGED: Ev.PURGED,
    Reason.REJECTED: Ev.REJECTED,
}


class Transitions(Endings):
    """One transaction, and the rules by which it moves messages."""

    # Becoming ready -------------------------------------------------------------------------------

    def admit(self, r: Row) -> bool:
        """Take the once-lock for a stored message; else park it, or make it a mirror."""
        once = once_of(r)
        if once is None or once.scope not in HELD_UNTIL:
            r.admitted = 1
            return True
        owner = self.take(once.key, r, once.timeout_ms)
        holder = owner if owner == r.id or r.graft is None else self._lend(owner, r)
        if holder == r.id:
            r.admitted = 1
            return True
        self.set_state(r, WAITING)
        if not r.joins_duplicate and once.on_conflict in {"reschedule", "rerun"}:
            self.park(r, once.key)
        else:
            self._mirror(r, holder)
        return False

    def _mirror(self, r: Row, parent_id: str) -> None:
        r.mirrors = parent_id
        self.audit(Ev.JOINED, r)
        parent = self.get(parent_id)
        edge = Edge(r.id, On.MIRROR)
        if parent is None:
            self.end(r, REVOKED, Reason.DUPLICATE)
        elif parent.state >= FIRST_FINAL:
            keep = parent.result is not None
            self._follow(ended(parent, parent.result or b"", keep=keep), edge)
            self._drain()
        else:
            parent.edges = with_edge(parent, edge)

    def startable(self, r: Row) -> bool:
        """Whether nothing keeps a waiting message from becoming ready."""
        return r.state == WAITING and not (r.waits or r.parked or r.mirrors) and self._unstaged(r)

    def _unstaged(self, r: Row) -> bool:
        if r.stage is None:
            return True
        found = self.first(STAGE_SEALED, (r.stage,))
        return found is None or bool(found[0])

    def ready(self, r: Row) -> None:
        """Everything it waited for has happened: queue it, or schedule it for its time."""
        if not r.admitted and not self.admit(r):
            return
        if r.expires_in is not None:
            r.expires = self.now + r.expires_in
        due = r.eta
        if due is None and r.delay:
            due = self.now + r.delay
        self.queue_at(r, due)

    def queue_at(self, r: Row, due: int | None, *, keep_place: bool = False) -> None:
        """Queue a message, at its old place or the last one, or schedule it."""
        r.due = due
        self.queues_some = True
        if due is not None and due > self.now:
            self.set_state(r, SCHEDULED)
            return
        if not keep_place or not r.place:
            r.place = self.next_seq()
        self.set_state(r, QUEUED)

    def again(self, r: Row, due: int | None, *, keep_place: bool = False) -> None:
        """Requeue a message, taking its once-key again where the claim had freed it."""
        once = once_of(r)
        if once is not None and once.scope in FREED_BY_CLAIM:
            self.take(once.key, r, once.timeout_ms)  # a conflict leaves this one without
        self.queue_at(r, due, keep_place=keep_place)

    def attempt_over(self, r: Row) -> None:
        """End the claim: detach the session and free the key that is held while running."""
        r.session = None
        once = once_of(r)
        if once is not None and once.scope in HELD_WHILE:
            self.free(once.key + RUN_SUFFIX, r.id)

    def uncount(self, r: Row) -> None:
        """The last claim does not count as a delivery."""
        r.delivery -= 1
        if r.delivery == 0 and r.attempt == 1:
            r.first_started = None

    def set_state(self, r: Row, state: int) -> None:
        """Change the state; the new version wakes those who wait."""
        r.state = state
        r.version += 1

    # Endings --------------------------------------------------------------------------------------

    def end(
        self,
        r: Row,
        state: int,
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

    def _end_one(
        self,
        r: Row,
        state: int,
        reason: str,
        result: bytes = b"",
        *,
        keep: bool = False,
        failure: bytes | None = None,
        detail: bytes = b"",
    ) -> None:
        failed, was = state == DEAD, r.state
        r.reason, r.ended, r.due = reason, self.now, None
        r.result = result if keep else None
        r.failure = failure
        r.doom = None
        if not failed:  # a dead letter keeps what it takes to run again
            r.payload = None
            self.drop_parts(r, PART_STEPS | PART_INPUTS)
        ttl = r.failure_ttl if failed else r.result_ttl
        r.delete_at = self.now + ttl if ttl else None
        self.set_state(r, FALLEN if failed and reason in BY_ANOTHER else state)
        self.audit(_event_of(state, reason), r, detail or _because(reason))
        self.leave_parking(r)
        once = once_of(r)
        if once is not None and once.scope in FREED_BY_END:
            self._let_go(r, once.key)
        if was == QUEUED and once is not None and once.scope in HELD_WHILE:
            # It may have been let go on when the lock was freed: it is the next one's turn.
            run = once.key + RUN_SUFFIX
            if self.lock_of(run) is None:
                self.unpark(run)
        self._push(r, result, keep=keep)

    def _follow(self, parent: Ended, edge: Edge) -> None:
        """One edge of a parent that has ended."""
        child = self.get(edge.child)
        if child is None or (edge.on != On.MIRROR and child.waits <= 0):
            return  # it has started, or is a later one of the same id, which waits for nobody
        ok = parent.state == SUCCEEDED
        if edge.on == On.MIRROR:
            if child.state != WAITING or child.mirrors != parent.id:
                return
            if ok:
                self._end_one(child, SUCCEEDED, "", parent.value, keep=parent.keep)
            else:
                self._break(child, parent, Reason.MIRROR)
        elif edge.on == On.FAILURE:
            self._errback(child, parent, edge, failed=not ok and parent.reason != Reason.IGNORED)
        elif not ok:
            self._break(child, parent, Reason.PARENT)
        elif child.state == WAITING or child.reason in BY_ANOTHER:
            if edge.slot >= 0:
                self.put_input(child, edge.slot, parent.id, parent.value, ok=True)
            child.waits -= 1
            if self.startable(child):
                self.ready(child)

    def _break(self, child: Row, parent: Ended, reason: str) -> None:
        """A parent did not succeed: neither does the child."""
        if child.state == WAITING or child.reason in BY_ANOTHER:
            self.execute(BROKEN_PUT, (child.n, parent.id))
            child.parts |= PART_BROKEN
        if child.state == WAITING:
            self._end_one(child, DEAD, reason, failure=parent.failure)

    def _errback(self, child: Row, parent: Ended, edge: Edge, *, failed: bool) -> None:
        if child.state != WAITING:
            return
        child.waits = 0 if failed else child.waits - 1
        if failed:
            self.put_input(child, edge.slot, parent.id, parent.failure or b"", ok=False)
            if self.startable(child):  # it may wait for its once-key as well
                self.ready(child)
        elif child.waits == 0:
            self._end_one(child, REVOKED, Reason.NOT_NEEDED)

    def _set_aside(self, r: Row) -> None:
        if r.state == RUNNING:
            self.attempt_over(r)
        self.end(r, DEAD, Reason.UNREADABLE)

    # Locks ----------------------------------------------------------------------------------------

    def lock_name(self, name: str) -> str:
        """The name of a lock as the table has it."""
        return sqlite_name(self.options.namespace, name)

    def lock_of(self, name: str) -> tuple[str, int] | None:
        """Owner and end of a lock that is held, None when it is free."""
        found = self.execute(LOCK_READ, {"name": self.lock_name(name), "now": self.now}).fetchone()
        return None if found is None else (found[0], found[3])

    def take(self, name: str, r: Row, timeout_ms: int) -> str:
        """Take a lock for a message where it is free; who holds it now."""
        lock = self.lock_of(name)
        if lock is not None:
            return lock[0]
        self.execute(
            LOCK_TAKE,
            {
                "name": self.lock_name(name),
                "owner": r.id,
                "fence": self.next_fence(),
                "now": self.now,
                "until": self.now + timeout_ms if timeout_ms else 0,
            },
        )
        return r.id

    def free(self, name: str, owner: str) -> bool:
        """Free a lock if this owner has it, and let the next one go on."""
        if self.first(LOCK_DROP, (self.lock_name(name), owner)) is None:
            return False
        self.unpark(name)
        return True

    def _lend(self, owner: str, r: Row) -> str:
        """Let `r` use the key of a message in whose place it stands, unless another there does.

        The lock stays with the replaced one, whose ending frees it. Gives whom `r` has to wait for:
        nobody but itself where it may use the key.
        """
        stands_for = self._stands_for(r)
        user = self.get(owner) if owner in stands_for else None
        if user is None:
            return owner
        while (heir := self._heir(user)) is not None:
            user = heir
        if user is not r and user.id in stands_for:
            user.lent = r.id
            user = r
        return user.id

    def _stands_for(self, r: Row) -> set[str]:
        """The replaced messages above a record, the nearest first."""
        found = set[str]()
        above: Row | None = r
        while above is not None and above.graft and above.graft not in found:
            found.add(above.graft)
            above = self.get(above.graft)
        return found

    def _heir(self, r: Row) -> Row | None:
        """The live message that uses the key of a replaced one."""
        heir = self.get(r.lent) if r.lent else None
        return heir if heir and heir.graft and heir.state < FIRST_FINAL else None

    def _let_go(self, r: Row, name: str) -> None:
        """Free the key of a message that ended, or pass it to the one that uses it in its place."""
        heir = self._heir(r)
        if heir is None or self.first(LOCK_PASS, (self.lock_name(name), r.id, heir.id)) is None:
            self.free(name, r.id)

    def park(self, r: Row, name: str) -> None:
        """Wait for a lock."""
        r.parked, r.parked_place = name, self.next_seq()
        self.execute(PARK, (self.lock_name(name), r.parked_place, r.id))

    def leave_parking(self, r: Row) -> None:
        """Stop waiting for a lock, if it waits for one."""
        if r.parked is not None:
            self.execute(UNPARK, (self.lock_name(r.parked), r.parked_place))
            r.parked = None

    def unpark(self, name: str) -> bool:
        """Resume the first message that waits for a free lock; return whether there was one."""
        found = self.first(PARKED_FIRST, (self.lock_name(name),))
        while found is not None:
            r = self.get(found[0])
            if r is not None and r.parked == name:
                return self._go_on_from(r, name)
            self.execute(UNPARK, (self.lock_name(name), found[1]))  # it is gone, or was damaged
            found = self.first(PARKED_FIRST, (self.lock_name(name),))
        return False

    def _go_on_from(self, r: Row, name: str) -> bool:
        self.leave_parking(r)
        if name.endswith(RUN_SUFFIX):
            self.queue_at(r, None, keep_place=True)
        elif self.admit(r) and self.startable(r):
            self.ready(r)
        return True

    # The rest -------------------------------------------------------------------------------------

    def forget(self, r: Row) -> None:
        """Delete a record and free its lock, unless that outlives its message."""
        self.delete(r)
        self.leave_parking(r)
        once = once_of(r)
        if once is not None and once.scope in FREED_BY_END:
            self.free(once.key, r.id)

    def left(self, r: Row | None) -> int:
        """How long a message's delay still lasts."""
        due = r.due if r is not None and r.state == SCHEDULED else None
        return 0 if due is None else due - self.now


def _event_of(state: int, reason: str) -> v.AuditEvent:
    if state == SUCCEEDED:
        return Ev.SUCCEEDED
    return _EVENTS.get(reason, Ev.FAILED if state == DEAD else Ev.REVOKED)


def _because(reason: str) -> bytes:
    """The detail of an ending that no worker committed."""
    return msgspec.json.encode({"reason": reason}) if reason else b""
