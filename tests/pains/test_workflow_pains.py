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
from tests.canvas.helpers import Bench, add_tasks
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
def opened(kind: str, **app_settings: Any) -> Iterator[Bench]:
    clock = FakeClock()
    with FACTORIES[kind](StoreOptions(audit="all"), clock) as store:
        yield Bench(store, clock, **app_settings)


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with opened(request.param) as found:
        yield found


@pytest.fixture
def t(bench: Bench) -> Any:
    return add_tasks(bench.app)


def record_of(bench: Bench, message_id: str) -> Record:
    (record,) = bench.store.read([message_id])
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
    bench: Bench, t: Any, graceful: bool
) -> None:
    slow = slow_task(bench.app, graceful=graceful)
    first = chain(slow.s(1), t.add.s(1))()
    running = bench.claim()
    second = chain(slow.s(1), t.add.s(2))()
    assert bench.commit(running) == (Verdict.COMMITTED,)
    assert (first.get(), second.get()) == (11, 12)
    assert bench.ran == {"slow": 1, "add": 2}
    assert bench.unended() == []
    assert bench.store.locks() == ()


@pytest.mark.parametrize("graceful", [False, True])
def test_pain_11_the_failure_of_a_shared_head_ends_both_tails(
    bench: Bench, t: Any, graceful: bool
) -> None:
    slow = slow_task(bench.app, graceful=graceful)
    first = chain(slow.s(-1), t.add.s(1))()
    second = chain(slow.s(-1), t.add.s(2))()
    for tail in (first, second):
        with pytest.raises(ValueError, match="below zero"):
            tail.get()
    assert bench.ran == {"slow": 1}
    assert bench.unended() == []
    assert bench.store.locks() == ()


@pytest.mark.parametrize("graceful", [False, True])
def test_pain_11_a_duplicate_in_a_header_holds_no_chord_up(
    bench: Bench, t: Any, graceful: bool
) -> None:
    slow = slow_task(bench.app, graceful=graceful)
    lone = slow.delay(1)
    running = bench.claim()
    knots = [chord([slow.s(1), t.echo.si(n)], t.xsum.s())() for n in (1, 2)]
    bench.commit(running)
    assert lone.get() == 10
    assert [knot.get() for knot in knots] == [11, 12]
    assert bench.ran == {"slow": 1, "echo": 2, "xsum": 2}
    assert bench.unended() == []


# 17 and 20: bodies that run twice or never; shapes that change ----------------------------------


@on_both_stores
@few
@given(plan=canvases(fine_calls), troubles=faults)
def test_pain_17_and_20_every_node_commits_once_and_the_result_has_the_shape_of_the_canvas(
    kind: str, plan: Any, troubles: list[str]
) -> None:
    bench = Workbench(kind, troubles)
    try:
        canvas = bench.build(plan)
        result = canvas.apply_async()
        assert result.get() == canvas.apply().get()
        assert shape(result) == shape_of_plan(plan)
        bench.drain()
        bench.late_commits()
        commits = commits_of(bench)
        assert set(commits) == {record.id for record in bench.records()}
        assert set(commits.values()) <= {1}
    finally:
        bench.close()


# 18: counts that drift ---------------------------------------------------------------------------


def succeed(bench: Bench, session: str, claim: Claim, value: int) -> Verdict:
    commit = Commit(id=claim.id, fence=claim.fence, outcome=outcome.Succeeded(result=dumps(value)))
    (verdict,) = bench.store.exchange(session, [commit], None).verdicts
    return verdict  # type: ignore[no-any-return]


@on_both_stores
def test_pain_18_a_member_that_ends_several_times_counts_once(kind: str) -> None:
    with opened(kind, result_expires=1) as bench:
        t = add_tasks(bench.app)
        late = t.echo.si(3).set(countdown=2 * 3600)
        body = chord([t.echo.si(1), late], t.xsum.s())()
        (first,) = bench.claim()
        died = bench.session
        bench.open_session()
        bench.store.reap(dead=[died])
        (second,) = bench.claim()
        assert second.id == first.id
        assert second.fence > first.fence
        assert succeed(bench, bench.session, second, 5) == Verdict.COMMITTED
        assert succeed(bench, bench.session, second, 5) == Verdict.COMMITTED, "its reply was lost"
        assert succeed(bench, died, first, 99) == Verdict.STALE
        assert record_of(bench, body.id).state == State.WAITING
        assert record_of(bench, body.id).waits == 1
        bench.clock.advance(HOUR_MS)
        bench.store.reap()
        assert bench.store.read([first.id]) == (None,), "the result has expired, its input has not"
        assert body.get() == 8
        assert bench.ran["xsum"] == 1


# 19: chords that hang ----------------------------------------------------------------------------


def poison(bench: Bench) -> None:
    """Let the worker die with what it runs until it is given up."""
    while claims := bench.claim():
        commits = [c for c in claims if c.task != "victim"]
        bench.commit(commits)
        died = bench.session
        bench.open_session()
        bench.store.reap(dead=[died])


def add_victim(app: App) -> Any:
    @app.task(name="victim", throws=(ValueError,))
    def victim(how: str) -> None:
        if how == "ignore":
            raise Ignore
        if how == "reject":
            raise Reject("no good")
        raise ValueError(how)

    return victim


def bring_about(how: str, bench: Bench, member: AsyncResult[Any]) -> None:
    """The endings that are not the body's own doing."""
    if how == "expire":
        bench.clock.advance(2 * HOUR_MS)
    elif how == "revoke":
        member.revoke()
    elif how == "poison":
        poison(bench)


@pytest.mark.parametrize("how", ["raise", "reject", "poison", "ignore", "expire", "revoke"])
def test_pain_19_however_a_member_ends_every_handle_does_and_the_errback_runs_once(
    bench: Bench, t: Any, how: str
) -> None:
    told = list[str]()

    @bench.app.task(name="tell")
    def tell(failed_id: str) -> None:
        told.append(failed_id)

    victim = add_victim(bench.app).si(how).set(expires=3600, queue="other")
    knot = chord([t.echo.si(1), victim, t.echo.si(2)], t.xsum.s()) | t.add.s(1)
    last = knot.on_error(tell.s())()
    body = last.parent
    bring_about(how, bench, body.parent[1])
    with pytest.raises(ChordError, match=body.parent[1].id):
        body.get(follow_parents=False)
    assert last.ready(), "in the same step"
    bench.drain()
    assert bench.unended() == []
    assert all(handle.ready() for handle in handles(last))
    assert bench.ran["xsum"] == 0
    assert len(told) == 1
    assert not last.successful()


def test_pain_19_nothing_polls_for_a_join(bench: Bench, t: Any) -> None:
    body = chord([t.echo.si(1), t.echo.si(2)], t.xsum.s())()
    running = bench.claim()
    assert sorted(record.task for record in bench.records()) == ["echo", "echo", "xsum"]
    bench.commit(running[:1])
    bench.clock.advance(24 * HOUR_MS)
    assert bench.claim() == (), "a day later there is nothing to do but what runs"
    bench.commit(running[1:])
    (gather,) = bench.claim()
    assert gather.id == body.id


@on_both_stores
@few
@given(plan=canvases(calls), troubles=faults)
def test_pain_19_whatever_fails_every_handle_ends_as_it_should(
    kind: str, plan: Any, troubles: list[str]
) -> None:
    bench = Workbench(kind, troubles)
    try:
        canvas = bench.build(plan)
        stored, eager = canvas.apply_async(), canvas.apply()
        bench.drain()
        bench.late_commits()
        assert bench.unended() == []
        for handle, expected in zip(handles(stored), handles(eager), strict=True):
            assert handle.ready()
            assert handle.successful() == expected.successful()
            assert handle.failed() == expected.failed()
    finally:
        bench.close()
