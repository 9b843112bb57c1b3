"""What a store and the reference model have in common, and what never happens in either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from property_tests.agreement import strategies as some
from reliable_tasks.core.message import FINAL_STATES, Kind, State
from reliable_tasks.store import values as v

if TYPE_CHECKING:
    from property_tests.model.model import Model
    from reliable_tasks.store.protocol import Store

__all__ = ["Invariants", "without_kinds"]

_ONLY_OF_KINDS = {"result_ttl_ms", "failure_ttl_ms"}  # claims do not have these


def without_kinds(claims: tuple[v.Claim, ...]) -> tuple[v.Claim, ...]:
    """The claims without their kinds, which are the store's own, and say what the claims say."""
    for claim in claims:
        if claim.kind is not None:
            for name in set(Kind.__struct_fields__) - _ONLY_OF_KINDS:
                assert getattr(claim.kind, name) == getattr(claim, name), (name, claim)
            assert (claim.once_key, claim.limit_failure) == (None, None)
            assert (claim.inputs, claim.oversize) == ((), 0)
    return tuple(msgspec.structs.replace(claim, kind=None) for claim in claims)


class Invariants(RuleBasedStateMachine):
    """What is compared after each step.

    Attributes:
        ids: of the messages that are looked at.
        fences: by the model's, those of the store.
        outlasting: messages whose once-lock outlives them by design.
    """

    model: Model
    store: Store
    ids: tuple[str, ...]
    fences: dict[int, int]
    versions: dict[str, tuple[int, int]]
    finals: dict[str, tuple[Any, ...]]
    may_revive: bool
    outlasting: set[str]

    # What can be read is the same

    @invariant()
    def records_agree(self) -> None:
        ours = self.model.read(self.ids, full=True)
        theirs = self.store.read(self.ids, full=True)
        for message_id, a, b in zip(self.ids, ours, theirs, strict=True):
            if a is None or b is None:
                assert a is b, message_id
                self.versions.pop(message_id, None)
                continue
            self._versions_move_together(a, b)
            fence = self.fences.get(a.fence, -1)
            assert b == msgspec.structs.replace(a, fence=fence, version=b.version)

    def _versions_move_together(self, a: v.Record, b: v.Record) -> None:
        before = self.versions.get(a.id, (-1, -1))
        assert (a.version != before[0]) <= (b.version != before[1]), a.id
        self.versions[a.id] = a.version, b.version

    @invariant()
    def readers_agree(self) -> None:
        assert self.store.counts() == self.model.counts()
        assert self.store.sessions() == self.model.sessions()
        assert self.store.entries() == self.model.entries()
        without = [msgspec.structs.replace(lock, fence=0) for lock in self.store.locks()]
        assert without == [msgspec.structs.replace(lock, fence=0) for lock in self.model.locks()]
        for session in some.SESSIONS:
            held = without_kinds(self.store.held(session))
            assert held == self._mapped_claims(self.model.held(session))

    @invariant()
    def trails_agree(self) -> None:
        ours, theirs = self.model.trail, self.store.audit(v.AuditQuery(limit=10_000))
        assert [self._bare(row, self.fences) for row in ours] == [self._bare(row) for row in theirs]
        assert len({row.seq for row in theirs}) == len(theirs)
        for message_id in some.IDS:
            of_one = self.store.audit(v.AuditQuery(id=message_id))
            assert of_one == tuple(row for row in theirs if row.id == message_id)
            assert self.store.audit_cut(message_id) == self.model.audit_cut(message_id)

    @staticmethod
    def _bare(row: v.AuditRow, fences: dict[int, int] | None = None) -> v.AuditRow:
        fence = row.fence if fences is None else fences.get(row.fence, -1)
        return msgspec.structs.replace(row, seq="", fence=fence)

    @rule(
        state=st.sampled_from((None, *State)),
        queue=st.sampled_from((None, "q1")),
        dead=st.booleans(),
        session=st.sampled_from((None, "s1")),
    )
    def find_agrees(
        self, state: State | None, queue: str | None, dead: bool, session: str | None
    ) -> None:
        query = v.MessageQuery(state=state, queue=queue, dead=dead, session=session, limit=2)
        ours = sorted(r.id for r in v.every_of(self.model.find, query))
        assert sorted(r.id for r in v.every_of(self.store.find, query)) == ours

    # What must never happen, whatever the model says

    @invariant()
    def ended_stays_ended(self) -> None:
        ended = {
            r.id: (r.state, r.reason, r.result, r.failure, r.ended_ms)
            for r in self.store.read(self.ids)
            if r is not None and r.state in FINAL_STATES
        }
        if not self.may_revive:
            for message_id, before in self.finals.items():
                assert ended.get(message_id, before) == before
        self.finals, self.may_revive = ended, False

    @invariant()
    def one_live_claim_each(self) -> None:
        records = [r for r in self.store.read(self.ids) if r is not None]
        running = [r for r in records if r.state == State.RUNNING]
        assert all(r.session for r in running)
        assert not any(r.session for r in records if r.state != State.RUNNING)
        assert len({r.fence for r in running}) == len(running)

    @invariant()
    def no_lock_without_its_message(self) -> None:
        for r in self.model.recs.values():
            if r.once is not None and r.once.scope == "until_expired":
                self.outlasting.add(r.m.id)
        for lock in self.store.locks():
            if lock.owner not in self.outlasting:
                (owner,) = self.store.read([lock.owner])
                assert owner is not None, lock
                assert owner.state not in FINAL_STATES, lock

    @invariant()
    def nobody_waits_for_two_keys(self) -> None:
        for name, behind in self.model.parked.items():
            assert len(set(behind)) == len(behind), name
            assert all(self.model.recs[i].parked == name for i in behind), name

    def _mapped_claims(self, claims: tuple[v.Claim, ...]) -> tuple[v.Claim, ...]:
        return tuple(msgspec.structs.replace(c, fence=self.fences[c.fence]) for c in claims)
