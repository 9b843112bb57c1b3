"""The pools, each over the same exchanger and a real store in memory."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, Task, events, signals
from reliable_tasks.attempts.executor import Executor
from reliable_tasks.core.message import State
from reliable_tasks.errors import ConfigError, SoftTimeLimitExceeded, StaleClaim
from reliable_tasks.store import values as v
from reliable_tasks.worker.pools.base import FencedStore
from reliable_tasks.worker.scoreboard import Posted
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.worker.pooled import POOLS, SLOTS, Running

if TYPE_CHECKING:
    from collections.abc import Callable

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="untouched")


@pytest.mark.parametrize("name", POOLS)
def test_functions_and_coroutines_come_to_their_outcomes(app: App, name: str) -> None:
    add = app.task(name="add")(lambda x, y: x + y)

    @app.task(name="async_add")
    async def async_add(x: int, y: int) -> int:
        await asyncio.sleep(0)
        return x + y

    @app.task(name="fail")
    async def fail() -> None:
        raise KeyError("k")

    with Running(app, name):
        results = [task.delay(n, n) for n in range(10) for task in (add, async_add)]
        sums = [r.get(timeout=PATIENCE_S) for r in results]
        assert sums == [n * 2 for n in range(10) for _ in "ab"]
        with pytest.raises(KeyError):
            app.tasks["fail"].delay().get(timeout=PATIENCE_S)


@pytest.mark.parametrize("name", ["threads", "asyncio"])
def test_no_more_bodies_run_than_slots_and_the_board_shows_them(app: App, name: str) -> None:
    gate = threading.Event()

    @app.task(name="wait")
    def wait() -> None:
        gate.wait(PATIENCE_S)

    with Running(app, name) as running:
        results = [wait.delay() for _ in range(SLOTS + 2)]
        eventually(lambda: len(running.board.running()) == SLOTS, "all slots are in use")
        assert {p.id for p in running.board.running()} == {r.id for r in results[:SLOTS]}
        gate.set()
        for result in results:
            result.get(timeout=PATIENCE_S)


@pytest.mark.parametrize("name", POOLS)
def test_each_body_sees_its_own_request_and_leaves_no_context_behind(app: App, name: str) -> None:
    @app.task(name="who", bind=True)
    def who(self: Task[Any, Any]) -> tuple[str | None, str]:
        before = variable.get()
        variable.set("touched")
        return self.request.id, before

    @app.task(name="async_who", bind=True)
    async def async_who(self: Task[Any, Any]) -> tuple[str | None, str]:
        before = variable.get()
        variable.set("touched")
        await asyncio.sleep(0.001)
        return self.request.id, before

    with Running(app, name):
        for task in (who, app.tasks["async_who"]):
            results = [task.delay() for _ in range(20)]
            seen = [tuple(r.get(timeout=PATIENCE_S)) for r in results]
            assert seen == [(r.id, "untouched") for r in results]


@pytest.mark.parametrize("name", POOLS)
def test_hooks_receivers_and_the_body_share_one_context(app: App, name: str) -> None:
    seen: list[tuple[str, str]] = []

    class Sees(Task[Any, Any]):
        def before_start(self, *_: Any) -> None:
            seen.append(("before_start", variable.get()))
            variable.set("by before_start")

        def on_success(self, *_: Any) -> None:
            seen.append(("on_success", variable.get()))

    def body() -> None:
        seen.append(("body", variable.get()))
        variable.set("by the body")

    async def coroutine() -> None:
        body()

    expected = [
        ("before_start", "untouched"),
        ("body", "by before_start"),
        ("on_success", "by the body"),
    ]
    app.task(name="plain", base=Sees)(body)
    app.task(name="coroutine", base=Sees)(coroutine)
    with Running(app, name):
        for task in ("plain", "coroutine"):
            app.tasks[task].delay().get(timeout=PATIENCE_S)
            assert seen == expected
            seen.clear()


@pytest.mark.parametrize("name", POOLS)
def test_a_fault_of_the_workers_own_fails_the_message_instead_of_losing_it(
    app: App, name: str
) -> None:
    class Broken(Executor):
        def returned(self, *_: Any) -> Any:
            raise RuntimeError("a bug of ours")

    told: list[Any] = []
    end = events.subscribe(lambda _, fields: told.append(fields["id"]), "worker.internal_error")
    add = app.task(name="add")(lambda: 1)
    try:
        with Running(app, name, Broken(app, "w@h")):
            result = add.delay()
            with pytest.raises(RuntimeError, match="a bug of ours"):
                result.get(timeout=PATIENCE_S)
    finally:
        end()
    assert told == [result.id]


@pytest.mark.parametrize("name", ["threads", "asyncio"])
def test_a_thread_of_ours_that_fails_ends_the_process_and_not_just_itself(
    app: App, name: str
) -> None:
    running = Running(app, name)

    def broken(*_: Any) -> Any:
        raise SystemError("a bug of ours")

    exchanger: Any = running.pool.exchanger
    exchanger.done_then_take = exchanger.done = broken
    app.task(name="add")(lambda: 1)
    app.tasks["add"].delay()
    with pytest.raises(SystemError, match="a bug of ours"):
        running.pool.run()
    exchanger.drain()


def test_all_slots_of_the_loops_pool_run_plain_bodies_at_once(app: App) -> None:
    slots = 2 * (os.cpu_count() or 1) + 12  # more than the loop's own executor would have
    barrier = threading.Barrier(slots)
    app.task(name="meet")(lambda: barrier.wait(PATIENCE_S) >= 0)
    with Running(app, "asyncio", slots=slots):
        assert all(
            r.get(timeout=PATIENCE_S) for r in [app.tasks["meet"].delay() for _ in range(slots)]
        )


def test_a_soft_limit_meant_for_a_body_that_has_ended_hits_no_other(app: App) -> None:
    running = Running(app, "prefork")
    running.pool.soft_limit()  # nothing runs: nothing is raised
    add = app.task(name="add")(lambda: 1)
    with running:
        assert add.delay().get(timeout=PATIENCE_S) == 1


def test_a_soft_limit_is_raised_once_however_often_the_signal_comes(app: App) -> None:
    running = Running(app, "prefork")

    @app.task(name="tidies_up", soft_time_limit=0.01)
    def tidies_up() -> str:
        with pytest.raises(SoftTimeLimitExceeded):  # noqa: PT012 - until its time has come
            while True:
                running.pool.soft_limit()
        running.pool.soft_limit()
        return "tidy"

    with running:
        assert tidies_up.delay().get(timeout=PATIENCE_S) == "tidy"


def test_a_soft_limit_is_raised_in_the_main_thread_of_a_child(app: App) -> None:
    """Here this test's own thread is the child's main one, for the signal to reach."""

    @app.task(name="slow", soft_time_limit=0.2)
    def slow() -> None:
        time.sleep(20)

    running = Running(app, "prefork")
    before = signal.signal(signal.SIGUSR1, lambda *_: running.pool.soft_limit())

    def supervise() -> None:
        eventually(running.board.running, "it runs")
        deadline = running.board.running()[0].soft_deadline
        eventually(lambda: time.monotonic() >= deadline, "its limit has passed")
        os.kill(os.getpid(), signal.SIGUSR1)
        eventually(result.ready, "it has ended")
        running.pool.exchanger.drain()

    result = slow.delay()
    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    try:
        running.pool.run()
    finally:
        signal.signal(signal.SIGUSR1, before)
    supervisor.join()
    running.pool.exchanger.join()
    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=PATIENCE_S)


def test_a_body_whose_claim_was_taken_away_cannot_report(app: App) -> None:
    add = app.task(name="add")(lambda: 1)
    result = add.delay()
    want = v.ClaimRequest(queues=("celery",), limit=1)
    (claim,) = app.store.exchange("s", (), want).claims
    port = FencedStore(app.store, claim)
    port.report("PROGRESS", b"1")
    assert result.state == "PROGRESS"
    app.store.reap(["s"])
    with pytest.raises(StaleClaim, match=f"fence {claim.fence} was taken away"):
        port.report("PROGRESS", b"2")
    assert port.step("charge", None).known == "stale"
    (record,) = app.store.read([result.id])
    assert record is not None
    assert record.state == State.QUEUED


@pytest.mark.parametrize("name", POOLS)
def test_threads_of_a_body_publish_its_progress_by_its_id_while_it_runs(
    app: App, name: str
) -> None:
    late: list[Callable[[], None]] = []

    @app.task(name="works", bind=True)
    def works(self: Task[Any, Any]) -> list[int]:
        own = self.request.id
        late.append(lambda: self.update_state(task_id=own, state="LATE"))
        told: list[int] = []

        def tell(number: int) -> None:
            self.update_state(task_id=own, state="PROGRESS", meta=number)
            told.append(number)

        threads = [threading.Thread(target=tell, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(told)

    with Running(app, name):
        result = works.delay()
        assert result.get(timeout=PATIENCE_S) == [0, 1, 2]
        with pytest.raises(ConfigError, match="does not run here"):
            late[0]()
        with pytest.raises(ConfigError, match="works from inside the body"):
            works.update_state(state="PROGRESS")


# Revoked while they run --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_revoked_body_is_interrupted_as_its_signal_says_and_tidies_up(
    app: App, number: signal.Signals
) -> None:
    """Here this test's own thread is the child's main one, for the signal to reach."""
    raised: list[type[BaseException]] = []
    told: list[Any] = []
    end = events.subscribe(lambda _, fields: told.append(fields["id"]), "attempt.revoked")

    @app.task(name="slow", autoretry_for=(Exception,))
    def slow() -> None:
        try:
            time.sleep(2 * PATIENCE_S)
        except BaseException as exc:
            raised.append(type(exc))
            raise

    def is_over(state: str, **_: Any) -> None:
        over.append(state)

    over: list[str] = []
    signals.task_postrun.connect(is_over, sender=slow)
    app.task(name="add")(lambda: 1)
    running = Running(app, "prefork")
    before = signal.signal(number, lambda *_: running.pool.hear_of_revocation(number))

    def supervise() -> None:
        eventually(running.board.running, "it runs")
        eventually(lambda: running.pool._body, "its body does")  # type: ignore[attr-defined]
        running.board.revoke(running.board.running()[0].fence)
        os.kill(os.getpid(), number)
        behind.get(timeout=PATIENCE_S)
        running.pool.exchanger.drain()

    result = slow.delay()
    behind = app.tasks["add"].delay()
    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    try:
        running.pool.run()
    finally:
        signal.signal(number, before)
        signals.task_postrun.disconnect(is_over, sender=slow)
        end()
    supervisor.join()
    running.pool.exchanger.join()
    assert over == ["REVOKED"], "as it was told to start"
    of_signal = {signal.SIGINT: KeyboardInterrupt, signal.SIGUSR1: SoftTimeLimitExceeded}
    assert raised == [of_signal.get(number, SystemExit)]
    assert (result.state, told) == ("REVOKED", [result.id])


def test_a_word_of_a_revocation_that_comes_too_late_interrupts_nobody(app: App) -> None:
    running = Running(app, "prefork")
    assert not running.pool.hear_of_revocation(signal.SIGTERM), "it is about something else"
    running.board.post(0, Posted("a", 7, 1.0, 0.0, 0.0))
    running.board.revoke(7)
    assert running.pool.hear_of_revocation(signal.SIGTERM)
    assert not running.pool.hear_of_revocation(signal.SIGTERM)
    running.board.clear(0)
    with running:
        pass


@pytest.mark.parametrize("swallows", [False, True])
def test_a_revoked_coroutine_is_cancelled_and_its_neighbours_go_on(
    app: App, swallows: bool
) -> None:
    gate = threading.Event()
    app.task(name="neighbour")(lambda: gate.wait(PATIENCE_S))

    @app.task(name="waits")
    async def waits() -> str:
        try:
            await asyncio.sleep(2 * PATIENCE_S)
        except asyncio.CancelledError:
            if not swallows:
                raise
        return "in spite of it"

    with Running(app, "asyncio") as running:
        neighbour, revoked = app.tasks["neighbour"].delay(), app.tasks["waits"].delay()
        eventually(lambda: len(running.board.running()) == 2, "both run")
        running.board.revoke(*(p.fence for p in running.board.running() if p.id == revoked.id))
        assert not running.pool.hear_of_revocation(signal.SIGTERM), "that is to drain"
        assert running.pool.hear_of_revocation(signal.SIGUSR1)
        revoked.get(timeout=PATIENCE_S, propagate=False)
        assert revoked.state == ("SUCCESS" if swallows else "REVOKED")
        gate.set()
        assert neighbour.get(timeout=PATIENCE_S)


@pytest.mark.parametrize("name", ["threads", "asyncio"])
def test_a_revoked_body_in_a_thread_runs_to_its_end_and_that_is_told(name: str) -> None:
    app = App("told", broker="sqlite://", audit="all", set_as_current=False)
    app.store.open_session(v.SessionInfo(id="s", worker="w@h"), 60_000)
    told: list[Any] = []
    end = events.subscribe(lambda _, fields: told.append(fields["id"]), "attempt.not_stopped")
    gate = threading.Event()
    app.task(name="waits")(lambda: gate.wait(PATIENCE_S))
    with Running(app, name) as running:
        revoked = app.tasks["waits"].delay()
        eventually(lambda: len(running.board.running()) == 1, "it runs")
        running.board.revoke(running.board.running()[0].fence)
        for _ in range(2):
            assert running.pool.hear_of_revocation(signal.SIGUSR1)
        eventually(lambda: told, "it is told")
        gate.set()
        assert revoked.get(timeout=PATIENCE_S)
    end()
    assert told == [revoked.id]
    (row,) = app.store.audit(v.AuditQuery(id=revoked.id, event=v.AuditEvent.SUCCEEDED))
    assert b"to be terminated" in row.detail
    app.close()
