"""What happened over all shards, held against what is promised, row by row of their trails.

It keeps a byte for each message, and more only of those that live: ten million take ten megabytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from property_tests.shards.routing import serial_of, shard_of_id
from property_tests.shards.shard import LETTERS
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.store.values import AuditEvent as Ev

if TYPE_CHECKING:
    from collections.abc import Callable

    from property_tests.model.tables import Row
    from property_tests.shards.shard import Shard
    from reliable_tasks.store.values import AuditRow, Claim

__all__ = ["ACKNOWLEDGED", "Account"]

STORED, ENDED, ACKNOWLEDGED = 1, 2, 4
_ENOUGH = 20
_CLAIM_OVER = frozenset({Ev.RETRY, Ev.RELEASED, Ev.REAPED})
_OVER = frozenset({Ev.SUCCEEDED, Ev.FAILED, Ev.REVOKED, Ev.EXPIRED})


class Account:
    """Observes every step of every shard; `found` has what broke a promise."""

    def __init__(self, shards: int, clock: Callable[[], int]) -> None:
        self.found: list[str] = []
        self.live: dict[str, int] = {}
        """When each that is not over was stored, the oldest first."""
        self.counts: dict[str, int] = {}
        self._clock = clock
        self._marks = bytearray()
        self._fences = [0] * shards
        self._fence_of_key: dict[str, int] = {}
        self._guards: dict[str, int] = {}
        self._holders: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._due: dict[str, int] = {}

    def broken(self, what: str) -> None:
        """Note it; the first few are enough to see what is wrong."""
        if len(self.found) < _ENOUGH:
            self.found.append(f"{self._clock()} ms: {what}")

    def serials(self, count: int) -> int:
        """The first of so many new serial numbers."""
        first = len(self._marks)
        self._marks.extend(bytes(count))
        return first

    def acknowledge(self, message_id: str) -> None:
        """Its producer was told that it is stored."""
        self._marks[serial_of(message_id)] |= ACKNOWLEDGED

    def due(self, message_id: str, at: int) -> None:
        """It must not start before."""
        self._due[message_id] = at

    # The trail ------------------------------------------------------------------------------------

    def observe(self, shard: Shard, rows: list[AuditRow]) -> None:
        """The rows that one step has written."""
        recs = shard.model.recs
        for row in rows:
            self.counts[row.event] = self.counts.get(row.event, 0) + 1
            record = recs.get(row.id)
            if record is None or row.event == Ev.STALE:
                continue
            if row.event == Ev.ENQUEUED:
                self._stored(shard, record)
            elif row.event == Ev.STARTED:
                self._started(shard, record, row)
            elif row.event in _CLAIM_OVER:
                self._back(record)
            elif row.event in _OVER:
                self._ended(record)

    def _stored(self, shard: Shard, r: Row) -> None:
        serial = serial_of(r.m.id)
        if self._marks[serial] & STORED:
            self.broken(f"{r.m.id} was stored twice")
        if shard_of_id(r.m.id) != shard.number:
            self.broken(f"{r.m.id} is in shard {shard.number}")
        self._marks[serial] |= STORED
        self.live[r.m.id] = self._clock()
        if r.once and r.once.scope == "until_executed" and not r.mirrors:
            holder = self._holders.setdefault(r.once.key, r.m.id)
            if holder != r.m.id:
                self.broken(f"{r.m.id} has the once-key {r.once.key} of {holder}, which lives")

    def _started(self, shard: Shard, r: Row, row: AuditRow) -> None:
        if row.fence <= self._fences[shard.number]:
            self.broken(f"shard {shard.number} gave fence {row.fence} after a greater one")
        self._fences[shard.number] = row.fence
        if self._clock() < self._due.pop(r.m.id, 0):
            self.broken(f"{r.m.id} was started before it was due")
        if r.m.id not in self.live:
            self.broken(f"{r.m.id} was started after its ending")
        if r.once is None:
            return
        key = r.once.key
        if row.fence <= self._fence_of_key.get(key, 0):
            self.broken(f"{r.m.id} of key {key} got fence {row.fence} after a greater one")
        self._fence_of_key[key] = row.fence
        if self._running.setdefault(key, r.m.id) != r.m.id:
            self.broken(f"{r.m.id} runs beside {self._running[key]}, of the same key {key}")

    def _back(self, r: Row) -> None:
        self._let_go(r, self._running)
        if r.due is not None:
            self._due[r.m.id] = r.due

    def _ended(self, r: Row) -> None:
        serial = serial_of(r.m.id)
        if self._marks[serial] & ENDED:
            self.broken(f"{r.m.id} ended twice")
        self._marks[serial] |= ENDED
        self.live.pop(r.m.id, None)
        self._due.pop(r.m.id, None)
        self._let_go(r, self._running)
        self._let_go(r, self._holders)
        copied = r.mirrors or r.m.queue == LETTERS
        expected = None if copied else b"%s:%d" % (r.m.id.encode(), r.committed_fence)
        if r.state == State.SUCCEEDED and expected not in {None, r.result}:
            self.broken(f"{r.m.id} has the result {r.result!r}, which no claim of it committed")

    @staticmethod
    def _let_go(r: Row, table: dict[str, str]) -> None:
        if r.once and table.get(r.once.key) == r.m.id:
            del table[r.once.key]

    # Bodies ---------------------------------------------------------------------------------------

    def guarded(self, shard: Shard, claim: Claim) -> None:
        """A body writes to what its once-key guards, with its fence."""
        if claim.once_key is None:
            return
        if claim.fence >= self._guards.get(claim.once_key, 0):
            self._guards[claim.once_key] = claim.fence
            return
        record = shard.model.recs.get(claim.id)
        if record is not None and record.state == State.RUNNING and record.fence == claim.fence:
            self.broken(f"{claim.id} holds {claim.once_key}, and its guarded write was refused")
        self.counts["guarded write refused"] = self.counts.get("guarded write refused", 0) + 1

    def collected(self, claim: Claim) -> None:
        """A body got what its parents left: one input of each, with the result of that parent."""
        wanted = claim.payload.decode().split()[1:]
        got = [i.parent for i in claim.inputs]
        if wanted != got or not all(i.ok and i.value for i in claim.inputs):
            self.broken(f"{claim.id} was given {got}, not {wanted}")

    # At the end -----------------------------------------------------------------------------------

    def close(self, shards: list[Shard]) -> None:
        """Everything is over: nothing is lost, and nothing is left behind."""
        for at in self.live:
            self.broken(f"{at} has not ended")
        for serial, mark in enumerate(self._marks):
            # 0: refused, or in doubt and not stored; 3: in doubt, or of a workflow or a schedule.
            if mark not in {0, STORED | ENDED, STORED | ENDED | ACKNOWLEDGED}:
                self.broken(f"message {serial:x} was acknowledged and is not over: {mark}")
        for shard in shards:
            model = shard.model
            left = [r.m.id for r in model.recs.values() if r.state not in FINAL_STATES]
            locks = [name for name in model.lock_table if model._lock_of(name) is not None]
            if left or locks or any(model.parked.values()) or shard.letters():
                self.broken(f"shard {shard.number} still has {left[:3]}, the locks {locks[:3]}")

    @property
    def stored(self) -> int:
        """How many messages all shards have stored."""
        return self.counts.get(Ev.ENQUEUED, 0)
