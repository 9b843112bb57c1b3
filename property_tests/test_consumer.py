"""A consumer over the model, under every interleaving: nothing is lost, repeated or hoarded.

The rule-based machine plays both threads of a child (the one that exchanges, the one that runs
bodies), the store that loses requests and replies, and a reaper that takes the session's claims
away although it lives.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from property_tests.model.model import Model
from reliable_tasks.core.message import FINAL_STATES, Message, State
from reliable_tasks.core.outcome import Failed, Outcome, Rejected, Released, Retry, Succeeded
from reliable_tasks.store import values as v
from reliable_tasks.worker.consumer import Consumer
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from reliable_tasks.worker.consumer import Request

AHEAD_S = 0.02
LEASE_MS = 10**9
TRUSTED_S = 5.0
PATIENCE_S = 4 * AHEAD_S
MOST = 256
ENDINGS = {"succeeded", "failed", "retry", "unknown task", "released", "rejected", "reaped"}
OUTCOMES: tuple[Outcome, ...] = (
    Succeeded(result=b"1"),
    Failed(failure=b"x"),
    Retry(delay_ms=0),
    Retry(delay_ms=5000),
    Released(delay_ms=10, bounce=True),
    Rejected(requeue=True),
)
QUEUES = ("q1", "q2")
FATES = ("reply_comes", "reply_comes", "reply_is_lost", "request_is_lost")


class ConsumerMachine(RuleBasedStateMachine):
    """One session's consumer, its store, and everything that can come between them."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = Model(self.clock, v.StoreOptions(audit="all"))
        self.sessions = 0
        self.made = 0
        self.in_flight: Request | None = None
        self.taken: set[int] = set()
        self.begun: set[int] = set()
        self.ended: set[int] = set()
        self.again: set[int] = set()  # of these: delivered before
        self.applied: set[int] = set()
        self._begin(2, None)

    def _begin(self, slots: int, max_tasks: int | None) -> None:
        """A child's consumer, with a session of its own."""
        self.sessions += 1
        self.session = f"s{self.sessions}"
        info = v.SessionInfo(id=self.session, worker="w@h", queues=QUEUES)
        self.store.open_session(info, LEASE_MS)
        self.slots = slots
        self.consumer = Consumer(
            QUEUES, slots, ahead_s=AHEAD_S, max_tasks=max_tasks, trusted_s=TRUSTED_S
        )
        self.asked_at = self.confirmed_at = 0.0
        self.running: list[tuple[v.Claim, float]] = []
        self.shortest_s: float | None = None
        self.in_flight = None

    @property
    def now(self) -> float:
        return self.clock.now / 1000

    # Producers and time

    @rule(
        count=st.sampled_from((1, 3, 30)), queue=st.sampled_from(QUEUES), task=st.sampled_from("ab")
    )
    def put(self, count: int, queue: str, task: str) -> None:
        ids = [f"m{self.made + n}" for n in range(count)]
        self.made += count
        batch = tuple(Message(id=i, task=task, queue=queue, max_deliveries=1000) for i in ids)
        self.store.enqueue(v.Batch(messages=batch))

    @rule(ms=st.sampled_from((1, 30, 100, 6000)))
    def time_passes(self, ms: int) -> None:
        self.clock.advance(ms)
        self.store.reap()

    # The thread that runs bodies

    @precondition(lambda self: self.consumer.waiting)
    @rule()
    def run_one(self) -> None:
        careful = self._careful()
        claim = self.consumer.next_claim(self.now)
        if claim is None:
            full = len(self.running) == self.slots
            assert full or careful or self._doubtful(), "a slot is free and a claim waits"
            return
        assert not careful, "what may kill its process is begun before outcomes are committed"
        assert not self._doubtful(), "what may be another's by now is begun"
        assert claim.fence not in self.begun, "a claim is run once"
        self.begun.add(claim.fence)
        self.running.append((claim, self.now))

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 7), outcome=st.sampled_from(OUTCOMES))
    def end_one(self, which: int, outcome: Outcome) -> None:
        claim, began = self.running.pop(which % len(self.running))
        took = self.now - began
        self.shortest_s = took if self.shortest_s is None else min(took, self.shortest_s)
        self.ended.add(claim.fence)
        self.again |= {claim.fence} if claim.delivery > 1 else set()
        self.consumer.ended(claim, outcome, self.now)

    @rule(fates=st.lists(st.sampled_from(FATES), min_size=2, max_size=10))
    def short_bodies(self, fates: list[str]) -> None:
        """What workers mostly do: claim, run for a moment, commit and claim again."""
        for fate in fates:
            if self.in_flight is None:
                self.ask()
            if self.in_flight is not None:
                getattr(self, fate)()
            while self._may_begin():
                self.run_one()
            self.clock.advance(1)
            if self.running:
                self.end_one(0, OUTCOMES[0])

    def _may_begin(self) -> bool:
        free = len(self.running) < self.slots and not self._doubtful()
        return free and self.consumer.waiting > 0 and not self._careful()

    def _careful(self) -> bool:
        """Whether there are outcomes to commit, and the next claim or one of those came again."""
        waiting = self.consumer._waiting
        uncommitted = {c.fence for c in (*self.consumer._done, *(self.consumer._sent or ()))}
        again = bool(waiting) and waiting[0].delivery > 1
        return bool((uncommitted and again) or uncommitted & self.again)

    def _doubtful(self) -> bool:
        return self.now - self.confirmed_at > TRUSTED_S

    # The thread that exchanges

    @precondition(lambda self: self.in_flight is None)
    @rule()
    def ask(self) -> None:
        if self.consumer.uncertain:
            self.consumer.reconcile(self.store.held(self.session))
            self.confirmed_at = self.asked_at
            return
        doubtful = self._doubtful()
        self.in_flight = self.consumer.request(self.now)
        assert not (doubtful and self.consumer.waiting), "what may be another's is kept"
        assert not (self._overdue() and self.consumer.waiting), "what waits behind it goes back"
        if self.in_flight is None:
            self.consumer.woken()
            return
        self.asked_at = self.now
        want = self.in_flight.want
        if want is not None:
            held = len(self.running) + self.consumer.waiting
            assert 0 < want.limit <= self._most() - held, "more than the window was asked for"

    def _overdue(self) -> bool:
        return any(self.now - began > PATIENCE_S for _, began in self.running)

    def _most(self) -> int:
        """How many claims may be held: those that run, and what the window has room for."""
        if self.shortest_s is None or self._overdue():
            return self.slots
        if self.shortest_s * MOST <= AHEAD_S:
            return MOST
        return min(MOST, self.slots + int(AHEAD_S / self.shortest_s))

    def _apply(self) -> v.Exchange:
        request = self.in_flight
        assert request is not None
        self.in_flight = None
        reply = self.store.exchange(self.session, request.commits, request.want)
        for commit, verdict in zip(request.commits, reply.verdicts, strict=True):
            # One that is said again may have become stale: then it was applied the first time.
            known = commit.fence in self.taken | self.applied
            assert verdict == v.Verdict.COMMITTED or known, "nobody took this claim away"
            self.applied.add(commit.fence)
        return reply

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def reply_comes(self) -> None:
        self.consumer.replied(self._apply())
        self.confirmed_at = self.asked_at

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def reply_is_lost(self) -> None:
        self._apply()
        self.consumer.failed()

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def request_is_lost(self) -> None:
        self.in_flight = None
        self.consumer.failed()

    @rule(really=st.sampled_from((False, False, False, True)))
    def session_is_taken_for_dead(self, really: bool) -> None:
        if really:
            self.taken |= {c.fence for c in self.store.held(self.session)}
            self.store.reap([self.session])

    @rule(really=st.sampled_from((False, False, False, True)))
    def stop(self, really: bool) -> None:
        if really:
            self.consumer.drain()

    # A child that has ended is followed by another

    @precondition(lambda self: self.consumer.finished and self.in_flight is None)
    @rule(slots=st.integers(1, 4), max_tasks=st.sampled_from((None, None, 1, 3)))
    def next_child(self, slots: int, max_tasks: int | None) -> None:
        self._end()
        self._begin(slots, max_tasks)

    def _end(self) -> None:
        """The child has said all it had to say; what it never heard of goes back."""
        assert self.ended <= self.applied | self.taken, "an outcome was forgotten"
        unheard = {c.fence for c in self.store.held(self.session)}
        assert not unheard & self.begun
        self.taken |= unheard
        self.store.close_session(self.session)

    # What always holds

    @invariant()
    def no_more_run_than_slots(self) -> None:
        assert self.consumer.busy == len(self.running) <= self.slots

    @invariant()
    def nothing_that_is_held_is_forgotten(self) -> None:
        if self.in_flight is not None or self.consumer.uncertain:
            return
        known = {claim.fence for claim, _ in self.running}
        known |= {claim.fence for claim in self.consumer._waiting}
        known |= {commit.fence for commit in self.consumer._done}
        assert {claim.fence for claim in self.store.held(self.session)} <= known

    def teardown(self) -> None:
        """Let the child finish: then every message is at rest and no claim is held."""
        self.consumer.drain()
        for _ in range(10_000):
            if self.consumer.finished and self.in_flight is None:
                break
            if self.running:
                self.end_one(0, OUTCOMES[0])
            if self.in_flight is None:
                self.ask()
            else:
                self.reply_comes()
        assert self.consumer.finished
        self._end()
        assert sum(self.store.counts().states.values()) == self.made, "none is lost"
        for record in self.store.find(v.MessageQuery(limit=10_000)):
            assert record.state in FINAL_STATES | {State.QUEUED, State.SCHEDULED}
            assert record.session is None
        self._each_claim_ended_once()

    def _each_claim_ended_once(self) -> None:
        rows = self.store.audit(v.AuditQuery(limit=100_000))
        claimed = Counter(row.fence for row in rows if row.event == "started")
        ended = Counter(row.fence for row in rows if row.event in ENDINGS)
        assert set(claimed.values()) <= {1}
        assert ended == claimed, "each claim was committed, given back or taken away, once"


ConsumerMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
test_a_consumer_loses_nothing_and_hoards_nothing = ConsumerMachine.TestCase
