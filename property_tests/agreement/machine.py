"""What a store answers, held against what the model answers, on any trace.

Both get the same calls by one virtual clock; all that can be read is compared after each.
"""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, multiple, rule

from property_tests.agreement import strategies as some
from property_tests.agreement.inboxes import Inboxes
from property_tests.agreement.invariants import without_kinds
from property_tests.agreement.turns import Turns, process_of
from property_tests.model.model import Model
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import FINAL_STATES, Edge, Message, On, OnceLock, State
from reliable_tasks.errors import StoreError
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import Clock, Store
from tests.store.factories import FACTORIES

Opener = Callable[[v.StoreOptions, Clock], AbstractContextManager[Store]]
BOGUS_FENCE = 1 << 40
LEASE_MS = 20_000


class Agreement(Turns, Inboxes):
    """A store and the model, side by side."""

    opener: ClassVar[Opener]
    claims = Inboxes.claims

    @initialize(target=claims, data=st.data(), options=some.options)
    def begin(self, data: st.DataObject, options: v.StoreOptions) -> Any:
        self.now, self.ids = some.NOW, some.IDS
        self.stack = contextlib.ExitStack()
        self.model = Model(lambda: self.now, options)
        self.store = self.stack.enter_context(type(self).opener(options, lambda: self.now))
        self.fences = {0: 0, BOGUS_FENCE: BOGUS_FENCE}
        self.versions: dict[str, tuple[int, int]] = {}
        self.finals: dict[str, tuple[Any, ...]] = {}
        self.may_revive = False
        self.outlasting: set[str] = set()  # messages whose once-lock outlives them by design
        for session in some.SESSIONS[:2]:
            self.open_session(session)
        self.put_entry(paused=False, version=None, next_ms=some.NOW, slots=(0, 0))
        two = st.tuples(some.messages(self.now), some.messages(self.now))
        drawn = data.draw(st.one_of(two, some.graphs(self.now, some.IDS[:4])))
        self._enqueue(v.Batch(messages=(*drawn, Message(id="f", task="t1", queue="q1"))))
        return self._exchange("s1", (), v.ClaimRequest(queues=some.QUEUES, limit=2))

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    # Producers

    def _enqueue(self, batch: v.Batch) -> None:
        self.may_revive = True
        try:
            expected = self.model.enqueue(batch)
        except StoreError:
            with pytest.raises(StoreError):
                self.store.enqueue(batch)
        else:
            assert self.store.enqueue(batch) == expected

    @rule(data=st.data(), once=st.booleans(), size=st.integers(1, 3), kept=st.booleans())
    def enqueue(self, data: st.DataObject, once: bool, size: int, kept: bool) -> None:
        drawn = [data.draw(some.messages(self.now, once)) for _ in range(size)]
        self._enqueue(v.Batch(messages=tuple(drawn), keep_ended=kept))

    @rule(data=st.data(), once=some.once_locks)
    def enqueue_again(self, data: st.DataObject, once: OnceLock) -> None:
        """The id of one that has ended, perhaps with a key that another one holds."""
        if ended := [r.m.id for r in self.model.recs.values() if r.state in FINAL_STATES]:
            message_id = data.draw(st.sampled_from(ended))
            again = Message(id=message_id, task="t1", queue="q1", once=once, token=str(self.now))
            self._enqueue(v.Batch(messages=(again,)))

    @rule(message_id=st.sampled_from(some.IDS), span=st.sampled_from((0, 29_999, 30_000)))
    def enqueue_again_and_again(self, message_id: str, span: int) -> None:
        for x in "wxyz":
            again = (Message(id=message_id, task="t1", queue="q1", token=x),)
            self._enqueue(v.Batch(messages=again, keep_ended=True))
            self.now += span

    @rule(data=st.data())
    def enqueue_graph(self, data: st.DataObject) -> None:
        self._enqueue(v.Batch(messages=data.draw(some.graphs(self.now))))

    @rule(policy=st.sampled_from(("reschedule", "rerun", "raise")), joins=st.booleans())
    def enqueue_errback(self, policy: str, joins: bool) -> None:
        """One that a failure needs, and that has to wait for its once-key as well."""
        recs = self.model.recs
        gone = [i for i in some.IDS if i not in recs or recs[i].state in FINAL_STATES]
        if len(gone) < 3:
            return
        holder, parent, child = gone[:3]
        edges, once = (Edge(child, On.FAILURE, 0),), OnceLock(some.KEYS[1], on_conflict=policy)
        shared: dict[str, Any] = {"task": "t1", "queue": "q1", "token": str(self.now)}
        for message in (
            Message(id=holder, once=OnceLock(some.KEYS[1]), **shared),
            Message(id=parent, edges=edges, **shared),
            Message(id=child, waits=1, once=once, joins_duplicate=joins, **shared),
        ):
            self._enqueue(v.Batch(messages=(message,)))
        self.revoke([parent, holder], None)

    @rule(message_id=st.sampled_from(some.IDS))
    def enqueue_a_first_part(self, message_id: str) -> None:
        first = Message(id=message_id, task="t1", queue="q1", token=f"part {self.now}")
        self._enqueue(v.Batch(messages=(first,), stage=some.STAGES[0]))

    @rule(data=st.data(), stage=st.sampled_from(some.STAGES), seal=st.booleans())
    def enqueue_staged(self, data: st.DataObject, stage: str, seal: bool) -> None:
        drawn = data.draw(st.one_of(st.just(()), some.graphs(self.now)))
        after = data.draw(st.sampled_from((None, None, None, None, *some.IDS[:3])))
        self._enqueue(v.Batch(messages=drawn, stage=stage, seal=seal, after=after))

    @rule(ids=some.id_lists, signal=st.sampled_from((None, "SIGTERM", "SIGKILL")))
    def revoke(self, ids: list[str], signal: str | None) -> None:
        terminate, name = signal is not None, signal or "SIGTERM"
        found = self.store.revoke(ids, terminate=terminate, signal=name)
        assert found == self.model.revoke(ids, terminate=terminate, signal=name)

    # Workers

    @rule(session=st.sampled_from(some.SESSIONS))
    def open_session(self, session: str) -> None:
        if session not in self.model.session_table:
            info = process_of(session)
            self.store.open_session(info, LEASE_MS)
            self.model.open_session(info, LEASE_MS)

    @rule(session=st.sampled_from(some.SESSIONS))
    def close_session(self, session: str) -> None:
        assert self.store.close_session(session) == self.model.close_session(session)

    @rule(sessions=st.lists(st.sampled_from(some.SESSIONS), max_size=3, unique=True))
    def heartbeat(self, sessions: list[str]) -> None:
        expected = self.model.heartbeat(sessions, LEASE_MS)
        commands = tuple(
            msgspec.structs.replace(c, fence=self.fences[c.fence]) for c in expected.commands
        )
        beat = self.store.heartbeat(sessions, LEASE_MS)
        assert beat == v.Heartbeat(lost=expected.lost, commands=commands, now_ms=self.now)

    @rule(
        target=claims,
        session=st.sampled_from(some.SESSIONS),
        queues=st.sampled_from((("q1",), ("q2",), ("q1", "q2"), ("q2", "q1"))),
        limit=st.integers(0, 3),
    )
    def claim(self, session: str, queues: tuple[str, ...], limit: int) -> Any:
        return self._exchange(session, (), v.ClaimRequest(queues=queues, limit=limit))

    @rule(
        target=claims,
        data=st.data(),
        taken=st.lists(claims, min_size=1, max_size=3),
        session=st.sampled_from(some.SESSIONS),
        want=st.booleans(),
        bogus=st.sampled_from((False, False, False, True)),
    )
    def commit(
        self,
        data: st.DataObject,
        taken: list[tuple[str, int]],
        session: str,
        want: bool,
        bogus: bool,
    ) -> Any:
        commits = [
            v.Commit(id=i, fence=fence, outcome=data.draw(some.outcomes(self.now, i)))
            for i, fence in taken
        ]
        if bogus:
            commits.insert(0, msgspec.structs.replace(commits[0], fence=BOGUS_FENCE))
        return self._exchange(
            session, commits, v.ClaimRequest(queues=some.QUEUES, limit=2) if want else None
        )

    @rule(
        target=claims,
        data=st.data(),
        session=st.sampled_from(some.SESSIONS[:2]),
        fence=st.sampled_from(("right", "right", "right", "older", "bogus")),
    )
    def work(self, data: st.DataObject, session: str, fence: str) -> Any:
        """As a worker does: commit something that runs, perhaps by a wrong fence, and go on."""
        running = [r for r in self.model.recs.values() if r.state == State.RUNNING][:2]
        fences = {"bogus": BOGUS_FENCE, "older": min(self.fences)}
        commits = [
            v.Commit(
                id=r.m.id,
                fence=fences.get(fence, r.fence),
                outcome=data.draw(some.outcomes(self.now, r.m.id)),
            )
            for r in running
        ]
        return self._exchange(session, commits, v.ClaimRequest(queues=some.QUEUES, limit=2))

    @rule(
        target=claims,
        data=st.data(),
        session=st.sampled_from(some.SESSIONS[:2]),
        scope=st.sampled_from(("until_executed", "until_executed", "until_expired")),
        revoke=st.booleans(),
    )
    def replace(self, data: st.DataObject, session: str, scope: str, revoke: bool) -> Any:
        """One that runs is replaced by others, of which some have its once-key."""
        recs = self.model.recs
        gone = [i for i in some.IDS if i not in recs or recs[i].state in FINAL_STATES]
        once = OnceLock(some.KEYS[1], scope)
        if gone:
            new = Message(id=gone.pop(), task="t1", queue="q1", once=once, token=str(self.now))
            self._enqueue(v.Batch(messages=(new,)))
            self._exchange(session, (), v.ClaimRequest(queues=some.QUEUES, limit=9))
        running = [r for r in recs.values() if r.state == State.RUNNING and r.once is not None]
        ids = [*gone, *(f"{name} {self.now}" for name in "xyz")]
        commits = [
            v.Commit(
                id=r.m.id,
                fence=r.fence,
                outcome=data.draw(some.replacements_in_kind(self.now, r.m.id, ids, r.once)),
            )
            for r in running[-1:]
        ]
        claimed = self._exchange(session, commits, v.ClaimRequest(queues=some.QUEUES, limit=2))
        if revoke:
            self.revoke([c.id for c in commits], None)
        return claimed

    @rule(
        target=claims,
        taken=st.lists(claims, min_size=1, max_size=4),
        session=st.sampled_from(some.SESSIONS[:2]),
        result=st.sampled_from((b"", b"x", b"[1]")),
    )
    def succeed(self, taken: list[tuple[str, int]], session: str, result: bytes) -> Any:
        """As a worker does most of the time, if a late one for some of what it had."""
        commits = [
            v.Commit(id=i, fence=fence, outcome=oc.Succeeded(result=result))
            for i, fence in dict(taken).items()
        ]
        return self._exchange(session, commits, v.ClaimRequest(queues=some.QUEUES, limit=2))

    @rule(session=st.sampled_from(some.SESSIONS))
    def succeed_by_a_wrong_fence(self, session: str) -> None:
        """As a worker does that has lost all that runs now."""
        running = [r.m.id for r in self.model.recs.values() if r.state == State.RUNNING]
        late = oc.Succeeded(result=b"late")
        commits = [v.Commit(id=i, fence=BOGUS_FENCE, outcome=late) for i in running]
        self._exchange(session, commits, None)

    def _exchange(  # `waits` where something is there, or it would wait
        self, session: str, commits: Sequence[v.Commit], want: Any, *, waits: bool = False
    ) -> Any:
        self.may_revive = True  # a replacement may take the id of one that has ended
        expected = self.model.exchange(session, commits, want)
        mapped = [msgspec.structs.replace(c, fence=self.fences[c.fence]) for c in commits]
        exchange = self.store.exchange
        reply = (
            self.store.wait_then_claim(session, want, 0.001)
            if waits
            else exchange(session, mapped, want)
        )
        for ours, theirs in zip(expected.claims, reply.claims, strict=False):
            assert theirs.fence > max(f for f in self.fences.values() if f != BOGUS_FENCE)
            self.fences[ours.fence] = theirs.fence
        reply = msgspec.structs.replace(reply, claims=without_kinds(reply.claims))
        assert reply == self._mapped_reply(expected)
        return multiple(*((c.id, c.fence) for c in expected.claims))

    def _mapped_reply(self, reply: v.Exchange) -> v.Exchange:
        return msgspec.structs.replace(reply, claims=self._mapped_claims(reply.claims))

    @rule(taken=claims, bogus=st.booleans(), meta=st.sampled_from((b"", b"\xff")))
    def report(self, taken: tuple[str, int], bogus: bool, meta: bytes) -> None:
        message_id, fence = taken[0], BOGUS_FENCE if bogus else taken[1]
        verdict = self.store.report(message_id, self.fences[fence], "BUSY", meta)
        assert verdict == self.model.report(message_id, fence, "BUSY", meta)

    @rule(
        taken=claims,
        bogus=st.booleans(),
        name=st.sampled_from(("one", "two")),
        value=st.sampled_from((None, b"", b"\xff")),
    )
    def step(self, taken: tuple[str, int], bogus: bool, name: str, value: bytes | None) -> None:
        message_id, fence = taken[0], BOGUS_FENCE if bogus else taken[1]
        reply = self.store.step(message_id, self.fences[fence], name, value)
        assert reply == self.model.step(message_id, fence, name, value)

    @rule(taken=claims, session=st.sampled_from(some.SESSIONS[:2]))
    def fail_with_a_step(self, taken: tuple[str, int], session: str) -> None:
        """It fails with something recorded, is replayed, and asks for that."""
        message_id, fence = taken
        self.step(taken, False, "one", b"done")
        failed = v.Commit(id=message_id, fence=fence, outcome=oc.Failed())
        self._exchange(session, (failed,), None)
        self.replay([message_id])
        self._exchange(session, (), v.ClaimRequest(queues=some.QUEUES, limit=9))
        again = self.model.recs.get(message_id)
        if again is not None and again.fence in self.fences:
            self.step((message_id, again.fence), False, "one", None)

    @rule(
        dead=st.lists(st.sampled_from(some.SESSIONS), max_size=1),
        ago_ms=st.sampled_from((None, 0, 1, LEASE_MS)),
    )
    def reap(self, dead: list[str], ago_ms: int | None = None) -> None:
        by = None if ago_ms is None else self.now - ago_ms
        assert self.store.reap(dead, lapsed_by_ms=by) == self.model.reap(dead, lapsed_by_ms=by)

    # Operators

    @rule(ids=some.id_lists)
    def replay(self, ids: list[str]) -> None:
        self.may_revive = True
        assert self.store.replay(ids) == self.model.replay(ids)

    @rule(ids=some.id_lists)
    def drop(self, ids: list[str]) -> None:
        assert self.store.drop(ids) == self.model.drop(ids)

    @rule(queue=st.sampled_from(some.QUEUES), limit=st.integers(1, 3))
    def purge(self, queue: str, limit: int) -> None:
        assert self.store.purge(queue, limit) == self.model.purge(queue, limit)

    @rule(key=st.sampled_from(("k1", "k2", "k1:run")), owner=st.sampled_from(some.IDS))
    def release_lock(self, key: str, owner: str) -> None:
        assert self.store.release_lock(key, owner) == self.model.release_lock(key, owner)

    # Beat and time

    @rule(
        paused=st.booleans(),
        version=st.sampled_from((None, -1, 1, 2)),
        next_ms=st.sampled_from((None, some.NOW)),
        slots=st.sampled_from(((0, 0), (7, 2), (7, 0))),
    )
    def put_entry(
        self, paused: bool, version: int | None, next_ms: int | None, slots: tuple[int, int]
    ) -> None:
        entry = v.Entry(
            name="tick",
            spec=b"\xff",
            template=b"t",
            next_ms=next_ms,
            paused=paused,
            runs=slots[0],
            missed=slots[1],
        )
        assert self.store.put_entry(entry, version) == self.model.put_entry(entry, version)

    @rule()
    def remove_entry(self) -> None:
        assert self.store.remove_entry("tick") == self.model.remove_entry("tick")

    @rule(data=st.data(), version=st.integers(1, 2), expected=st.sampled_from((None, some.NOW)))
    def fire(self, data: st.DataObject, version: int, expected: int | None) -> None:
        self.may_revive = True
        message = data.draw(some.messages(self.now))
        entry = v.Entry(
            name="tick",
            version=version,
            next_ms=some.NOW + 1,
            last_ms=some.NOW,
            last_id=message.id,
            runs=7,
            missed=2,
        )
        batch = v.Batch(messages=(message,))
        assert self.store.fire(entry, expected, batch) == self.model.fire(entry, expected, batch)

    @rule(span=st.sampled_from((1, 999, 1000, 10_000, 30_000, 600_000)))
    def pass_time(self, span: int) -> None:
        self.now += span

    @rule(span=st.sampled_from((1_000, LEASE_MS, 60_000, 600_000)))
    def a_while_passes(self, span: int) -> None:
        """Let what is due by then become due, and open lapsed sessions anew."""
        self.now += span
        self.reap([], LEASE_MS)  # the call was made then, and had to wait
        self.reap([], None)
        for session in some.SESSIONS[:2]:
            self.open_session(session)


def machine_of(name: str) -> type[Agreement]:
    """The machine that holds the store of this name against the model."""
    return type(f"Agreement_{name}", (Agreement,), {"opener": staticmethod(FACTORIES[name])})
