"""Claiming: in order, not before it is due, not after it expired."""

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import OnceLock, State
from reliable_tasks.store.values import AuditQuery, ClaimRequest, Commit
from tests.store.driver import LEASE_MS, SESSION, WORKER, Driver, kind, message


def ids(drive: Driver, limit: int = 10, queues: tuple[str, ...] = ("celery",)) -> list[str]:
    return [claim.id for claim in drive.claim(limit, queues)]


def test_a_claim_carries_what_the_worker_needs(drive: Driver) -> None:
    drive.put_one("a", payload=b"p", headers=b"h", priority=4, max_deliveries=7, root_id="r")
    drive.clock.advance(30)
    claim = drive.claim_one()
    assert (claim.payload, claim.headers, claim.priority) == (b"p", b"h", 4)
    assert (claim.attempt, claim.delivery, claim.bounces, claim.max_deliveries) == (1, 1, 0, 7)
    assert claim.started_ms == claim.first_started_ms == claim.enqueued_ms + 30
    assert (claim.root_id, claim.inputs, claim.limit_failure) == ("r", (), None)
    record = drive.record("a")
    assert (record.state, record.session, record.worker) == (State.RUNNING, SESSION, WORKER)
    assert record.fence == claim.fence


def test_plain_claims_of_the_same_options_have_the_same_kind(drive: Driver) -> None:
    for message_id in "ab":
        drive.put_one(message_id, payload=message_id.encode(), headers=b"h")
    drive.put_one("c", headers=b"other")
    drive.put_one("d", once=OnceLock("key"))
    a, b, c, d = drive.claim(4)
    assert d.kind is None
    if a.kind is None:  # the reference model tells of none
        return
    assert a.kind is b.kind is not c.kind
    assert (a.kind.task, a.kind.headers, a.kind.queue) == (a.task, b"h", "celery")
    drive.commit(a, oc.Released())
    assert drive.claim_one().kind is a.kind


def test_first_in_first_out_within_a_priority(drive: Driver) -> None:
    drive.put(message("a"), message("b"))
    drive.put_one("c")
    assert ids(drive) == ["a", "b", "c"]


def test_priority_nought_comes_first(drive: Driver) -> None:
    drive.put(*(message(f"p{p}", priority=p) for p in (9, 3, 0, 5)))
    assert ids(drive) == ["p0", "p3", "p5", "p9"]


def test_queues_are_served_in_the_order_named(drive: Driver) -> None:
    drive.put(message("x", queue="x"), message("y", queue="y"), message("z", queue="z"))
    assert ids(drive, queues=("z", "x")) == ["z", "x"]
    assert drive.state("y") == State.QUEUED


def test_no_more_than_asked_for(drive: Driver) -> None:
    drive.put(*(message(f"m{i}") for i in range(5)))
    assert ids(drive, 2) == ["m0", "m1"]
    assert ids(drive, 0) == []
    assert ids(drive, 2) == ["m2", "m3"]


def test_the_limit_holds_over_all_queues(drive: Driver) -> None:
    drive.put(message("x", queue="x"), message("y", queue="y"))
    assert ids(drive, 1, ("x", "y")) == ["x"]


def test_fences_only_grow(drive: Driver) -> None:
    drive.put(message("a"), message("b"))
    first, second = drive.claim(2)
    drive.commit(first, oc.Released())
    third = drive.claim_one()
    assert first.fence < second.fence < third.fence
    assert third.id == "a"


def test_nothing_is_claimed_before_its_eta(drive: Driver) -> None:
    drive.put_one("a", eta_ms=drive.clock.now + 100)
    assert drive.state("a") == State.SCHEDULED
    drive.clock.advance(99)
    assert ids(drive) == []
    drive.clock.advance(1)
    assert ids(drive) == ["a"]


def test_a_delay_counts_from_the_enqueue(drive: Driver) -> None:
    drive.put_one("a", delay_ms=50)
    assert drive.record("a").due_ms == drive.clock.now + 50
    drive.clock.advance(50)
    assert ids(drive) == ["a"]


def test_an_eta_in_the_past_is_due_at_once(drive: Driver) -> None:
    drive.put_one("a", eta_ms=drive.clock.now - 1)
    assert ids(drive) == ["a"]


def test_what_is_due_is_promoted_in_the_order_of_its_time(drive: Driver) -> None:
    drive.put(message("late", delay_ms=20), message("soon", delay_ms=10))
    drive.clock.advance(20)
    assert ids(drive) == ["soon", "late"]


def test_an_exchange_tells_when_the_next_is_due(drive: Driver) -> None:
    drive.put(message("a", delay_ms=70), message("b", delay_ms=30))
    reply = drive.store.exchange(SESSION, (), ClaimRequest(queues=("celery",), limit=1))
    assert reply.next_due_ms == drive.clock.now + 30
    assert drive.store.exchange(SESSION, (), None).next_due_ms is None


def test_what_expired_is_revoked_instead_of_claimed(drive: Driver) -> None:
    drive.put(message("a", expires_ms=drive.clock.now + 10), message("b"))
    drive.clock.advance(10)
    assert ids(drive) == ["b"]
    record = drive.record("a")
    assert (record.state, record.reason) == (State.REVOKED, "expired")
    assert drive.events("a") == ["enqueued", "expired"]


def test_the_span_to_expiry_counts_from_becoming_ready(drive: Driver) -> None:
    drive.put_one("a", expires_in_ms=10)
    assert drive.record("a").expires_ms == drive.clock.now + 10
    drive.clock.advance(9)
    assert drive.claim_one().expires_ms == drive.clock.now + 1


def test_many_expired_ones_do_not_hide_a_live_one(drive: Driver) -> None:
    old = [message(f"old{i}", expires_ms=drive.clock.now + 1) for i in range(900)]
    drive.put(*old, message("live"))
    drive.clock.advance(1)
    assert ids(drive, 1) == ["live"]


def test_a_running_one_does_not_expire(drive: Driver) -> None:
    drive.put_one("a", expires_ms=drive.clock.now + 10)
    claim = drive.claim_one()
    drive.clock.advance(10)
    assert drive.store.reap().expired == 0
    drive.commit(claim)
    assert drive.state("a") == State.SUCCEEDED


def test_reap_revokes_what_expired_unclaimed(drive: Driver) -> None:
    drive.put(message("a", expires_ms=drive.clock.now + 10, delay_ms=1000), message("b"))
    drive.clock.advance(10)
    assert drive.store.reap().expired == 1
    assert drive.record("a").reason == "expired"
    assert drive.state("b") == State.QUEUED


def test_what_expires_first_is_told_first(drive: Driver) -> None:
    """However it got its expiry; those of one instant by their ids."""
    now = drive.clock.now
    drive.store.enqueue_plain(kind(), ["e", "d"], [b"", b""])
    for claim in drive.claim(2):
        drive.commit(claim, oc.Retry(expires_ms=now + 10))
    drive.put(message("c", expires_ms=now + 20), message("b", expires_ms=now + 10))
    drive.put_one("a", expires_in_ms=10, delay_ms=60_000)
    drive.clock.advance(30)
    drive.store.reap()
    rows = drive.store.audit(AuditQuery(event="expired"))
    assert [row.id for row in rows] == ["a", "b", "d", "e", "c"]


def test_one_that_expires_and_is_given_back_expires(drive: Driver) -> None:
    drive.put_one("a", expires_ms=drive.clock.now + 10)
    drive.run(oc.Released())
    drive.clock.advance(10)
    assert ids(drive) == []
    assert drive.record("a").reason == "expired"


def test_reap_promotes_what_is_due(drive: Driver) -> None:
    drive.put(message("a", delay_ms=5), message("b", delay_ms=500))
    drive.clock.advance(5)
    reaped = drive.store.reap()
    assert (reaped.promoted, reaped.next_due_ms) == (1, drive.clock.now + 495)
    assert drive.state("a") == State.QUEUED


def test_an_unknown_session_gets_nothing(drive: Driver) -> None:
    drive.put_one("a")
    reply = drive.store.exchange("nobody", (), ClaimRequest(queues=("celery",), limit=1))
    assert (reply.lost, reply.claims) == (True, ())
    assert drive.state("a") == State.QUEUED


def test_a_lapsed_session_gets_nothing(drive: Driver) -> None:
    drive.put_one("a")
    drive.clock.advance(LEASE_MS)
    reply = drive.store.exchange(SESSION, (), ClaimRequest(queues=("celery",), limit=1))
    assert (reply.lost, reply.claims) == (True, ())


def test_an_exchange_commits_before_it_claims(drive: Driver) -> None:
    drive.put_one("a")
    claim = drive.claim_one()
    again = Commit(id="a", fence=claim.fence, outcome=oc.Released())
    reply = drive.store.exchange(SESSION, (again,), ClaimRequest(queues=("celery",), limit=1))
    assert [c.id for c in reply.claims] == ["a"]
    assert reply.claims[0].fence > claim.fence
