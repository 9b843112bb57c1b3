"""Lone calls, which a store may keep apart until somebody looks, and what comes right behind them.

Between two rules everything is looked at, so that what has to happen before anybody looks happens
in one rule here.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, rule

from property_tests.agreement import strategies as some
from property_tests.agreement.invariants import Invariants
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import Kind, Message, OnceLock, State
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from tests.store.driver import kind as kind_of_calls

__all__ = ["Inboxes"]

ALL = v.ClaimRequest(queues=some.QUEUES, limit=9)


def _kind_of(message: Message) -> Kind:
    return Kind(**{name: getattr(message, name) for name in Kind.__struct_fields__})


class Inboxes(Invariants):
    """The rules about lone calls; `Agreement` has the rest."""

    claims = Bundle("claims")

    @rule(drawn=some.few_ids, payload=some.payloads, priority=st.integers(0, 1))
    def enqueue_plain(self, drawn: list[str], payload: bytes, priority: int) -> None:
        if len(drawn) == 1 and not priority and drawn[0] in self.model.recs:
            return  # what nobody looks for has an id that nobody has used
        self.may_revive, count = True, len(drawn)
        calls = kind_of_calls(task="t1", queue="q1", priority=priority), drawn, [payload] * count
        expected = self.model.enqueue(v.batch_of(*calls)).receipts
        receipts = self.store.enqueue_plain(*calls)
        created = {r.kind for r in expected} == {v.ReceiptKind.CREATED}
        assert receipts == expected or (created and receipts == ())

    def _post(self, message: Message) -> None:
        """A producer calls a task, by an id that nobody has used."""
        self.model.enqueue(v.Batch(messages=(message,)))
        self._leave(message)

    def _leave(self, message: Message) -> None:
        ids, payloads = [message.id], [message.payload]
        receipts = self.store.enqueue_plain(_kind_of(message), ids, payloads)
        assert receipts in ((), (v.Receipt(id=message.id),))

    def _new_id(self) -> str:
        """One that nobody has used: those that all rules share are soon taken."""
        self.ids += (f"m{len(self.ids)}",)
        return self.ids[-1]

    def _posted(self, queues: list[str]) -> list[Message]:
        posted = [
            Message(id=i, task="t1", queue=queue, payload=i.encode())
            for i, queue in [(self._new_id(), queue) for queue in queues]
        ]
        for message in posted:
            self._post(message)
        return posted

    @rule(message_id=st.sampled_from(some.IDS), claims=st.booleans(), queues=some.inboxes)
    def post_late(self, message_id: str, claims: bool, queues: list[str]) -> None:
        """What a producer sent that was taken for lost arrives when it has sent it again."""
        known = self.model.recs.get(message_id)
        if known is None or not self._has_inboxes:
            return
        self._leave(Message(id=message_id, task="t1", queue="q1", payload=b"late"))
        self.model._add_row(v.AuditEvent.DUPLICATE, message_id, "")
        self._posted(queues)
        if claims:
            self._machine._exchange("s1", (), v.ClaimRequest(queues=("q1",), limit=2))

    @rule(queues=some.inboxes, then=st.sampled_from(("read", "find", "counts", "wait")))
    def post_and_look(self, queues: list[str], then: str) -> None:
        """The first to look is not always the same."""
        posted = self._posted(queues)
        match then:
            case "read":
                ids = [r and r.id for r in self.model.read(self.ids)]
                assert [r and r.id for r in self.store.read(self.ids)] == ids
            case "find":
                query = v.MessageQuery(state=State.QUEUED, queue="q1")
                ours = {r.id for r in self.model.find(query)}
                assert {r.id for r in self.store.find(query)} == ours
            case "counts":
                assert self.store.counts() == self.model.counts()
            case "wait":
                assert self.store.read_ended(posted[0].id, 0.001) is None

    @rule(
        target=claims,
        queues=some.inboxes,
        session=st.sampled_from(some.SESSIONS),
        limit=st.integers(1, 3),
        waits=st.booleans(),
        cut=st.booleans(),
    )
    def post_and_claim(
        self, queues: list[str], session: str, limit: int, waits: bool, cut: bool
    ) -> Any:
        """They are handed over, perhaps to one that is not heard of again."""
        posted = self._posted(queues)
        if cut and isinstance(self.store, RedisStore):
            self.store._waiting.for_work([posted[0].queue], 0.001, -1)
        want = v.ClaimRequest(queues=some.QUEUES, limit=limit)
        return self._machine._exchange(session, (), want, waits=waits)

    @rule(
        target=claims,
        data=st.data(),
        queues=some.inboxes,
        behind=st.sampled_from(("twice", "again", "plain", "urgent", "once", "fire", "release")),
        limit=st.sampled_from((2, 9)),
    )
    def post_and_queue(
        self, data: st.DataObject, queues: list[str], behind: str, limit: int
    ) -> Any:
        """What is queued behind them stays behind them; and one may be stored twice."""
        posted, machine = self._posted(queues), self._machine
        shared: dict[str, Any] = {"id": self._new_id(), "task": "t1", "queue": "q1"}
        match behind:
            case "twice" if self._has_inboxes:  # both come before anybody looks, who sees both
                self._leave(posted[-1])
                return machine._exchange("s1", (), ALL)
            case "again":  # as a producer does that lost the reply
                machine._enqueue(v.Batch(messages=(data.draw(st.sampled_from(posted)),)))
            case "plain":
                machine._enqueue(v.Batch(messages=(Message(**shared),)))
            case "urgent":
                machine._enqueue(v.Batch(messages=(Message(**shared, priority=3),)))
            case "once":
                machine._enqueue(v.Batch(messages=(Message(**shared, once=OnceLock("k1")),)))
            case "fire":
                machine.fire(data, 1, some.NOW)
            case "release":
                machine.release_lock("k1", data.draw(st.sampled_from(some.IDS)))
        return machine._exchange("s1", (), v.ClaimRequest(queues=some.QUEUES, limit=limit))

    @rule(target=claims, queues=some.inboxes)
    def post_when_something_is_due(self, queues: list[str]) -> Any:
        """It is promoted by who claims, and stays behind what was posted before that."""
        due = Message(id=self._new_id(), task="t1", queue=queues[0], delay_ms=1)
        self._machine._enqueue(v.Batch(messages=(due,)))
        self._machine.now += 1
        self._posted(queues)
        return self._machine._exchange("s1", (), ALL)

    @rule(
        target=claims,
        data=st.data(),
        queues=some.inboxes,
        then=st.sampled_from(("commit", "close", "reap", "replay")),
        limit=st.sampled_from((2, 9)),
    )
    def post_and_go_back(
        self, data: st.DataObject, queues: list[str], then: str, limit: int
    ) -> Any:
        """What a worker gives back, or what is taken from it, is queued again."""
        machine = self._machine
        machine._exchange("s2", (), v.ClaimRequest(queues=some.QUEUES, limit=1))
        self._posted(queues)
        running = [r for r in self.model.recs.values() if r.session == "s2"]
        match then:
            case "commit":
                outcomes: st.SearchStrategy[oc.Outcome] = st.sampled_from(
                    (oc.Retry(), oc.Rejected(requeue=True), oc.Failed())
                )
                commits = [
                    v.Commit(id=r.m.id, fence=r.fence, outcome=data.draw(outcomes)) for r in running
                ]
                machine._exchange("s2", commits, None)
            case "close":
                machine.close_session("s2")
            case "reap":
                machine.reap(["s2"])
            case "replay":
                machine.replay(list(self.ids))
        machine.open_session("s2")
        return machine._exchange("s1", (), v.ClaimRequest(queues=some.QUEUES, limit=limit))

    @rule(
        queues=some.inboxes,
        then=st.sampled_from(("revoke", "purge", "drop")),
        ids=some.id_lists,
    )
    def post_and_end(self, queues: list[str], then: str, ids: list[str]) -> None:
        """An operator ends them before anybody has looked."""
        posted = [message.id for message in self._posted(queues)]
        match then:
            case "revoke":
                self._machine.revoke([*ids, *posted[1:]], None)
            case "purge":
                self._machine.purge("q1", 2)
            case "drop":
                self._machine.drop([*ids, *posted[1:]])

    @property
    def _has_inboxes(self) -> bool:
        return isinstance(self.store, RedisStore) and self.store.options.audit != "all"

    @property
    def _machine(self) -> Any:
        return self  # which has the other rules
