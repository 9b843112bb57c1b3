"""What users of workflows have suffered elsewhere, held against both stores."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from property_tests.test_canvas import (
    Workbench,
    calls,
    canvases,
    commits_of,
    faults,
    fine_calls,
    handles,
    shape,
    shape_of_plan,
)
from reliable_tasks import App, OnceTask, chain, chord
from reliable_tasks.core import outcome
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.message import State
from reliable_tasks.errors import ChordError, Ignore, Reject
from reliable_tasks.store.values import Commit, StoreOptions, Verdict
from tests.canvas.helpers import Harness, add_tasks
from tests.fakes import FakeClock
from tests.store.factories import FACTORIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.results.result import AsyncResult
    from reliable_tasks.store.values import Claim, Record

KINDS = ("sqlite", "redis")
on_both_stores = pytest.mark.parametrize("kind", KINDS)
few = settings(max_examples=15)
HOUR_MS = 3_600_000


@contextmanager
def opened(kind: str, **app_settings: Any) -> Iterator[Harness]:
    clock = FakeClock()
    with FACTORIES[kind](StoreOptions(audit="all"), clock) as store:
        yield Harness(store, clock, **app_settings)


@pytest.fixture(params=KINDS)
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    with opened(request.param) as found:
        yield found


@pytest.fixture
def t(harness: Harness) -> Any:
    return add_tasks(harness.app)


def record_of(harness: Harness, message_id: str) -> Record:
    (record,) = harness.store.read([message_id])
    return record  # type: ignore[no-any-return]


# 11: a duplicate in a workflow -------------------------------------------------------------------


def slow_task(app: App, *, graceful: bool) -> Any:
    @app.task(name="slow", base=OnceTask, once={"graceful": graceful}, throws=(ValueError,))
    def slow(value: int) -> int:
        if value < 0:
            raise ValueError(f"below zero: {value}")
        return value * 10

    return slow


@pytest.mark.parametrize("graceful", [False, True])
def test_pain_11_chains_that_share_a_running_head_run_both_tails(
    harness: Harness, t: Any, graceful: bool
) -> None:
    slow = slow_task(harness.app, graceful=graceful)
    first = chain(slow.s(1), t.add.s(1))()
    running = harness.claim()
    second = chain(slow.s(1), t.add.s(2))()
    assert harness.commit(running) == (Verdict.COMMITTED,)
    assert (first.get(), second.get()) == (11, 12)
    assert harness.ran == {"slow": 1, "add": 2}
    assert harness.unended() == []
    assert harness.store.locks() == ()


@pytest.mark.parametrize("graceful", [False, True])
def test_pain_11_the_failure_of_a_shared_head_ends_both_tails(
    harness: Harness, t: Any, graceful: bool
) -> None:
    slow = slow_task(harness.app, graceful=graceful)
    first = chain(slow.s(-1), t.add.s(1))()
    second = chain(slow.s(-1), t.add.s(2))()
    for tail in (first, second):
        with pytest.raises(ValueError, match="below zero"):
            tail.get()
    assert harness.ran == {"slow": 1}
    assert harness.unended() == []
    assert harness.store.locks() == ()


@pytest.mark.parametrize("graceful", [False, True])
def test_pain_11_a_duplicate_in_a_header_holds_no_chord_up(
    harness: Harness, t: Any, graceful: bool
) -> None:
    slow = slow_task(harness.app, graceful=graceful)
    lone = slow.delay(1)
    running = harness.claim()
    knots = [chord([slow.s(1), t.echo.si(n)], t.xsum.s())() for n in (1, 2)]
    harness.commit(running)
    assert lone.get() == 10
    assert [knot.get() for knot in knots] == [11, 12]
    assert harness.ran == {"slow": 1, "echo": 2, "xsum": 2}
    assert harness.unended() == []


# 17 and 20: bodies that run twice or never; shapes that change ----------------------------------


@on_both_stores
@few
@given(plan=canvases(fine_calls), troubles=faults)
def test_pain_17_and_20_every_node_commits_once_and_the_result_has_the_shape_of_the_canvas(
    kind: str, plan: Any, troubles: list[str]
) -> None:
    harness = Workbench(kind, troubles)
    try:
        canvas = harness.build(plan)
        result = canvas.apply_async()
        assert result.get() == canvas.apply().get()
        assert shape(result) == shape_of_plan(plan)
        harness.drain()
        harness.late_commits()
        commits = commits_of(harness)
        assert set(commits) == {record.id for record in harness.records()}
        assert set(commits.values()) <= {1}
    finally:
        harness.close()


# 18: counts that drift ---------------------------------------------------------------------------


def succeed(harness: Harness, session: str, claim: Claim, value: int) -> Verdict:
    commit = Commit(id=claim.id, fence=claim.fence, outcome=outcome.Succeeded(result=dumps(value)))
    (verdict,) = harness.store.exchange(session, [commit], None).verdicts
    return verdict  # type: ignore[no-any-return]


@on_both_stores
def test_pain_18_a_member_that_ends_several_times_counts_once(kind: str) -> None:
    with opened(kind, result_expires=1) as harness:
        t = add_tasks(harness.app)
        late = t.echo.si(3).set(countdown=2 * 3600)
        body = chord([t.echo.si(1), late], t.xsum.s())()
        (first,) = harness.claim()
        died = harness.session
        harness.open_session()
        harness.store.reap(dead=[died])
        (second,) = harness.claim()
        assert second.id == first.id
        assert second.fence > first.fence
        assert succeed(harness, harness.session, second, 5) == Verdict.COMMITTED
        assert succeed(harness, harness.session, second, 5) == Verdict.COMMITTED, (
            "its reply was lost"
        )
        assert succeed(harness, died, first, 99) == Verdict.STALE
        assert record_of(harness, body.id).state == State.WAITING
        assert record_of(harness, body.id).waits == 1
        harness.clock.advance(HOUR_MS)
        harness.store.reap()
        assert harness.store.read([first.id]) == (None,), (
            "the result has expired, its input has not"
        )
        assert body.get() == 8
        assert harness.ran["xsum"] == 1


# 19: chords that hang ----------------------------------------------------------------------------


def poison(harness: Harness) -> None:
    """Let the worker die with what it runs until it is given up."""
    while claims := harness.claim():
        commits = [c for c in claims if c.task != "victim"]
        harness.commit(commits)
        died = harness.session
        harness.open_session()
        harness.store.reap(dead=[died])


def add_victim(app: App) -> Any:
    @app.task(name="victim", throws=(ValueError,))
    def victim(how: str) -> None:
        if how == "ignore":
            raise Ignore
        if how == "reject":
            raise Reject("no good")
        raise ValueError(how)

    return victim


def bring_about(how: str, harness: Harness, member: AsyncResult[Any]) -> None:
    """The endings that are not the body's own doing."""
    if how == "expire":
        harness.clock.advance(2 * HOUR_MS)
    elif how == "revoke":
        member.revoke()
    elif how == "poison":
        poison(harness)


@pytest.mark.parametrize("how", ["raise", "reject", "poison", "ignore", "expire", "revoke"])
def test_pain_19_however_a_member_ends_every_handle_does_and_the_errback_runs_once(
    harness: Harness, t: Any, how: str
) -> None:
    told = list[str]()

    @harness.app.task(name="tell")
    def tell(failed_id: str) -> None:
        told.append(failed_id)

    victim = add_victim(harness.app).si(how).set(expires=3600, queue="other")
    knot = chord([t.echo.si(1), victim, t.echo.si(2)], t.xsum.s()) | t.add.s(1)
    last = knot.on_error(tell.s())()
    body = last.parent
    bring_about(how, harness, body.parent[1])
    with pytest.raises(ChordError, match=body.parent[1].id):
        body.get(follow_parents=False)
    assert last.ready(), "in the same step"
    harness.drain()
    assert harness.unended() == []
    assert all(handle.ready() for handle in handles(last))
    assert harness.ran["xsum"] == 0
    assert len(told) == 1
    assert not last.successful()


def test_pain_19_nothing_polls_for_a_join(harness: Harness, t: Any) -> None:
    body = chord([t.echo.si(1), t.echo.si(2)], t.xsum.s())()
    running = harness.claim()
    assert sorted(record.task for record in harness.records()) == ["echo", "echo", "xsum"]
    harness.commit(running[:1])
    harness.clock.advance(24 * HOUR_MS)
    assert harness.claim() == (), "a day later there is nothing to do but what runs"
    harness.commit(running[1:])
    (gather,) = harness.claim()
    assert gather.id == body.id


@on_both_stores
@few
@given(plan=canvases(calls), troubles=faults)
def test_pain_19_whatever_fails_every_handle_ends_as_it_should(
    kind: str, plan: Any, troubles: list[str]
) -> None:
    harness = Workbench(kind, troubles)
    try:
        canvas = harness.build(plan)
        stored, eager = canvas.apply_async(), canvas.apply()
        harness.drain()
        harness.late_commits()
        assert harness.unended() == []
        for handle, expected in zip(handles(stored), handles(eager), strict=True):
            assert handle.ready()
            assert handle.successful() == expected.successful()
            assert handle.failed() == expected.failed()
    finally:
        harness.close()
