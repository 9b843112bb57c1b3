"""What a running body gives is refused at its line, too; what can be heeded is."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import pytest
import tenacity

from reliable_tasks import App, RetryPolicy, Task
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.message import decode_headers
from reliable_tasks.core.outcome import Failed
from reliable_tasks.errors import CodecError, ConfigError, MessageTooLarge, Retry
from reliable_tasks.testing import bound, run_until_idle
from tests.attempts.running import attempt, raised_by
from tests.worker.fakes import FakeAttemptStore, claim_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST = dt.datetime.max  # noqa: DTZ901 - naive on purpose
SURROGATE = "a\udcff"


@pytest.fixture
def app() -> Iterator[App]:
    made = App("refusing", broker="sqlite://", set_as_current=False)
    made.conf.accept_content = ["json", "msgpack"]
    with bound(made):
        yield made


def retrying(app: App, *args: Any, **given: Any) -> oc.Outcome:
    """The outcome of an attempt that asks for a retry so."""

    app.tasks.pop("asks", None)

    @app.task(name="asks", bind=True, max_retries=5)
    def asks(self: Task[Any, Any], x: Any = None) -> None:
        raise self.retry(*args, **given)

    return attempt(app, claim_of("a", "asks", started_ms=1_000_000))


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"countdown": 1e17}, ConfigError, "countdown=1e.17 is out of bounds"),
        ({"countdown": math.nan}, ConfigError, "countdown=nan is out of bounds"),
        ({"countdown": "5"}, ConfigError, "countdown must be a number of seconds"),
        ({"countdown": 1, "eta": LAST}, ConfigError, "either countdown or eta"),
        ({"eta": 5}, ConfigError, "eta must be a datetime"),
        ({"max_retries": -1}, ConfigError, "max_retries=-1: pass a number"),
        ({"exc": "text"}, ConfigError, "exc must be an exception, not 'text'"),
        ({"queue": 5}, ConfigError, "queue must be a non-empty string"),
        ({"countdwon": 5}, ConfigError, "retry.. knows no option 'countdwon'; did you mean 'cou"),
        ({"task_id": "b"}, ConfigError, "task_id='b'.: a retry is the same message, which keeps"),
        ({"link": [1]}, ConfigError, "keeps its callbacks"),
        ({"once": {}}, ConfigError, "keeps its once-key"),
        ({"serializer": "pickle"}, ConfigError, "run code"),
        ({"durable": "fsync"}, ConfigError, "it is about enqueueing"),
        ({"args": (1, 2)}, TypeError, "too many positional arguments"),
        ({"args": (object(),)}, CodecError, r"args\[0\] is a builtins.object"),
        ({"args": ("x" * 2_000_000,)}, MessageTooLarge, "2,000,0.. bytes, more than max_message"),
        ({"headers": {"k": "x" * 2_000_000}}, MessageTooLarge, "more than max_message_bytes"),
    ],
)
def test_a_retry_is_refused_at_the_line_that_asks_for_it(
    app: App, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    outcome = retrying(app, **given)
    assert isinstance(outcome, Failed)
    with pytest.raises(error, match=said):
        raise raised_by(outcome)


def test_a_retry_heeds_what_a_message_can_change(app: App) -> None:
    outcome = retrying(
        app,
        args=((1, 2),),
        queue="slow",
        priority=7,
        expires=dt.timedelta(seconds=2),
        countdown=dt.timedelta(seconds=1),
        time_limit=dt.timedelta(minutes=1),
        soft_time_limit=30,
        ignore_result=True,
        headers={"trace": (1,)},
        shadow="shown",
        serializer="msgpack",
    )
    assert isinstance(outcome, oc.Retry)
    assert (outcome.queue, outcome.priority, outcome.delay_ms) == ("slow", 7, 1000)
    assert outcome.expires_ms == 1_002_000
    headers = decode_headers(outcome.headers or b"")
    assert (headers.time_limit, headers.soft_time_limit) == (60, 30)
    assert (headers.ignore_result, headers.shadow, headers.serializer) == (True, "shown", "msgpack")
    assert loads_call(outcome.payload or b"", "msgpack") == (((1, 2),), {})


def test_another_serializer_alone_takes_the_arguments_along(app: App) -> None:
    outcome = retrying(app, serializer="msgpack", countdown=0)
    assert isinstance(outcome, oc.Retry)
    assert loads_call(outcome.payload or b"", "msgpack") == ((), {})
    plain = retrying(app, countdown=0)
    assert isinstance(plain, oc.Retry)
    assert (plain.payload, plain.headers, plain.priority, plain.expires_ms) == (None,) * 4


def test_a_naive_eta_of_a_retry_is_in_the_zone_of_the_app_as_that_of_a_call_is(app: App) -> None:
    app.conf.timezone = "Asia/Shanghai"
    naive = dt.datetime(2030, 1, 1, 8)  # noqa: DTZ001 - that it is naive is the point
    outcome = retrying(app, eta=naive)
    assert isinstance(outcome, oc.Retry)
    assert outcome.at_ms == 1_893_456_000_000
    outcome = retrying(app, expires=naive, countdown=1)
    assert isinstance(outcome, oc.Retry)
    assert outcome.expires_ms == 1_893_456_000_000


def test_a_retry_that_is_heeded_runs_so(app: App) -> None:
    seen: list[Any] = []

    @app.task(name="again", bind=True)
    def again(self: Task[Any, Any], n: int) -> int:
        request = self.request
        seen.append((n, request.delivery_info["priority"], request.headers, request.timelimit[0]))
        if n < 2:
            raise self.retry((n + 1,), countdown=0, priority=n + 1, headers={"n": n}, time_limit=9)
        return n

    again.delay(0)
    run_until_idle(app)
    assert seen == [(0, 0, None, None), (1, 1, {"n": 0}, 9), (2, 2, {"n": 1}, 9)]


def test_the_limit_of_a_retry_is_the_policys_and_then_the_bodys_own(app: App) -> None:
    asked: list[int | None] = [None]
    policy = RetryPolicy(max_retries=5, retry=tenacity.retry_never)

    @app.task(name="limited", bind=True, retry_policy=policy)
    def limited(self: Task[Any, Any]) -> None:
        raise self.retry(max_retries=asked[0])

    for number, most in ((5, None), (6, None), (2, 2), (3, 2), (9, 9), (10, 9)):
        asked[0] = most
        outcome = attempt(app, claim_of("a", "limited", attempt=number))
        assert isinstance(outcome, oc.Retry) == (number <= (most or 5)), (number, most)


def test_a_retry_that_a_body_has_made_itself_has_the_limit_of_the_task(app: App) -> None:
    @app.task(name="own", max_retries=2)
    def own() -> None:
        raise Retry("later", when=3)

    outcome = attempt(app, claim_of("a", "own", attempt=2))
    assert isinstance(outcome, oc.Retry)
    assert outcome.delay_ms == 3000
    assert isinstance(attempt(app, claim_of("a", "own", attempt=3)), Failed)
    with pytest.raises(ConfigError, match="when=inf is out of bounds"):
        Retry("later", when=math.inf)


@pytest.mark.parametrize(
    ("state", "meta", "error", "said"),
    [
        (5, None, ConfigError, "state must be a non-empty string, not 5"),
        (SURROGATE, None, ConfigError, "lone surrogates"),
        ("", None, ConfigError, "state must be a non-empty string"),
        ("HALF", object(), CodecError, "builtins.object"),
        ("HALF", "x" * 5_000, MessageTooLarge, "more than max_result_bytes=2,000"),
    ],
)
def test_progress_that_cannot_be_kept_is_refused_at_its_line(
    app: App, state: Any, meta: Any, error: type[Exception], said: str
) -> None:
    app.conf.max_result_bytes = 2_000

    @app.task(name="tells", bind=True)
    def tells(self: Task[Any, Any]) -> None:
        self.update_state(state=state, meta=meta)

    store = FakeAttemptStore()
    outcome = attempt(app, claim_of("a", "tells"), store)
    assert isinstance(outcome, Failed)
    with pytest.raises(error, match=said):
        raise raised_by(outcome)


def test_what_replaces_a_message_is_held_to_the_size_of_messages(app: App) -> None:
    add: Any = app.task(name="add")(lambda x: x)

    @app.task(name="grows", bind=True)
    def grows(self: Task[Any, Any]) -> None:
        self.replace(add.s("x" * 2_000_000))

    outcome = attempt(app, claim_of("a", "grows"))
    assert isinstance(raised_by(outcome), MessageTooLarge)
