"""`self.step`, the fence and the idempotency key, through a real executor and a real store."""

from collections.abc import Iterator
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.core.message import State
from reliable_tasks.core.request import AttemptContext, AttemptStore, Request
from reliable_tasks.errors import (
    SoftTimeLimitExceeded,
    StaleClaim,
    StepOutcomeUnknown,
    StoreUnavailable,
)
from reliable_tasks.store.values import AuditQuery, ClaimRequest, Record, SessionInfo, StepReply
from reliable_tasks.tasks.steps import run_step
from reliable_tasks.testing import bound, run_until_idle
from reliable_tasks.testing.binding import time_of
from reliable_tasks.testing.deaths import Death
from reliable_tasks.testing.worker import InlineWorker

LEASE_MS = 1000


@pytest.fixture
def app() -> Iterator[App]:
    app = App("steps", broker="sqlite://", set_as_current=False)
    with bound(app):
        yield app


def record_of(app: App, message_id: str) -> Record:
    record = app.store.read([message_id])[0]
    assert record is not None
    return record


def recorded(app: App, message_id: str) -> list[bytes]:
    return [r.detail for r in app.store.audit(AuditQuery(id=message_id)) if r.event == "step"]


def run_and_die(app: App) -> None:
    """Run until a body dies; its worker's claims are taken back."""
    worker = InlineWorker(app, time_of(app))
    with pytest.raises(Death):
        worker.run(100, advance=True)
    app.store.reap([worker.session])


def lose_claim(app: App, session: str = "other") -> None:
    """Another worker takes over what this one holds, as after a lapsed lease."""
    running = [s.id for s in app.store.sessions()]
    app.store.reap(running)
    app.store.open_session(SessionInfo(id=session, worker="other@host"), LEASE_MS)
    assert app.store.exchange(session, (), ClaimRequest(queues=("celery",), limit=1)).claims


# Recorded and replayed ----------------------------------------------------------------------------


def test_a_step_is_called_once_and_replayed_on_a_retry(app: App) -> None:
    calls: list[str] = []
    seen: list[Any] = []

    def charge(*args: int, **kwargs: int) -> Any:
        calls.append("x")
        return args, kwargs

    @app.task(bind=True, name="order", max_retries=5)
    def order(self: Any, number: int) -> Any:
        seen.append(self.step("charge", charge, number, by=2))
        if self.request.retries < 2:
            raise self.retry(countdown=1)
        return seen[-1]

    result = order.delay(7)
    run_until_idle(app)
    assert calls == ["x"]
    assert seen == [((7,), {"by": 2})] * 3
    assert result.get(timeout=0) == seen[0]


@pytest.mark.parametrize("value", [None, False, "", b"!bytes", (1, [2]), {"a": None}])
def test_any_value_is_replayed_as_it_was(app: App, value: object) -> None:
    seen: list[object] = []

    @app.task(bind=True, name="order")
    def order(self: Any) -> None:
        seen.append(self.step("make", lambda: value))
        if self.request.retries == 0:
            raise self.retry(countdown=1)

    order.delay()
    run_until_idle(app)
    assert seen == [value, value]
    assert type(seen[1]) is type(value)


def test_a_recorded_step_survives_the_death_of_its_worker(app: App) -> None:
    calls: list[int] = []

    @app.task(bind=True, name="order")
    def order(self: Any) -> str:
        self.step("charge", calls.append, self.request.delivery)
        if self.request.delivery == 1:
            raise Death
        return "done"

    result = order.delay()
    run_and_die(app)
    run_until_idle(app)
    assert calls == [1]
    assert result.get(timeout=0) == "done"


def test_steps_of_different_names_and_messages_are_apart(app: App) -> None:
    calls: list[tuple[str, int]] = []

    @app.task(bind=True, name="order")
    def order(self: Any, number: int) -> None:
        for name in ("first", "second", "first"):
            self.step(name, calls.append, (name, number))

    for number in (1, 2):
        order.delay(number)
    run_until_idle(app)
    assert calls == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]


def test_the_trail_tells_of_each_recorded_step(app: App) -> None:
    @app.task(bind=True, name="order")
    def order(self: Any) -> None:
        self.step("charge", int)

    result = order.delay()
    run_until_idle(app)
    assert recorded(app, result.id) == [b'{"step":"charge"}']


# Unknown outcomes ---------------------------------------------------------------------------------


def test_a_death_in_a_step_leaves_its_outcome_unknown(app: App) -> None:
    calls: list[str] = []

    def charge() -> None:
        calls.append("charged")
        raise Death

    @app.task(bind=True, name="order", max_retries=0)
    def order(self: Any) -> None:
        self.step("charge", charge)

    result = order.delay()
    run_and_die(app)
    run_until_idle(app)
    assert calls == ["charged"]
    with pytest.raises(Exception, match=r"step 'charge' of .* was begun by an earlier attempt"):
        result.get(timeout=0)
    assert record_of(app, result.id).failure is not None


def test_a_body_can_find_out_and_go_on_under_another_name(app: App) -> None:
    provider: dict[str, int] = {}

    def charge(key: str) -> str:
        provider[key] = provider.get(key, 0) + 1
        raise Death

    @app.task(bind=True, name="order")
    def order(self: Any) -> str:
        key = self.request.idempotency_key
        try:
            return str(self.step("charge", charge, key))
        except StepOutcomeUnknown:
            return str(self.step("charge, looked up", lambda: f"paid {provider[key]}"))

    result = order.delay()
    run_and_die(app)
    run_until_idle(app)
    assert result.get(timeout=0) == "paid 1"


@pytest.mark.parametrize("error", [SoftTimeLimitExceeded("late"), StepOutcomeUnknown("no reply")])
def test_an_interrupted_function_leaves_its_outcome_unknown(app: App, error: Exception) -> None:
    calls: list[int] = []

    def charge() -> None:
        calls.append(1)
        raise error

    @app.task(bind=True, name="order", autoretry_for=(type(error),), max_retries=1)
    def order(self: Any) -> None:
        self.step("charge", charge)

    result = order.delay()
    run_until_idle(app)
    assert calls == [1]
    assert result.state == "FAILURE"
    assert "StepOutcomeUnknown" in repr(result.result)


# Functions that raise -----------------------------------------------------------------------------


def test_a_function_that_raised_is_called_again_by_the_next_attempt(app: App) -> None:
    calls: list[int] = []

    def charge(attempt: int) -> str:
        calls.append(attempt)
        if attempt < 4:
            raise ConnectionError(f"try {attempt}")
        return f"paid at {attempt}"

    @app.task(bind=True, name="order", autoretry_for=(ConnectionError,), max_retries=5)
    def order(self: Any) -> str:
        paid = self.step("charge", charge, self.request.attempt)
        if self.request.attempt < 6:
            raise self.retry(countdown=1)
        return str(paid)

    result = order.delay()
    run_until_idle(app)
    assert calls == [1, 2, 3, 4]
    assert result.get(timeout=0) == "paid at 4"


def test_a_body_may_try_again_in_the_same_attempt(app: App) -> None:
    answers = [ValueError("no"), ValueError("no"), None]

    def charge() -> str:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return "paid"

    @app.task(bind=True, name="order")
    def order(self: Any) -> str:
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                self.step("charge", charge)
        return str(self.step("charge", charge))

    result = order.delay()
    run_until_idle(app)
    assert result.get(timeout=0) == "paid"


def test_a_death_in_a_later_try_is_unknown_too(app: App) -> None:
    calls: list[str] = []

    def charge(delivery: int) -> None:
        calls.append(f"delivery {delivery}")
        if len(calls) == 1:
            raise ConnectionError
        raise Death

    @app.task(bind=True, name="order", autoretry_for=(ConnectionError,), max_retries=3)
    def order(self: Any) -> None:
        self.step("charge", charge, self.request.delivery)

    result = order.delay()
    run_and_die(app)
    run_until_idle(app)
    assert len(calls) == 2
    assert "charge (try 2)" in str(result.result)


def test_a_value_that_cannot_be_recorded_is_not_called_again(app: App) -> None:
    calls: list[int] = []

    def charge() -> object:
        calls.append(1)
        return object()

    @app.task(bind=True, name="order", autoretry_for=(Exception,), max_retries=1)
    def order(self: Any) -> None:
        self.step("charge", charge)

    result = order.delay()
    run_until_idle(app)
    assert calls == [1]
    assert "StepOutcomeUnknown" in repr(result.result)


class BrokenPort(AttemptStore):
    """Begins steps, and is away when they are to be recorded."""

    def step(self, name: str, value: bytes | None) -> StepReply:
        if value is None:
            return StepReply(known="new")
        raise StoreUnavailable("away")


def test_the_body_hears_of_its_own_exception_when_the_store_is_away(app: App) -> None:
    @app.task(name="order")
    def order() -> None: ...

    running = AttemptContext(order, Request(id="m"), BrokenPort())
    with pytest.raises(ZeroDivisionError) as caught:
        run_step(running, "charge", lambda: 1 // 0, (), {})
    assert "could not be recorded: away" in caught.value.__notes__[0]


# Fenced -------------------------------------------------------------------------------------------


def test_a_worker_that_lost_its_claim_begins_no_step(app: App) -> None:
    calls: list[str] = []
    raised: list[type[BaseException]] = []

    @app.task(bind=True, name="order")
    def order(self: Any) -> None:
        lose_claim(app)
        try:
            self.step("charge", calls.append, "x")
        except StaleClaim as exc:
            raised.append(type(exc))
            raise

    result = order.delay()
    InlineWorker(app, time_of(app)).run(1, advance=False)
    assert calls == []
    assert raised == [StaleClaim]
    assert record_of(app, result.id).state == State.RUNNING


@pytest.mark.parametrize("ends", ["returns", "raises"])
def test_a_worker_that_lost_its_claim_in_a_step_records_nothing(app: App, ends: str) -> None:
    raised: list[BaseException] = []

    def charge() -> None:
        lose_claim(app)
        if ends == "raises":
            raise ValueError("no")

    @app.task(bind=True, name="order")
    def order(self: Any) -> None:
        try:
            self.step("charge", charge)
        except (StaleClaim, ValueError) as exc:
            raised.append(exc)

    result = order.delay()
    InlineWorker(app, time_of(app)).run(1, advance=False)
    (exc,) = raised
    if ends == "returns":
        assert isinstance(exc, StaleClaim)
    else:
        assert "was taken away" in exc.__notes__[0]
    assert recorded(app, result.id) == []
    assert [r.event for r in app.store.audit(AuditQuery(event="stale"))] == ["stale"]


def test_each_claim_has_a_later_fence_and_the_same_idempotency_key(app: App) -> None:
    seen: list[tuple[int, str]] = []

    @app.task(bind=True, name="order")
    def order(self: Any) -> None:
        seen.append((self.request.fence, self.request.idempotency_key))
        if self.request.retries == 0:
            raise self.retry(countdown=1)
        if self.request.delivery == 1:
            raise Death

    one, two = order.delay(), order.delay()
    run_and_die(app)
    run_and_die(app)
    run_until_idle(app)
    fences = [fence for fence, _ in seen]
    assert len(seen) == 6
    assert all(fence > 0 for fence in fences)
    assert fences == sorted(set(fences))
    assert {key for _, key in seen} == {one.id, two.id}
