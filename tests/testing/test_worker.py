"""Virtual time, and the worker in the test's own thread."""

import asyncio
import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from reliable_tasks import App, OnceTask, chain, chord
from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError
from reliable_tasks.store.values import AuditQuery, ClaimRequest, SessionInfo
from reliable_tasks.testing import NotIdle, VirtualTime, bound, run_until_idle


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime(dt.datetime(2030, 1, 1, tzinfo=dt.UTC))


@pytest.fixture
def app(time: VirtualTime) -> Iterator[App]:
    app = App("testing", broker="redis://nowhere.invalid", set_as_current=False)

    @app.task(name="add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    with bound(app, time):
        yield app


def test_time_stands_still_until_it_is_moved(time: VirtualTime) -> None:
    began = time.now
    assert time.advance(1.5) - began == dt.timedelta(seconds=1.5)
    assert time.advance(dt.timedelta(hours=1)) - began == dt.timedelta(hours=1, seconds=1.5)
    assert time() == time.monotonic() * 1000
    with pytest.raises(ValueError, match="backwards"):
        time.advance(-1)


def test_time_begins_at_the_present() -> None:
    assert abs(VirtualTime().now - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


def test_what_ran_is_told_in_order(app: App) -> None:
    first = app.tasks["add"].delay(1, 2)
    second = app.tasks["add"].delay(3)
    ran = run_until_idle(app)
    assert [(r.id, r.task, r.attempt, r.outcome) for r in ran] == [
        (first.id, "add", 1, "Succeeded"),
        (second.id, "add", 1, "Succeeded"),
    ]
    assert (first.get(timeout=0), second.get(timeout=0)) == (3, 3)
    assert run_until_idle(app) == ()


def test_time_moves_to_what_is_due(app: App, time: VirtualTime) -> None:
    began = time.now
    result = app.tasks["add"].apply_async((1,), countdown=86_400)
    assert run_until_idle(app, advance=False) == ()
    assert result.state == "PENDING"
    assert time.now == began
    assert len(run_until_idle(app)) == 1
    assert time.now - began == dt.timedelta(days=1)


def test_retries_take_their_delays(app: App, time: VirtualTime) -> None:
    at: list[dt.datetime] = []

    @app.task(bind=True, name="flaky", max_retries=3, retry_backoff=10, retry_jitter=False)
    def flaky(self: Any) -> None:
        at.append(time.now)
        if self.request.retries < 2:
            raise self.retry(countdown=60 * (self.request.retries + 1))

    flaky.delay()
    assert [r.outcome for r in run_until_idle(app)] == ["Retry", "Retry", "Succeeded"]
    assert [(b - a).total_seconds() for a, b in itertools.pairwise(at)] == [60, 120]


def test_bodies_and_other_queues_feed_the_worker(app: App) -> None:
    @app.task(name="parent")
    def parent(depth: int) -> None:
        if depth:
            parent.apply_async((depth - 1,), queue=f"q{depth}")

    parent.delay(3)
    assert len(run_until_idle(app)) == 4


def test_a_workflow_runs_to_its_end(app: App) -> None:
    @app.task(name="total")
    def total(values: list[int]) -> int:
        return sum(values)

    add = app.tasks["add"]
    result = chord([add.s(1, 1), chain(add.s(2, 2), add.s(3))])(total.s())
    run_until_idle(app)
    assert result.get(timeout=0) == 9


def test_a_lock_that_lapses_lets_the_next_one_run(app: App, time: VirtualTime) -> None:
    @app.task(
        base=OnceTask,
        name="once",
        once={"scope": "until_expired", "timeout": 30, "on_conflict": "reschedule"},
    )
    def once() -> None: ...

    began = time.now
    once.delay()
    once.delay()
    assert len(run_until_idle(app)) == 2
    assert time.now - began == dt.timedelta(seconds=30)


def test_coroutine_bodies_run(app: App) -> None:
    @app.task(name="slow")
    async def slow(x: int) -> int:
        await asyncio.sleep(0)
        return x

    result = slow.delay(3)
    run_until_idle(app)
    assert result.result == 3


def test_what_never_ends_is_told(app: App) -> None:
    @app.task(bind=True, name="again", max_retries=None)
    def again(self: Any) -> None:
        raise self.retry(countdown=1)

    again.delay()
    with pytest.raises(NotIdle, match="20 attempts have run and again"):
        run_until_idle(app, max_steps=20)
    assert not app.store.sessions()


def test_what_never_starts_is_told(app: App) -> None:
    app.tasks["add"].delay(1)
    app.store.open_session(SessionInfo(id="s", worker="w"), 10**12)
    app.store.exchange("s", (), ClaimRequest(queues=("celery",), limit=1))
    with pytest.raises(NotIdle, match=r"1 messages will never start: add\[.*\] is running"):
        run_until_idle(app)


def test_a_test_that_fails_in_a_body_fails(app: App) -> None:
    @app.task(name="checks")
    def checks() -> None:
        pytest.fail("seen")

    checks.delay()
    with pytest.raises(pytest.fail.Exception, match="seen"):
        run_until_idle(app)


def test_a_body_that_exits_fails_its_message_only(app: App) -> None:
    @app.task(name="exits")
    def exits() -> None:
        raise SystemExit(3)

    result = exits.delay()
    assert [r.outcome for r in run_until_idle(app)] == ["Failed"]
    assert result.state == "FAILURE"


def test_a_real_store_is_never_touched() -> None:
    app = App("real", broker="redis://nowhere.invalid", set_as_current=False)
    with pytest.raises(ConfigError, match="not bound"):
        run_until_idle(app)


def test_the_app_gets_back_what_it_had(time: VirtualTime) -> None:
    app = App("outer", broker="sqlite://", set_as_current=False)
    store, current = app.store, context.get_current_app()
    with bound(app, time) as outer:
        first = app.store
        with bound(app) as inner:
            assert app.store is not first
            assert inner is not outer
        assert app.store is first
        assert app.store.now_ms() == time()
        run_until_idle(app)
    assert app.store is store
    assert context.get_current_app() is current
    with pytest.raises(ConfigError):
        run_until_idle(app)


def test_the_whole_trail_is_kept(app: App) -> None:
    result = app.tasks["add"].delay(1)
    run_until_idle(app)
    events = [row.event for row in app.store.audit(AuditQuery(id=result.id))]
    assert events == ["enqueued", "started", "succeeded"]
