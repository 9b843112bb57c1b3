"""A soft time limit that arrives within a call of ours is raised when that is over."""

import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.core import interrupts
from reliable_tasks.core.request import AttemptContext, Request
from reliable_tasks.errors import SoftTimeLimitExceeded, StepOutcomeUnknown
from reliable_tasks.store import values as v
from reliable_tasks.tasks.steps import run_step
from reliable_tasks.worker.pools.base import FencedStore
from tests.interrupting import MOST, amid
from tests.redis_server import redis_server
from tests.store.empty import empty_store

__all__ = ["redis_server"]

WANT = v.ClaimRequest(queues=("celery",), limit=1)


@pytest.fixture(params=["sqlite", "redis"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    url = empty_store(request, tmp_path)
    with App("limits", broker=url, set_as_current=False) as app:
        app.store.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
        yield app


def limit() -> None:
    interrupts.raise_between(SoftTimeLimitExceeded("soft"))


def running(app: App) -> AttemptContext:
    """A body that runs, as far as its store goes."""
    app.send_task("t")
    (claim,) = app.store.exchange("s", (), WANT).claims
    request = Request(task="t", id=claim.id, fence=claim.fence)
    return AttemptContext(
        app.tasks["reliable_tasks.map"], lambda: request, FencedStore(app.store, claim)
    )


def again(body: AttemptContext, app: App) -> AttemptContext:
    """The next delivery of the same message, after a death."""
    app.store.close_session("s")
    app.store.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
    (claim,) = app.store.exchange("s", (), WANT).claims
    assert claim.id == body.request.id
    request = Request(task="t", id=claim.id, fence=claim.fence)
    return AttemptContext(body.task, lambda: request, FencedStore(app.store, claim))


def test_an_enqueue_is_carried_through(app: App) -> None:
    app.send_task("t")
    sent = 1
    for at in range(MOST):
        try:
            if not amid(lambda: app.send_task("t"), at, limit):
                break
        except SoftTimeLimitExceeded:
            assert not interrupts.due()
            assert sum(app.store.counts().states.values()) - sent in {0, 1}
            sent = sum(app.store.counts().states.values())
        else:
            raise AssertionError(f"nobody heard of it at {at}")


def test_a_step_is_called_or_known_not_to_have_been(app: App) -> None:
    body = running(app)
    run_step(body, "first", str, (), {})
    for at in range(MOST):
        name, done = f"step {at}", list[str]()

        def effect(done: list[str] = done) -> str:
            done.append("begun")
            done.append("done")
            return "value"

        try:
            if not amid(lambda: run_step(body, name, effect, (), {}), at, limit):  # noqa: B023
                break
        except SoftTimeLimitExceeded as exc:
            trace = traceback.extract_tb(exc.__traceback__)
            within = any(frame.name == "effect" for frame in trace)
        else:
            raise AssertionError(f"nobody heard of it at {at}")
        assert not interrupts.due()
        body = again(body, app)
        if within:
            with pytest.raises(StepOutcomeUnknown):
                run_step(body, name, effect, (), {})
        else:
            assert run_step(body, name, effect, (), {}) == "value"
            assert done == ["begun", "done"]


def test_no_effect_is_begun_once_the_limit_has_passed(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, done = running(app), list[str]()
    step = app.store.step

    def step_at_the_limit(*args: Any) -> v.StepReply:
        reply = step(*args)
        if args[-1] is None:
            limit()
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(app.store, "step", step_at_the_limit)
        with pytest.raises(SoftTimeLimitExceeded):
            run_step(body, "charge", done.append, ("1",), {})
    assert done == []
    run_step(again(body, app), "charge", done.append, ("1",), {})
    assert done == ["1"]


def test_progress_is_told_or_not(app: App) -> None:
    body = running(app)
    assert body.store is not None
    body.store.report("BEGUN", b"1")  # what is read from files is read
    for at in range(MOST):
        try:
            if not amid(lambda: body.store.report("HALF", b"1"), at, limit):  # type: ignore[union-attr]
                break
        except SoftTimeLimitExceeded:
            assert not interrupts.due()
        else:
            raise AssertionError(f"nobody heard of it at {at}")
    assert app.AsyncResult(body.request.id).state == "HALF"


def test_what_is_whole_within_something_whole_waits_for_that() -> None:
    seen: list[str] = []

    @interrupts.whole
    def inner() -> None:
        limit()
        seen.append("inner")

    @interrupts.whole
    def outer() -> None:
        inner()
        seen.append("outer")

    with pytest.raises(SoftTimeLimitExceeded):
        outer()
    assert seen == ["inner", "outer"]
    assert not interrupts.due()


def test_other_threads_are_not_told() -> None:
    @interrupts.whole
    def call() -> None:
        pass

    @interrupts.whole
    def main() -> None:
        limit()
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        assert interrupts.due()

    with pytest.raises(SoftTimeLimitExceeded):
        main()


def test_what_was_meant_for_a_body_that_has_ended_is_forgotten() -> None:
    @interrupts.whole
    def call() -> Any:
        limit()
        interrupts.forget()

    call()
    assert not interrupts.due()
