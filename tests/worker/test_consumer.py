"""What one session claims, gives back and commits."""

from __future__ import annotations

import pytest

from reliable_tasks.core.outcome import Released, Succeeded
from reliable_tasks.store.values import Claim, ClaimRequest, Exchange, Verdict
from reliable_tasks.worker.consumer import Consumer
from tests.worker.fakes import claim_of

DONE = Succeeded(result=b"1")


def reply(*claims: Claim, verdicts: tuple[Verdict, ...] = (), lost: bool = False) -> Exchange:
    return Exchange(verdicts=verdicts, claims=claims, lost=lost)


def fed(consumer: Consumer, *claims: Claim) -> None:
    """Let it ask, and give it these."""
    assert consumer.request(0.0) is not None
    consumer.replied(reply(*claims))


def measured(consumer: Consumer, seconds: float, task: str = "add") -> None:
    """Let it run one message that takes so long, and commit it."""
    claim = claim_of(f"measured-{task}", task)
    fed(consumer, claim)
    assert consumer.next_claim(0.0) == claim
    consumer.ended(claim, DONE, seconds)
    assert consumer.request(seconds) is not None
    consumer.replied(reply(verdicts=(Verdict.COMMITTED,)))
    consumer.woken()


def test_at_first_it_asks_for_as_much_as_can_start_now() -> None:
    consumer = Consumer(("celery",), 3)
    request = consumer.request(0.0)
    assert request is not None
    assert request.commits == ()
    assert request.want == ClaimRequest(queues=("celery",), limit=3)


def test_one_exchange_is_in_flight_at_a_time() -> None:
    consumer = Consumer(("celery",))
    assert consumer.request(0.0) is not None
    assert consumer.request(0.0) is None


def test_no_more_bodies_run_than_there_are_slots() -> None:
    consumer = Consumer(("celery",), 2, ahead_s=1.0)
    fed(consumer, *(claim_of(n) for n in "abc"))
    assert [c.id for c in (consumer.next_claim(0.0), consumer.next_claim(0.0)) if c] == ["a", "b"]
    assert consumer.next_claim(0.0) is None
    assert (consumer.busy, consumer.waiting) == (2, 1)


def test_outcomes_collect_while_an_exchange_is_in_flight_and_go_with_the_next() -> None:
    consumer = Consumer(("celery",), 2)
    a, b = claim_of("a"), claim_of("b")
    fed(consumer, a, b)
    consumer.next_claim(0.0)
    consumer.next_claim(0.0)
    consumer.ended(a, DONE, 0.1)
    first = consumer.request(0.1)
    assert first is not None
    consumer.ended(b, DONE, 0.2)
    assert consumer.request(0.2) is None
    consumer.replied(reply(verdicts=(Verdict.COMMITTED,)))
    second = consumer.request(0.2)
    assert second is not None
    assert [c.id for c in (*first.commits, *second.commits)] == ["a", "b"]


def test_stale_commits_are_told() -> None:
    consumer = Consumer(("celery",))
    a = claim_of("a")
    fed(consumer, a)
    consumer.next_claim(0.0)
    consumer.ended(a, DONE, 0.1)
    consumer.request(0.1)
    (stale,) = consumer.replied(reply(verdicts=(Verdict.STALE,)))
    assert stale.id == "a"


def test_pain_27_short_bodies_let_it_claim_ahead_for_as_long_as_the_window() -> None:
    consumer = Consumer(("celery",), 1, ahead_s=0.02)
    measured(consumer, 0.002)
    request = consumer.request(1.0)
    assert request is not None
    assert request.want is not None
    assert request.want.limit == 1 + 10


def test_pain_27_bodies_longer_than_the_window_are_never_claimed_ahead() -> None:
    consumer = Consumer(("celery",), 2, ahead_s=0.02)
    measured(consumer, 5.0)
    request = consumer.request(6.0)
    assert request is not None
    assert request.want is not None
    assert request.want.limit == 2


def test_pain_27_what_waits_behind_a_body_that_runs_long_goes_back_unrun() -> None:
    consumer = Consumer(("celery",), 1, ahead_s=0.02)
    measured(consumer, 0.002)
    fed(consumer, claim_of("long"), short := claim_of("short"))
    assert consumer.next_claim(2.0) is not None
    assert consumer.overdue_at() == pytest.approx(2.08)
    early = consumer.request(2.05)
    assert early is None or early.commits == ()
    if early is not None:
        consumer.replied(reply())
    late = consumer.request(2.09)
    assert late is not None
    assert [(c.id, c.fence, c.outcome) for c in late.commits] == [
        ("short", short.fence, Released())
    ]
    assert consumer.waiting == 0


def test_where_nothing_was_found_it_waits_to_be_woken() -> None:
    consumer = Consumer(("celery",))
    fed(consumer)
    assert consumer.starved(0.0)
    assert consumer.request(0.0) is None
    consumer.woken()
    assert consumer.request(0.0) is not None


def test_a_lone_short_message_costs_two_exchanges() -> None:
    """Where it got less than it asked for there is no more: it asks again with the outcome."""
    consumer = Consumer(("celery",), ahead_s=0.02)
    measured(consumer, 0.001)
    lone = claim_of("a")
    fed(consumer, lone)
    assert consumer.next_claim(0.0) == lone
    assert consumer.request(0.0) is None
    assert not consumer.starved(0.0), "it waits for the body, not for work that no slot is free for"
    consumer.ended(lone, DONE, 0.001)
    request = consumer.request(0.001)
    assert request is not None
    assert len(request.commits) == 1
    assert request.want is not None
    consumer.replied(reply(verdicts=(Verdict.COMMITTED,)))
    assert consumer.starved(0.001)


def test_queues_take_turns_at_being_first() -> None:
    consumer = Consumer(("a", "b", "c"))
    firsts = []
    for _ in range(6):
        request = consumer.request(0.0)
        assert request is not None
        assert request.want is not None
        firsts.append(request.want.queues[0])
        assert sorted(request.want.queues) == ["a", "b", "c"]
        consumer.replied(reply())
        consumer.woken()
    assert sorted(firsts) == ["a", "a", "b", "b", "c", "c"]
    assert firsts[:3] == firsts[3:]


def test_draining_gives_back_what_waits_and_finishes_what_runs() -> None:
    consumer = Consumer(("celery",), 1, ahead_s=1.0)
    a, b = claim_of("a"), claim_of("b")
    fed(consumer, a, b)
    consumer.next_claim(0.0)
    consumer.drain()
    request = consumer.request(0.0)
    assert request is not None
    assert request.want is None, "no more is claimed"
    assert [(c.id, c.outcome) for c in request.commits] == [("b", Released())]
    consumer.replied(reply(verdicts=(Verdict.COMMITTED,)))
    assert not consumer.finished
    consumer.ended(a, DONE, 1.0)
    assert not consumer.finished, "its outcome is not committed yet"
    assert consumer.request(1.0) is not None
    consumer.replied(reply(verdicts=(Verdict.COMMITTED,)))
    assert consumer.finished


def test_it_drains_after_the_last_message_that_its_process_may_run() -> None:
    consumer = Consumer(("celery",), 1, ahead_s=1.0, max_tasks=2)
    measured(consumer, 0.001)
    request = consumer.request(1.0)
    assert request is not None
    assert request.want is not None
    assert request.want.limit == 1, "one is left"
    last = claim_of("last")
    consumer.replied(reply(last))
    consumer.next_claim(1.0)
    consumer.ended(last, DONE, 1.1)
    assert consumer.draining


def test_pain_3_after_a_lost_reply_everything_is_said_again() -> None:
    consumer = Consumer(("celery",))
    a = claim_of("a")
    fed(consumer, a)
    consumer.next_claim(0.0)
    consumer.ended(a, DONE, 0.1)
    first = consumer.request(0.1)
    consumer.failed()
    assert consumer.uncertain
    consumer.reconcile(())
    second = consumer.request(0.2)
    assert first is not None
    assert second is not None
    assert first.commits == second.commits


def test_pain_3_claims_whose_reply_was_lost_are_found_and_run() -> None:
    consumer = Consumer(("celery",), 2)
    known = claim_of("known")
    fed(consumer, known)
    consumer.next_claim(0.0)
    consumer.request(0.0)
    consumer.failed()
    consumer.reconcile((known, claim_of("unheard")))
    found = consumer.next_claim(0.1)
    assert found is not None
    assert found.id == "unheard"
    assert consumer.next_claim(0.1) is None, "what runs is not run again"


def test_reconciling_drops_claims_that_were_taken_away() -> None:
    consumer = Consumer(("celery",), 1, ahead_s=1.0)
    a, b, c = claim_of("a"), claim_of("b"), claim_of("c")
    fed(consumer, a, b, c)
    consumer.next_claim(0.0)
    consumer.request(0.0)
    consumer.failed()
    again = claim_of("c")
    consumer.reconcile((a, again))
    consumer.ended(a, DONE, 0.1)
    assert consumer.next_claim(0.1) == again, "b is another's, c was claimed anew"
    assert consumer.waiting == 0


def test_pain_2_after_a_long_pause_what_waits_goes_back_unrun() -> None:
    consumer = Consumer(("celery",), 1, ahead_s=1.0, trusted_s=10.0)
    a, b, c = claim_of("a"), claim_of("b"), claim_of("c")
    fed(consumer, a, b, c)
    assert consumer.next_claim(0.0) == a
    consumer.ended(a, DONE, 9.9)
    assert consumer.next_claim(9.9) == b, "so long the store's word is good"
    consumer.ended(b, DONE, 10.1)
    assert consumer.next_claim(10.1) is None, "c may be another's by now"
    request = consumer.request(10.1)
    assert request is not None
    assert [(x.id, x.outcome) for x in request.commits] == [
        ("a", DONE),
        ("b", DONE),
        ("c", Released()),
    ]
    d = claim_of("d")
    consumer.replied(reply(d, verdicts=(Verdict.STALE, Verdict.STALE, Verdict.STALE)))
    assert consumer.next_claim(10.2) == d


def test_pain_2_an_answer_that_lay_unread_during_a_long_pause_is_not_trusted() -> None:
    consumer = Consumer(("celery",), 1, trusted_s=10.0)
    old, new = claim_of("old"), claim_of("new")
    assert consumer.request(0.0) is not None
    consumer.replied(reply(old))
    assert consumer.next_claim(30.0) is None
    request = consumer.request(30.0)
    assert request is not None
    assert [(x.id, x.outcome) for x in request.commits] == [("old", Released())]
    consumer.replied(reply(new, verdicts=(Verdict.STALE,)))
    assert consumer.next_claim(30.1) == new


def test_a_lost_session_claims_no_more_and_finishes_what_runs() -> None:
    consumer = Consumer(("celery",), 1, ahead_s=1.0)
    a = claim_of("a")
    fed(consumer, a, claim_of("b"))
    consumer.next_claim(0.0)
    measured_want = consumer.request(0.0)
    assert measured_want is None or measured_want.want is None
    consumer.ended(a, DONE, 0.5)
    consumer.request(0.5)
    consumer.replied(reply(verdicts=(Verdict.STALE,), lost=True))
    assert consumer.lost
    assert consumer.waiting == 0
    request = consumer.request(0.6)
    assert request is not None
    assert [(c.id, c.outcome) for c in request.commits] == [("b", Released())]
    consumer.replied(reply(verdicts=(Verdict.STALE,), lost=True))
    assert consumer.finished


def test_nothing_begins_before_what_came_again_is_committed() -> None:
    """Or those that kill their processes would take the outcome of one along until it is dead."""
    consumer = Consumer(("celery",), 1, ahead_s=1.0)
    innocent, killer = claim_of("innocent", delivery=2), claim_of("killer")
    fed(consumer, innocent, killer)
    assert consumer.next_claim(0.0) is innocent
    consumer.ended(innocent, DONE, 0.1)
    assert consumer.next_claim(0.1) is None, "the outcome is not on its way"
    assert consumer.request(0.1) is not None
    consumer.failed()
    assert consumer.next_claim(0.1) is None, "nobody knows of it"
    consumer.reconcile((innocent, killer))
    assert consumer.request(0.2) is not None
    assert consumer.next_claim(0.2) is None, "it is on its way again"
    consumer.replied(reply(verdicts=(Verdict.COMMITTED,)))
    assert consumer.next_claim(0.3) is killer


def test_one_that_may_have_killed_its_process_begins_when_what_has_ended_is_committed() -> None:
    """Or it would take the outcomes of its neighbours along each time."""
    consumer = Consumer(("celery",), 1, ahead_s=1.0)
    before, suspect = claim_of("before"), claim_of("suspect", delivery=2)
    fed(consumer, before, suspect)
    assert consumer.next_claim(0.0) is before
    consumer.ended(before, DONE, 0.1)
    assert consumer.next_claim(0.1) is None, "the outcome is not on its way"
    assert consumer.request(0.1) is not None
    assert consumer.next_claim(0.1) is None, "it is on its way"
    consumer.replied(reply(verdicts=(Verdict.COMMITTED,)))
    assert consumer.next_claim(0.2) is suspect
