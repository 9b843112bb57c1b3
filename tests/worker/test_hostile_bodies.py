"""Whatever user code raises, and wherever: it costs that message, and nothing else.

A table of what is raised (every kind of exit among it) by the places where user code runs, in each
pool. Each hostile message has an outcome, its trouble can be seen, and the next message is served.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
import tenacity

from reliable_tasks import App, Reject, RetryPolicy, Task, events, signals
from reliable_tasks.store import values as v
from tests.patience import PATIENCE_S
from tests.worker.pooled import POOLS, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class OwnError(BaseException):
    """What no `except Exception` catches."""


KINDS: list[Callable[[], BaseException]] = [
    lambda: SystemExit(0),
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    StopIteration,
    StopAsyncIteration,
    RecursionError,
    MemoryError,
    OwnError,
    lambda: BaseExceptionGroup("several", [SystemExit(1), ValueError()]),
]
kind: list[Callable[[], BaseException]] = []


def boom(*_: Any, **__: Any) -> Any:
    exc = kind[0]()
    raise exc


class HostileError(Exception):
    """An exception that cannot even be looked at."""

    __str__ = __repr__ = boom


class UntouchableError(Exception):
    """An exception that cannot even be asked for its class."""

    __getattribute__ = boom


class Hostile:
    """A value that cannot be encoded nor shown."""

    __json__ = __repr__ = __str__ = __reduce__ = boom


class HostileMeta(type):
    """Refuses to be asked whether something is its instance."""

    def __instancecheck__(cls, _: object) -> bool:
        boom()
        return False


class Watched(Exception, metaclass=HostileMeta):
    """For `throws`."""


def hostile_key() -> KeyError:
    return KeyError(Hostile())


def hostile_reject() -> Reject:
    return Reject(Hostile())


def hooked(*names: str) -> type[Task[Any, Any]]:
    return type("Hooked", (Task,), {**dict.fromkeys(names, boom), "abstract": True})


def raises(exc: Any) -> Callable[[], None]:
    def body() -> None:
        raise exc() if callable(exc) else exc

    return body


def again(policy: RetryPolicy) -> dict[str, Any]:
    return {"retry_policy": policy}


AT_ONCE: dict[str, Any] = {
    "autoretry_for": (KeyError, HostileError),
    "default_retry_delay": 0,
    "max_retries": 1,
}
STOPS = RetryPolicy(stop=boom)
WAITS = RetryPolicy(wait=boom)
RETRIES = RetryPolicy(retry=boom)


async def coroutine() -> None:
    boom()


async def coroutine_that_cannot_be_looked_at() -> None:
    raise UntouchableError


# What each hostile task is made of: a body, its options, and how its message ends.
PLACES: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "body": (boom, {}, "FAILURE"),
    "coroutine": (coroutine, {}, "FAILURE"),
    "before_start": (lambda: 1, {"base": hooked("before_start")}, "FAILURE"),
    "on_success": (lambda: 1, {"base": hooked("on_success", "after_return")}, "SUCCESS"),
    "on_failure": (raises(KeyError), {"base": hooked("on_failure", "after_return")}, "FAILURE"),
    "on_retry": (raises(KeyError), {**AT_ONCE, "base": hooked("on_retry")}, "FAILURE"),
    "stop": (raises(KeyError), again(STOPS), "FAILURE"),
    "wait": (raises(KeyError), again(WAITS), "FAILURE"),
    "retry": (raises(KeyError), again(RETRIES), "FAILURE"),
    "retry of a result": (lambda: 1, again(RETRIES), "SUCCESS"),
    "str of what is raised": (raises(HostileError), {}, "FAILURE"),
    "arguments of what is raised": (raises(hostile_key), {}, "FAILURE"),
    "str of what is retried": (raises(HostileError), AT_ONCE, "FAILURE"),
    "attributes of what is raised": (raises(UntouchableError), {}, "FAILURE"),
    "and of what a coroutine raises": (coroutine_that_cannot_be_looked_at, {}, "FAILURE"),
    "result": (Hostile, {}, "FAILURE"),
    "result of interest to nobody": (Hostile, {"ignore_result": True}, "SUCCESS"),
    "repr of a result": (
        Hostile,
        again(RetryPolicy(retry=tenacity.retry_if_result(bool), max_retries=1)),
        "FAILURE",
    ),
    "reason of a Reject": (raises(hostile_reject), {}, "FAILURE"),
    "throws": (raises(KeyError), {"throws": (Watched,)}, "FAILURE"),
}
OF_RECEIVERS = {
    "task_prerun": "SUCCESS",
    "task_success": "SUCCESS",
    "task_postrun": "SUCCESS",
    "task_failure": "FAILURE",
    "task_retry": "FAILURE",
    "task_rejected": "FAILURE",
}
BODIES: dict[str, Callable[[], Any]] = {"FAILURE": raises(KeyError), "SUCCESS": lambda: 1}


def declare(app: Any, name: str, body: Callable[[], Any], options: dict[str, Any]) -> None:
    app.task(name=name, **options)(body)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setattr(events, "_outlived", (BaseException,))  # as in a worker's processes
    with App("hostile", broker="sqlite://", set_as_current=False) as made:
        made.store.open_session(v.SessionInfo(id="s", worker="w@h"), 60_000)
        for name, (body, options, _) in PLACES.items():
            declare(made, name, body, options)
        made.task(name="innocent")(lambda: "served")
        yield made


@pytest.fixture(params=KINDS, ids=lambda make: type(make()).__name__)
def _raised(request: pytest.FixtureRequest) -> Iterator[None]:
    kind[:] = [request.param]
    yield
    kind.clear()


def outcome_of(app: App, name: str) -> str:
    """How a hostile message ends, with the next one behind it served."""
    result = app.tasks[name].delay()
    behind = app.tasks["innocent"].delay()
    assert behind.get(timeout=PATIENCE_S) == "served", name
    ended = result.get(timeout=PATIENCE_S, propagate=False)
    if name.startswith("str of"):
        assert type(ended).__name__ == "HostileError", "what is raised is told all the same"
    if name in {"stop", "wait", "retry"}:
        assert type(ended) is KeyError, "a policy's trouble is not the failure"
        rows = [row for row in app.store.audit(v.AuditQuery(id=result.id)) if row.event == "failed"]
        assert b"the policy itself raised" in rows[-1].detail
    return result.state


@pytest.mark.usefixtures("_raised")
@pytest.mark.parametrize("pool", POOLS)
def test_what_user_code_raises_costs_its_own_message(app: App, pool: str) -> None:
    failed: list[str] = []
    faults: list[str] = []
    ends = [
        events.subscribe(lambda _, fields: failed.append(fields["hook"]), "hook.failed"),
        events.subscribe(lambda _, fields: faults.append(fields["error"]), "worker.internal_error"),
    ]
    with Running(app, pool):
        found = {name: outcome_of(app, name) for name in PLACES}
    assert found == {name: state for name, (_, _, state) in PLACES.items()}
    hooks = ["on_success", "after_return", "on_failure", "after_return", "on_retry"]
    assert [name for name in failed if name != "throws"] == hooks
    assert "throws" in failed
    assert faults == [], "each is foreseen, none is a fault of the worker's own"
    for end in ends:
        end()


@pytest.mark.usefixtures("_raised")
@pytest.mark.parametrize("pool", POOLS)
def test_what_receivers_and_subscribers_raise_costs_nothing(
    app: App, pool: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name, state in OF_RECEIVERS.items():
        options = AT_ONCE if name == "task_retry" else {}
        body = raises(Reject) if name == "task_rejected" else BODIES[state]
        declare(app, name, body, options)
        getattr(signals, name).connect(boom, sender=name)

    class Broken(logging.Handler):
        emit = boom

    broken = Broken(level=logging.CRITICAL + 1)
    logging.getLogger().addHandler(broken)
    end = events.subscribe(boom, "attempt.succeeded", "attempt.failed", "attempt.retried")
    try:
        with Running(app, pool):
            found = {name: outcome_of(app, name) for name in OF_RECEIVERS}
            broken.setLevel(0)  # from here on not even the log can be told
            assert outcome_of(app, "task_success") == "SUCCESS"
    finally:
        end()
        logging.getLogger().removeHandler(broken)
        for name in OF_RECEIVERS:
            getattr(signals, name).disconnect(boom, sender=name)
    assert found == OF_RECEIVERS
    told = {record.getMessage() for record in caplog.records}
    assert {f"a receiver of {name} raised" for name in OF_RECEIVERS} <= told
    assert "a subscriber of 'attempt.succeeded' raised" in told


# On a loop ---------------------------------------------------------------------------------------


async def leaves_an_exit() -> None:
    exits = asyncio.create_task(coroutine())
    try:
        await asyncio.wait([exits])
    finally:
        exits.exception()


async def cancels_everybody() -> None:
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(60)


async def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("body", [leaves_an_exit, cancels_everybody, stops_the_loop])
def test_what_a_coroutine_does_to_its_loop_costs_its_own_message(
    app: App, pool: str, body: Callable[[], Any]
) -> None:
    kind[:] = [lambda: SystemExit(3)]
    app.task(name="hostile")(body)

    @app.task(name="neighbour")
    async def neighbour(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "served"

    with Running(app, pool):
        beside = [app.tasks["neighbour"].delay(0.1)] if body is not cancels_everybody else []
        result = app.tasks["hostile"].delay()
        assert app.tasks["innocent"].delay().get(timeout=PATIENCE_S) == "served"
        result.get(timeout=PATIENCE_S, propagate=False)
        assert [each.get(timeout=PATIENCE_S) for each in beside] == ["served" for _ in beside]
        assert app.tasks["neighbour"].delay(0).get(timeout=PATIENCE_S) == "served"


def test_a_body_left_in_the_middle_does_not_go_on_beside_the_next(app: App) -> None:
    kind[:] = [lambda: SystemExit(3)]
    went_on: list[str] = []

    @app.task(name="left")
    async def left() -> None:
        exits = asyncio.create_task(coroutine())
        try:
            await asyncio.wait([exits])
            went_on.append("left")
        finally:
            exits.exception()

    @app.task(name="next")
    async def following() -> None:
        await asyncio.sleep(0.01)

    with Running(app, "prefork"):
        assert left.delay().get(timeout=PATIENCE_S, propagate=False) is not None
        app.tasks["next"].delay().get(timeout=PATIENCE_S)
    assert went_on == []
