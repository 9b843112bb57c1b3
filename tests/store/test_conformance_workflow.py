"""Workflows: edges, joins, errbacks, mirrors, grafts and stages."""

import pytest

from reliable_tasks import errors
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.store.values import AuditQuery, Batch, Input
from tests.store.conftest import Opener
from tests.store.driver import Driver, edge, message, once

FALLS = [oc.Failed(failure=b"f"), oc.Ignored(), oc.Rejected(), oc.Revoked()]


def kind(value: object) -> str:
    return type(value).__name__


def test_a_child_starts_when_its_parent_succeeds_with_its_result(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("b", slot=0),)), message("b", waits=1))
    assert (drive.state("b"), drive.record("b").waits) == (State.WAITING, 1)
    drive.run(oc.Succeeded(result=b"r"))
    claim = drive.claim_one()
    assert claim.inputs == (Input(slot=0, parent="a", ok=True, value=b"r"),)
    assert drive.record("b").waits == 0


def test_a_result_that_is_not_kept_still_reaches_the_child(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("b", slot=0),)), message("b", waits=1))
    drive.run(oc.Succeeded(result=b"r", keep=False))
    assert drive.record("a").result is None
    assert drive.claim_one().inputs[0].value == b"r"


def test_an_edge_without_a_slot_leaves_no_input(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("b"),)), message("b", waits=1))
    drive.run(oc.Succeeded(result=b"r"))
    assert drive.claim_one().inputs == ()


def test_a_join_starts_after_all_its_parents_with_inputs_by_slot(drive: Driver) -> None:
    parents = [message(f"p{i}", edges=(edge("join", slot=i),)) for i in range(3)]
    drive.put(*parents, message("join", waits=3))
    for claim in reversed(drive.claim(3)):
        assert drive.state("join") == State.WAITING
        drive.commit(claim, oc.Succeeded(result=claim.id.encode()))
    claim = drive.claim_one()
    assert [i.value for i in claim.inputs] == [b"p0", b"p1", b"p2"]
    assert drive.record("join").joins


def test_the_inputs_survive_a_retry(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("b", slot=0),)), message("b", waits=1))
    drive.run(oc.Succeeded(result=b"r"))
    drive.run(oc.Retry())
    assert drive.claim_one().inputs[0].value == b"r"


def test_a_delay_of_a_child_counts_from_the_end_of_its_parent(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("b"),)), message("b", waits=1, delay_ms=50))
    drive.clock.advance(500)
    drive.run()
    assert drive.record("b").due_ms == drive.clock.now + 50


@pytest.mark.parametrize("outcome", FALLS, ids=kind)
def test_a_parent_that_does_not_succeed_ends_its_dependants(
    drive: Driver, outcome: oc.Outcome
) -> None:
    drive.put(
        message("a", edges=(edge("b"),)),
        message("b", waits=1, edges=(edge("c"),)),
        message("c", waits=1),
    )
    drive.run(outcome)
    for child, parent in (("b", "a"), ("c", "b")):
        record = drive.record(child)
        assert (record.state, record.reason) == (State.FAILED, "parent")
        assert record.broken == (parent,)
        assert record.failure == drive.record("a").failure
    assert drive.claim(10) == ()


def test_an_expired_parent_ends_its_dependants(drive: Driver) -> None:
    drive.put(
        message("a", edges=(edge("b"),), expires_ms=drive.clock.now + 5), message("b", waits=1)
    )
    drive.clock.advance(5)
    drive.store.reap()
    assert drive.record("b").reason == "parent"


def test_a_long_chain_falls_in_one_step(drive: Driver) -> None:
    links = [message(f"m{i}", waits=int(i > 0), edges=(edge(f"m{i + 1}"),)) for i in range(900)]
    drive.put(*links)
    drive.store.revoke(["m0"])
    assert drive.store.counts().states == {"revoked": 1, "failed": 899}


def test_an_errback_starts_once_with_the_first_failure(drive: Driver) -> None:
    drive.put(
        message("a", edges=(edge("err", "failure", 0),)),
        message("b", edges=(edge("err", "failure", 0),)),
        message("err", waits=2, any_parent=True),
    )
    a, b = drive.claim(2)
    drive.commit(a, oc.Failed(failure=b"f"))
    claim = drive.claim_one()
    assert claim.inputs == (Input(slot=0, parent="a", ok=False, value=b"f"),)
    drive.commit(b, oc.Failed(failure=b"g"))
    assert drive.claim(10) == ()


def test_an_errback_is_not_needed_when_all_parents_succeed(drive: Driver) -> None:
    drive.put(
        message("a", edges=(edge("err", "failure", 0),)),
        message("b", edges=(edge("err", "failure", 0),)),
        message("err", waits=2, any_parent=True),
    )
    drive.run()
    assert drive.state("err") == State.WAITING
    drive.run()
    record = drive.record("err")
    assert (record.state, record.reason) == (State.REVOKED, "not needed")


def test_an_ignored_parent_does_not_need_its_errback(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("err", "failure", 0),)), message("err", waits=1))
    drive.run(oc.Ignored())
    assert drive.record("err").reason == "not needed"


def test_an_errback_that_is_needed_still_waits_for_its_once_key(drive: Driver) -> None:
    later = once(on_conflict="reschedule")
    drive.put_one("holder", queue="other", once=once())
    drive.put(message("a", edges=(edge("err", "failure", 0),)), message("err", waits=1, once=later))
    drive.run(oc.Failed(failure=b"f"))
    assert (drive.state("err"), drive.record("err").waits) == (State.WAITING, 0)
    drive.store.revoke(["holder"])
    assert drive.holder() == "err"
    claim = drive.run()
    assert (claim.id, claim.inputs[0].value) == ("err", b"f")
    drive.put_one("next", once=later)
    assert drive.run().id == "next"
    assert drive.holder() is None


def test_an_errback_that_joined_another_ends_as_that_one_does(drive: Driver) -> None:
    passing = once(scope="until_executing")
    drive.put_one("holder", once=passing)
    drive.put(
        message("a", edges=(edge("err", "failure", 0),)),
        message("err", waits=1, once=passing, joins_duplicate=True),
    )
    holder, a = drive.claim(2)
    drive.commit(a, oc.Failed(failure=b"f"))
    assert drive.claim(10) == ()
    drive.commit(holder, oc.Succeeded(result=b"h"))
    assert (drive.state("err"), drive.record("err").result) == (State.SUCCEEDED, b"h")


def test_a_revoked_parent_starts_its_errback(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("err", "failure", 0),)), message("err", waits=1))
    drive.store.revoke(["a"])
    assert drive.claim_one().id == "err"


def test_a_retried_parent_decides_nothing_yet(drive: Driver) -> None:
    drive.put(
        message("a", edges=(edge("b"), edge("err", "failure", 0))),
        message("b", waits=1),
        message("err", waits=1),
    )
    drive.run(oc.Retry(delay_ms=5))
    assert [drive.state(i) for i in ("b", "err")] == [State.WAITING] * 2


def test_a_replaced_message_ends_as_the_end_of_its_graft(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("next", slot=0),)), message("next", waits=1))
    graft = (
        message("x", edges=(edge("y", slot=0),)),
        message("y", waits=1, edges=(edge("a", "mirror"),)),
    )
    drive.run(oc.Replaced(messages=graft))
    record = drive.record("a")
    assert (record.state, record.mirrors) == (State.WAITING, "y")
    assert drive.run(oc.Succeeded(result=b"1")).id == "x"
    assert drive.run(oc.Succeeded(result=b"2")).id == "y"
    assert (drive.state("a"), drive.record("a").result) == (State.SUCCEEDED, b"2")
    assert drive.claim_one().inputs[0].value == b"2"


def test_a_replaced_message_fails_with_its_graft(drive: Driver) -> None:
    drive.put_one("a")
    graft = message("x", edges=(edge("a", "mirror"),))
    drive.run(oc.Replaced(messages=(graft,)))
    drive.run(oc.Failed(failure=b"f"))
    record = drive.record("a")
    assert (record.state, record.reason, record.failure) == (State.FAILED, "mirror", b"f")


def test_replaying_the_graft_revives_what_it_stands_for(drive: Driver) -> None:
    drive.put_one("a")
    drive.run(oc.Replaced(messages=(message("x", edges=(edge("a", "mirror"),)),)))
    drive.run(oc.Failed())
    drive.store.replay(["x"])
    assert drive.state("a") == State.WAITING
    drive.run(oc.Succeeded(result=b"r"))
    assert drive.record("a").result == b"r"


def test_an_edge_to_nobody_is_passed_over(drive: Driver) -> None:
    drive.put_one("a", edges=(edge("nobody"), edge("nobody", "failure"), edge("nobody", "mirror")))
    drive.run()
    assert drive.state("a") == State.SUCCEEDED


def test_edges_are_read_back(drive: Driver) -> None:
    drive.put_one("a", edges=(edge("b", slot=1), edge("c", "failure", 0)))
    assert drive.record("a", full=True).edges == (("b", "success", 1), ("c", "failure", 0))
    assert drive.record("a").edges == ()


def test_staged_messages_do_nothing_until_the_stage_is_sealed(drive: Driver) -> None:
    drive.store.enqueue(Batch(messages=(message("a"), message("b")), stage="s"))
    assert drive.claim(10) == ()
    assert drive.state("a") == State.WAITING
    done = drive.store.enqueue(Batch(messages=(message("c"),), stage="s", seal=True))
    assert done.held == 0
    assert [c.id for c in drive.claim(10)] == ["a", "b", "c"]


def test_a_large_stage_is_let_go_in_bounded_rounds(open_driver: Opener) -> None:
    drive = open_driver(max_batch=2)
    for i in range(0, 6, 2):
        two = (message(f"m{i}"), message(f"m{i + 1}"))
        drive.store.enqueue(Batch(messages=two, stage="s"))
    held = [drive.store.enqueue(Batch(stage="s", seal=True)).held for _ in range(3)]
    assert held == [4, 2, 0]
    assert [c.id for c in drive.claim(10)] == [f"m{i}" for i in range(6)]


def test_reap_goes_on_with_a_sealed_stage(open_driver: Opener) -> None:
    drive = open_driver(max_batch=1)
    for name in "abc":
        drive.store.enqueue(Batch(messages=(message(name),), stage="s", seal=name == "c"))
    assert len(drive.claim(10)) == 1
    drive.store.reap()
    assert len(drive.claim(10)) == 2


def test_a_stage_repeated_after_a_lost_reply_changes_nothing(drive: Driver) -> None:
    batch = Batch(messages=(message("a"),), stage="s", seal=True)
    assert drive.store.enqueue(batch) == drive.store.enqueue(batch)
    assert len(drive.claim(10)) == 1


def test_a_stage_that_is_not_sealed_in_time_is_dropped(drive: Driver) -> None:
    ttl = drive.store.options.stage_ttl_ms
    drive.store.enqueue(Batch(messages=(message("a"), message("b")), stage="s"))
    drive.clock.advance(ttl - 1)
    drive.store.enqueue(Batch(messages=(message("c"),), stage="s"))
    drive.clock.advance(ttl - 1)
    assert drive.store.reap().deleted == 0
    drive.clock.advance(1)
    assert drive.store.reap().deleted == 3
    assert drive.store.read(["a", "b", "c"]) == (None, None, None)
    for message_id in "abc":
        (row,) = drive.store.audit(AuditQuery(id=message_id, event="dropped"))
        assert row.detail == b'{"reason":"abandoned"}'


def test_a_parked_message_of_a_stage_that_is_dropped_leaves_the_line(drive: Driver) -> None:
    drive.put_one("holder", once=once(), delay_ms=10**9)
    staged = message("a", once=once(on_conflict="reschedule"))
    drive.store.enqueue(Batch(messages=(staged,), stage="s"))
    assert drive.store.locks()[0].parked == ("a",)
    drive.clock.advance(drive.store.options.stage_ttl_ms)
    assert drive.store.reap().deleted == 1
    (lock,) = drive.store.locks()
    assert (lock.owner, lock.parked) == ("holder", ())


def test_a_stage_that_is_dropped_leaves_a_later_message_of_the_same_id(drive: Driver) -> None:
    drive.store.enqueue(Batch(messages=(message("a", token="1"),), stage="s"))
    drive.store.revoke(["a"])
    drive.put_one("a", token="2")
    drive.clock.advance(drive.store.options.stage_ttl_ms)
    assert drive.store.reap().deleted == 0
    assert drive.state("a") == State.QUEUED


def test_the_rest_of_a_stage_that_was_dropped_is_refused(drive: Driver) -> None:
    drive.store.enqueue(Batch(messages=(message("a", edges=(edge("b"),)),), stage="s"))
    drive.clock.advance(drive.store.options.stage_ttl_ms)
    assert drive.store.reap().deleted == 1
    rest = Batch(messages=(message("b", waits=1),), stage="s", seal=True, after="a")
    with pytest.raises(errors.StoreError, match="silent for longer than stage_expires"):
        drive.store.enqueue(rest)
    assert drive.store.read(["a", "b"]) == (None, None)
    assert drive.store.counts().queues == {}


def test_a_name_of_a_stage_can_be_used_again(drive: Driver) -> None:
    drive.store.enqueue(Batch(messages=(message("a", waits=1),), stage="s", seal=True))
    drive.store.enqueue(Batch(messages=(message("b", edges=(edge("a"),)),), stage="s"))
    drive.put_one("c", edges=(edge("a"),))
    drive.run()
    assert drive.state("a") == State.QUEUED  # its own stage was sealed long ago
