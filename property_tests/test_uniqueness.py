"""What a once-key promises, whatever happens: each scope with each policy through every ending.

One task with one scope and one policy; its messages are enqueued, claimed, ended in every way, lost
with their workers and left to time. Both stores and the model live through the same, give the same
receipts, and at every step the promise of the scope holds, told here without the model's help.
"""

import contextlib
import os
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from property_tests.agreement.strategies import NOW, POLICIES, SCOPES
from property_tests.model.model import Model
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import LIVE_STATES, Message, OnceLock, State
from reliable_tasks.store import values as v
from tests.store.factories import FACTORIES

LONG = os.environ.get("RELIABLE_TASKS_PROFILE", "ci") != "ci"
PROFILE = settings(
    max_examples=400 if LONG else 6,
    stateful_step_count=60 if LONG else 25,
    deadline=None,
    database=None,
    derandomize=not LONG,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
LEASE_MS, TIMEOUT_MS = 20_000, 100_000
WANT = v.ClaimRequest(queues=("celery",), limit=1)
OUTCOMES: dict[str, oc.Outcome] = {
    "succeeded": oc.Succeeded(result=b"r"),
    "failed": oc.Failed(failure=b"f"),
    "retry": oc.Retry(delay_ms=1000),
    "released": oc.Released(),
    "doomed": oc.KilledAtLimit(failure=b"f"),
    "ignored": oc.Ignored(),
    "rejected": oc.Rejected(),
    "requeued": oc.Rejected(requeue=True),
    "terminated": oc.Revoked(),
}


class Uniqueness(RuleBasedStateMachine):
    """One once-task on three stores at once."""

    scope: ClassVar[str]
    policy: ClassVar[str]

    @initialize()
    def begin(self) -> None:
        self.now, self.stack = NOW, contextlib.ExitStack()
        timeout_ms = TIMEOUT_MS if self.scope == "until_expired" else 0
        self.once = OnceLock("key", self.scope, self.policy, timeout_ms)
        options = v.StoreOptions(audit="all")
        self.stores: list[Any] = [Model(lambda: self.now, options)]
        self.stores += [
            self.stack.enter_context(FACTORIES[name](options, lambda: self.now))
            for name in ("memory", "redis")
        ]
        self.ids: list[str] = []
        self.claims: list[list[v.Claim]] = []
        self.sessions = 0
        self._open()

    def teardown(self) -> None:
        if not hasattr(self, "stack"):
            return
        try:
            self._finish()
        finally:
            self.stack.close()

    def _open(self) -> None:
        self.sessions += 1
        self.session = f"s{self.sessions}"
        for store in self.stores:
            store.open_session(v.SessionInfo(id=self.session, worker="w@h"), LEASE_MS)

    def _same(self, *answers: Any) -> Any:
        assert all(answer == answers[0] for answer in answers[1:]), answers
        return answers[0]

    # What happens

    @rule(
        joins=st.booleans(),
        delay_ms=st.sampled_from((0, 0, 5000)),
        expires_in_ms=st.sampled_from((None, None, 30_000)),
    )
    def enqueue(self, joins: bool, delay_ms: int, expires_in_ms: int | None) -> None:
        message = Message(
            id=f"m{len(self.ids)}",
            task="t",
            once=self.once,
            payload=str(len(self.ids)).encode(),
            joins_duplicate=joins,
            delay_ms=delay_ms,
            expires_in_ms=expires_in_ms,
            max_deliveries=2,
        )
        held = bool(self.stores[0].locks("key"))
        batch = v.Batch(messages=(message,))
        (receipt,) = self._same(*(store.enqueue(batch) for store in self.stores)).receipts
        if receipt.kind in {v.ReceiptKind.DUPLICATE, v.ReceiptKind.REPLACED}:
            assert held, "nobody but a holder makes it a duplicate"
        if not held and self.scope != "while_executing":
            assert receipt.kind == v.ReceiptKind.CREATED, "a free key is to be had"
        self.ids.append(message.id)

    @rule()
    def claim(self) -> None:
        replies = [store.exchange(self.session, (), WANT).claims for store in self.stores]
        self._same(*([c.id for c in claims] for claims in replies))
        self.claims.extend(list(claims) for claims in zip(*replies, strict=True))

    @precondition(lambda self: bool(getattr(self, "claims", ())))
    @rule(data=st.data(), name=st.sampled_from(sorted(OUTCOMES)))
    def end(self, data: st.DataObject, name: str) -> None:
        which = data.draw(st.integers(0, len(self.claims) - 1))
        verdicts = []
        for store, claim in zip(self.stores, self.claims.pop(which), strict=True):
            commit = v.Commit(id=claim.id, fence=claim.fence, outcome=OUTCOMES[name])
            verdicts.append(store.exchange(self.session, (commit,), None).verdicts)
        self._same(*verdicts)

    @precondition(lambda self: bool(getattr(self, "ids", ())))
    @rule(data=st.data(), terminate=st.booleans())
    def revoke(self, data: st.DataObject, terminate: bool) -> None:
        which = data.draw(st.sampled_from(self.ids))
        self._same(*(store.revoke([which], terminate=terminate) for store in self.stores))

    @rule()
    def worker_dies(self) -> None:
        self.now += LEASE_MS
        self._same(*(store.reap() for store in self.stores))
        self._open()

    @rule(ms=st.sampled_from((1000, 5000, 30_000, TIMEOUT_MS)))
    def time_passes(self, ms: int) -> None:
        self.now += ms
        for store in self.stores:
            store.heartbeat([self.session], LEASE_MS)
            store.reap()
        self._open()

    @rule()
    def purge(self) -> None:
        self._same(*(store.purge("celery") for store in self.stores))

    @precondition(lambda self: bool(getattr(self, "ids", ())))
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        which = data.draw(st.sampled_from(self.ids))
        self._same(*(store.replay([which]) for store in self.stores))

    # What is promised

    def _live(self) -> list[v.Record]:
        """The records of live messages that are nobody's mirror, the same on each store."""
        found = [[r for r in store.read(self.ids) if r is not None] for store in self.stores]
        self._same(*([(r.id, r.state, r.reason) for r in records] for records in found))
        return [r for r in found[0] if r.state in LIVE_STATES and not r.mirrors]

    @invariant()
    def the_scope_holds(self) -> None:
        if not hasattr(self, "stores"):
            return
        live = self._live()
        running = [r for r in live if r.state == State.RUNNING]
        admitted = [r for r in live if r.state != State.WAITING]
        unclaimed = [r for r in admitted if r.fence == 0]
        if self.scope == "until_executed":
            assert len(admitted) <= 1, admitted
            assert [lock.owner for lock in self.stores[1].locks()] == [r.id for r in admitted]
        if self.scope in {"until_executing", "until_and_while_executing"}:
            assert len(unclaimed) <= 1, unclaimed
        if self.scope in {"while_executing", "until_and_while_executing"}:
            assert len(running) <= 1, running

    @invariant()
    def no_key_is_held_by_the_dead(self) -> None:
        if not hasattr(self, "stores") or self.scope == "until_expired":
            return
        alive = {r.id for r in self._live()}
        for store in self.stores:
            assert {lock.owner for lock in store.locks()} <= alive

    def _finish(self) -> None:
        """Whatever has happened, all that is left comes to an end, and the key is free."""
        for _ in range(4 * len(self.ids) + 8):
            self.now += TIMEOUT_MS
            for store in self.stores:
                while store.reap().more:
                    pass
            self._open()
            for store in self.stores:
                for claim in store.exchange(self.session, (), WANT).claims:
                    commit = v.Commit(id=claim.id, fence=claim.fence, outcome=oc.Succeeded())
                    store.exchange(self.session, (commit,), None)
        assert self._live() == [], "nobody waits for ever"
        self.now += TIMEOUT_MS
        for store in self.stores:
            store.reap()
            assert store.locks() == ()


def machine_of(scope: str, policy: str) -> type[Uniqueness]:
    """The machine for one scope with one answer to a conflict."""
    return type(f"{scope}_{policy}", (Uniqueness,), {"scope": scope, "policy": policy})


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("scope", SCOPES)
def test_the_promise_of_a_scope_holds_through_every_ending(scope: str, policy: str) -> None:
    run_state_machine_as_test(machine_of(scope, policy), settings=PROFILE)
