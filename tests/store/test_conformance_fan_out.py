"""What an ending does to many others: in bounded steps, and whole, whoever dies between them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from property_tests.ablations.switching import changed
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.store import steps
from reliable_tasks.store.sqlite import endings
from tests.store.driver import SESSION, Driver, edge, message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.store.conftest import Opener

CHILDREN = [f"child {n}" for n in range(7)]


@pytest.fixture
def drive(open_driver: Opener, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """A store that follows two edges in one step."""
    monkeypatch.setattr(endings, "FOLLOWED_AT_ONCE", 2)
    with changed("lua:*", "FOLLOWED_AT_ONCE = 200", "FOLLOWED_AT_ONCE = 2"):
        yield open_driver(audit="all")


def _put(drive: Driver, on: str = "success", slot: int = -1) -> None:
    """A parent of seven, each of which has a child of its own."""
    drive.put(
        *(message(f"grand{name}", waits=1) for name in CHILDREN),
        *(message(name, waits=1, edges=(edge(f"grand{name}"),)) for name in CHILDREN),
        message("parent", edges=tuple(edge(name, on, slot) for name in CHILDREN)),
    )


@contextlib.contextmanager
def _dies_after_the_first_step(drive: Driver) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive.store, "_resume", lambda: None)
        yield


def _states(drive: Driver, names: list[str] = CHILDREN) -> list[State]:
    return [drive.state(name) for name in names]


def _reap(drive: Driver) -> None:
    while drive.store.reap().more:
        pass


def test_a_commit_starts_all_that_wait_for_it(drive: Driver) -> None:
    _put(drive, slot=0)
    drive.run(oc.Succeeded(result=b"r", keep=False))
    claims = drive.claim(20)
    assert [claim.id for claim in claims] == CHILDREN
    assert all(claim.inputs[0].value == b"r" for claim in claims)


def test_a_failure_ends_all_that_wait_for_it_and_for_those(drive: Driver) -> None:
    _put(drive)
    drive.run(oc.Failed(failure=b"f"))
    names = [*CHILDREN, *(f"grand{name}" for name in CHILDREN)]
    assert {drive.record(name).failure for name in names} == {b"f"}
    assert set(_states(drive, names)) == {State.FAILED}
    assert drive.events().count("failed") == 15


def _commit(outcome: oc.Outcome) -> Callable[[Driver], Any]:
    return lambda drive: drive.run(outcome)


def _revoke(drive: Driver) -> None:
    drive.store.revoke(["parent"])


def _purge(drive: Driver) -> None:
    drive.store.purge("celery")


def _expire(drive: Driver) -> None:
    drive.clock.advance(100)
    drive.store.reap()


ENDINGS: dict[str, tuple[Callable[[Driver], Any], str, State]] = {
    "success": (_commit(oc.Succeeded()), "success", State.QUEUED),
    "failure": (_commit(oc.Failed()), "success", State.FAILED),
    "errbacks": (_commit(oc.Failed()), "failure", State.QUEUED),
    "no errbacks": (_commit(oc.Succeeded()), "failure", State.REVOKED),
    "revoked": (_revoke, "success", State.FAILED),
    "purged": (_purge, "success", State.FAILED),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_whoever_reaps_goes_on_after_a_death(drive: Driver, name: str) -> None:
    end, on, state = ENDINGS[name]
    _put(drive, on)
    with _dies_after_the_first_step(drive):
        end(drive)
    assert _states(drive) == [state] * 2 + [State.WAITING] * 5
    drive.store.drop(["parent"])  # it is not needed for that any more
    _reap(drive)
    assert _states(drive) == [state] * 7
    drive.claim(20)
    assert drive.events().count("started") == (state == State.QUEUED) * 7 + (name[0] not in "rp")


def test_a_session_that_closes_ends_all_that_wait_for_what_was_revoked(drive: Driver) -> None:
    _put(drive)
    (claim,) = drive.claim(1)
    drive.store.revoke([claim.id])
    drive.store.close_session(SESSION)
    names = ["parent", *CHILDREN, *(f"grand{name}" for name in CHILDREN)]
    assert drive.state("parent") == State.REVOKED
    assert set(_states(drive, names[1:])) == {State.FAILED}, "without a reap"


def test_a_death_in_the_midst_of_going_on_does_nothing_twice(drive: Driver) -> None:
    _put(drive, slot=0)
    with _dies_after_the_first_step(drive):
        drive.run(oc.Succeeded(result=b"r"))
        drive.store.reap(limit=steps.STEP_MESSAGES)
    assert _states(drive).count(State.QUEUED) in {4, 6}
    _reap(drive)
    assert [claim.id for claim in drive.claim(20)] == CHILDREN
    assert len(drive.record("child 6").edges) == 0


def test_a_later_message_of_the_same_id_has_nothing_to_do_with_it(drive: Driver) -> None:
    _put(drive)
    with _dies_after_the_first_step(drive):
        drive.run(oc.Failed(failure=b"f"))
    drive.put_one("parent", token="later")
    drive.run(oc.Failed(failure=b"g"))
    drive.store.replay(["parent"])
    drive.run()
    _reap(drive)
    assert _states(drive) == [State.FAILED] * 7
    assert {drive.record(name).failure for name in CHILDREN} == {b"f"}


def test_what_a_replayed_message_had_not_ended_yet_goes_on_waiting_for_it(drive: Driver) -> None:
    _put(drive)
    with _dies_after_the_first_step(drive):
        drive.run(oc.Failed())
        drive.store.replay(["parent"])
    _reap(drive)
    assert _states(drive) == [State.WAITING] * 7
    drive.run()
    assert _states(drive) == [State.QUEUED] * 7


def test_what_a_fallen_one_had_not_ended_yet_goes_on_waiting_for_it(drive: Driver) -> None:
    _put(drive)
    with _dies_after_the_first_step(drive):
        drive.run(oc.Failed())
        drive.store.reap(limit=steps.STEP_MESSAGES)
        drive.store.replay(["parent"])
    _reap(drive)
    everything = [*CHILDREN, *(f"grand{name}" for name in CHILDREN)]
    assert _states(drive, everything) == [State.WAITING] * 14
    for expected in (1, 7, 7):
        for claim in (claims := drive.claim(20)):
            drive.commit(claim)
        assert len(claims) == expected
    assert _states(drive, everything) == [State.SUCCEEDED] * 14


def test_lists_longer_than_a_batch_are_gone_through_in_parts(open_driver: Opener) -> None:
    drive = open_driver(max_batch=3)
    for name in CHILDREN:
        drive.put_one(name)
    assert [reply.found for reply in drive.store.revoke([*CHILDREN, "x"])] == ["revoked"] * 7 + [
        "unknown"
    ]
    assert drive.store.drop([*CHILDREN, *CHILDREN]) == 7
    assert [reply.done for reply in drive.store.replay(CHILDREN)] == ["unknown"] * 7
    assert drive.store.revoke([]) == ()
