"""A replaced message keeps its once-key while it lives, and lends it to its replacement."""

from typing import Any

import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import Message, State
from reliable_tasks.store.values import ReceiptKind
from tests.store.driver import Driver, edge, message, once


def _part(message_id: str, **fields: Any) -> Message:
    return message(message_id, joins_duplicate=True, **fields)


def _replace(drive: Driver, *messages: Message) -> None:
    drive.run(oc.Replaced(messages=messages))


def _page(message_id: str, of: str, **fields: Any) -> Message:
    return _part(message_id, once=once(**fields), edges=(edge(of, "mirror"),))


def _duplicate(drive: Driver) -> str | None:
    receipt = drive.put_one("x", once=once())
    assert receipt.kind == ReceiptKind.DUPLICATE
    return receipt.holder


def test_one_with_the_same_key_takes_the_place(drive: Driver) -> None:
    drive.put_one("a", once=once())
    for name, of in (("b", "a"), ("c", "b"), ("d", "c")):
        _replace(drive, _page(name, of))
        assert (drive.state(name), _duplicate(drive)) == (State.QUEUED, "a")
    drive.run(oc.Succeeded(result=b"r"))
    assert {drive.record(name).result for name in "abcd"} == {b"r"}
    assert drive.put_one("x", once=once()).kind == ReceiptKind.CREATED


def test_a_later_part_may_have_the_same_key(drive: Driver) -> None:
    drive.put_one("a", once=once())
    last = _part("last", edges=(edge("a", "mirror"),), waits=1)
    _replace(drive, last, _part("first", edges=(edge("last"),)))
    drive.run()
    drive.run(oc.KeyAssigned(once=once()))
    assert drive.state("last") == State.QUEUED
    assert _duplicate(drive) == "a"
    drive.run(oc.Succeeded(result=b"r"))
    assert drive.record("a").result == b"r"
    assert drive.holder() is None


def test_one_after_another_may_have_the_key(drive: Driver) -> None:
    drive.put_one("a", once=once())
    last = _part("c", edges=(edge("a", "mirror"),), waits=1)
    _replace(drive, last, _part("b", once=once(), edges=(edge("c"),)))
    drive.run()
    assert _duplicate(drive) == "a"
    drive.run(oc.KeyAssigned(once=once()))
    drive.run(oc.Succeeded(result=b"r"))
    assert drive.record("a").result == b"r"


def test_of_two_beside_each_other_one_runs_and_the_other_joins_it(drive: Driver) -> None:
    drive.put_one("a", once=once())
    end = _part("end", edges=(edge("a", "mirror"),), waits=2)
    parts = (_part(name, once=once(), edges=(edge("end"),)) for name in "bc")
    _replace(drive, end, *parts)
    assert drive.record("c").mirrors == "b"
    assert [claim.id for claim in drive.claim(9)] == ["b"]


def test_a_replacement_of_a_part_without_a_key_may_have_it(drive: Driver) -> None:
    drive.put_one("a", once=once())
    _replace(drive, _part("b", edges=(edge("a", "mirror"),)))
    _replace(drive, _page("c", "b"))
    assert drive.state("c") == State.QUEUED
    drive.run()
    assert drive.state("a") == State.SUCCEEDED


def test_what_replaces_a_part_excludes_the_other_parts(drive: Driver) -> None:
    drive.put_one("a", once=once())
    end = _part("end", edges=(edge("a", "mirror"),), waits=2)
    late = _part("late", edges=(edge("end"),), delay_ms=10)
    _replace(drive, end, _part("b", once=once(), edges=(edge("end"),)), late)
    _replace(drive, _page("c", "b"))
    drive.clock.advance(10)
    claims = {claim.id: claim for claim in drive.claim(9)}
    drive.commit(claims["late"], oc.KeyAssigned(once=once()))
    assert drive.record("late").mirrors == "c"
    drive.commit(claims["c"], oc.Succeeded(result=b"r"))
    assert drive.record("late").result == b"r"
    drive.run()
    assert drive.state("a") == State.SUCCEEDED


def _revoke(drive: Driver) -> None:
    drive.store.revoke(["a"])


def _fail_beside(drive: Driver) -> None:
    drive.commit(drive.claim_one(), oc.Failed())


@pytest.mark.parametrize("ending", [_revoke, _fail_beside])
def test_who_uses_the_key_has_it_when_the_replaced_has_ended(drive: Driver, ending: Any) -> None:
    drive.put_one("a", once=once(timeout_ms=5_000))
    since = drive.store.locks()[0]
    end = _part("end", edges=(edge("a", "mirror"),), waits=2)
    other = _part("other", edges=(edge("end"),), priority=9)
    _replace(drive, end, _part("b", once=once(), edges=(edge("end"),)), other)
    claim = drive.claim_one()
    drive.clock.advance(10)
    ending(drive)
    assert drive.record("a").ended_ms is not None
    (lock,) = drive.store.locks()
    assert (lock.owner, lock.until_ms, lock.fence) == ("b", since.until_ms, since.fence)
    assert _duplicate(drive) == "b"
    drive.commit(claim)
    assert drive.holder() is None


def test_a_key_that_was_passed_on_is_passed_on_to_those_behind(drive: Driver) -> None:
    drive.put_one("a", once=once())
    _replace(drive, _page("b", "a"))
    drive.put_one("x", once=once(on_conflict="reschedule"))
    drive.store.revoke(["a"])
    assert (drive.holder(), drive.state("x")) == ("b", State.WAITING)
    drive.run()
    assert (drive.holder(), drive.state("x")) == ("x", State.QUEUED)


@pytest.mark.parametrize(
    ("policy", "kind"), [("replace", ReceiptKind.DUPLICATE), ("rerun", ReceiptKind.RERUN)]
)
def test_a_replaced_message_has_started(drive: Driver, policy: str, kind: ReceiptKind) -> None:
    """Its arguments are not needed any more: those of another call would be lost on it."""
    drive.put_one("a", once=once(on_conflict=policy), payload=b"old")
    _replace(drive, _page("b", "a"))
    assert drive.put_one("x", once=once(on_conflict=policy), payload=b"new").kind == kind
    assert drive.record("a", full=True).payload == b"old"
    drive.run()
    later = [claim.payload for claim in drive.claim(9)]
    assert later == ([b"new"] if policy == "rerun" else [])


def test_a_replaced_message_does_not_expire(drive: Driver) -> None:
    drive.put_one("a", expires_in_ms=100)
    _replace(drive, _part("b", edges=(edge("a", "mirror"),)))
    drive.clock.advance(200)
    assert drive.store.reap().expired == 0
    drive.run()
    assert drive.state("a") == State.SUCCEEDED


def test_a_key_that_outlives_its_message_is_lent_too(drive: Driver) -> None:
    lasting: dict[str, Any] = {"scope": "until_expired", "timeout_ms": 500}
    drive.put_one("a", once=once(**lasting))
    _replace(drive, _page("b", "a", **lasting))
    drive.run(oc.Succeeded(result=b"r"))
    assert drive.record("a").result == b"r"
    assert drive.holder() == "a"
    drive.clock.advance(500)
    drive.store.reap()
    assert drive.holder() is None


def test_a_stranger_that_took_the_key_after_its_cap_is_joined(drive: Driver) -> None:
    drive.put_one("a", once=once(timeout_ms=500))
    last = _part("last", edges=(edge("a", "mirror"),), waits=1)
    _replace(drive, last, _part("first", edges=(edge("last"),)))
    drive.clock.advance(500)
    drive.store.reap()
    drive.put_one("x", once=once())
    drive.run()
    claims = {claim.id: claim for claim in drive.claim(9)}
    drive.commit(claims["last"], oc.KeyAssigned(once=once()))
    assert drive.record("last").mirrors == "x"
    drive.commit(claims["x"], oc.Succeeded(result=b"r"))
    assert drive.record("a").result == b"r"


def test_another_key_takes_the_place_of_the_one_that_is_held(drive: Driver) -> None:
    drive.put_one("a", once=once("old"))
    drive.put_one("x", once=once("old", on_conflict="reschedule"))
    drive.run(oc.KeyAssigned(once=once("new")))
    assert (drive.holder("old"), drive.holder("new")) == ("x", "a")
    for _ in range(2):
        drive.run()
    assert drive.store.locks() == ()
