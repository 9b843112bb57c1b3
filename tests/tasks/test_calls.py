"""From a call to the message that carries it."""

from __future__ import annotations

import datetime as dt
import inspect
import os
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, OnceTask
from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.ids import new_id
from reliable_tasks.core.message import Message, decode_headers
from reliable_tasks.errors import CodecError, ConfigError
from reliable_tasks.tasks.calls import build_message, call_args

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def app() -> App:
    return App("calling", broker="sqlite://", set_as_current=False)


def build(app: App, *args: Any, task: str = "add", **options: Any) -> Message:
    return build_message(app, task, args, {}, options, app.tasks.get(task))


@pytest.mark.parametrize(
    ("given", "args"),
    [(None, ()), ((1, 2), (1, 2)), ([1, 2], (1, 2)), (10, (10,)), ("text", ("text",)), ((), ())],
)
def test_a_lone_value_counts_as_one_argument(given: Any, args: tuple[Any, ...]) -> None:
    assert call_args(given) == args


@pytest.mark.parametrize("given", [{"x": 1}, {1, 2}, object(), iter([1])])
def test_what_is_neither_a_sequence_nor_a_value_is_refused_with_the_remedy(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"args must be a list or a tuple, not .*; write args="):
        call_args(given)


def test_a_message_has_the_defaults_of_celery(app: App) -> None:
    message = build(app, 1, 2)
    assert (message.queue, message.priority, message.root_id) == ("celery", 0, "")
    assert (message.eta_ms, message.delay_ms, message.expires_ms) == (None, 0, None)
    assert message.result_ttl_ms == 86_400_000
    assert message.max_deliveries == 5
    assert message.token == ""
    assert loads_call(message.payload) == ((1, 2), {})
    assert (decode_headers(message.headers).origin or "").startswith(f"{os.getpid()}@")


def test_an_option_of_the_call_wins_over_the_task_and_that_over_the_route(app: App) -> None:
    app.task(name="add", queue="of-task")(lambda *_: None)
    assert (build(app).queue, build(app).priority) == ("of-task", 0)
    app.conf.task_routes = {"a*": {"queue": "of-route", "priority": 3}}
    assert (build(app).queue, build(app).priority) == ("of-task", 3)
    assert build(app, queue="of-call", priority=9).queue == "of-call"
    assert build(app, queue="of-call", priority=9).priority == 9
    assert build(app, queue=None).queue == "of-task", "None is no word at all"
    app.tasks["add"].queue = None
    app.tasks["add"].prepare(app)
    assert build(app).queue == "of-route"


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"countdown": 2.5}, "delay_ms", 2500),
        ({"countdown": dt.timedelta(minutes=1)}, "delay_ms", 60_000),
        ({"countdown": -5}, "delay_ms", 0),
        ({"eta": dt.datetime(2030, 1, 1, tzinfo=dt.UTC)}, "eta_ms", 1_893_456_000_000),
        ({"eta": "2030-01-01T00:00:00+00:00"}, "eta_ms", 1_893_456_000_000),
        ({"expires": 3}, "expires_in_ms", 3000),
        ({"expires": dt.timedelta(seconds=3)}, "expires_in_ms", 3000),
        ({"expires": dt.datetime(2030, 1, 1, tzinfo=dt.UTC)}, "expires_ms", 1_893_456_000_000),
        ({"routing_key": "there"}, "queue", "there"),
        ({"root_id": "r"}, "root_id", "r"),
        ({"parent_id": "p"}, "parent_id", "p"),
    ],
)
def test_options_become_fields_of_the_message(
    app: App, options: dict[str, Any], field: str, value: Any
) -> None:
    assert getattr(build(app, **options), field) == value


def test_a_naive_eta_is_in_the_time_zone_of_the_app(app: App) -> None:
    app.conf.timezone = "Asia/Shanghai"
    naive = dt.datetime(2030, 1, 1, 8)  # noqa: DTZ001 - that it is naive is the point
    assert build(app, eta=naive).eta_ms == 1_893_456_000_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"countdwon": 3}, "unknown option 'countdwon'; did you mean 'countdown'"),
        ({"countdown": 1, "eta": dt.datetime(2030, 1, 1, tzinfo=dt.UTC)}, "either countdown or"),
        ({"soft_time_limit": 3, "time_limit": 2}, "soft_time_limit 3 s is above time_limit 2 s"),
        ({"priority": 10}, r"from 0 \(first\) to 9, not 10"),
        ({"priority": "high"}, "not 'high'"),
        ({"eta": "tomorrow"}, "eta='tomorrow' is not a date and time"),
        ({"eta": 5}, "eta must be a datetime, not 5"),
        ({"countdown": "5"}, "countdown must be a number of seconds or a timedelta, not '5'"),
        ({"countdown": True}, "not True"),
        ({"serializer": "xml"}, "xml"),
    ],
)
def test_options_that_are_not_possible_are_refused_with_the_remedy(
    app: App, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        build(app, **options)


@pytest.mark.parametrize(
    "option", ["compression", "exchange", "mandatory", "producer", "delivery_mode"]
)
def test_options_of_celerys_that_mean_nothing_here_are_taken(app: App, option: str) -> None:
    assert build(app, **{option: "x"}).task == "add"


def test_an_argument_that_cannot_be_encoded_is_refused_where_it_is_enqueued(app: App) -> None:
    with pytest.raises(CodecError):
        build(app, object())


def test_an_id_of_ones_own_gets_a_token_so_that_a_repeated_enqueue_is_known(app: App) -> None:
    one, other = build(app, task_id="mine"), build(app, task_id="mine")
    assert one.id == other.id == "mine"
    assert one.token
    assert one.token != other.token


def test_pain_10_the_once_key_is_made_where_it_is_enqueued_of_bound_arguments(app: App) -> None:
    app.task(name="add", base=OnceTask, once={"keys": ["a"], "timeout": 60})(lambda a, b=1: a + b)
    one = build_message(app, "add", (1,), {}, {}, app.tasks["add"])
    same = build_message(app, "add", (), {"b": 7, "a": 1}, {}, app.tasks["add"])
    other = build_message(app, "add", ("1",), {}, {}, app.tasks["add"])
    assert one.once is not None
    assert same.once is not None
    assert other.once is not None
    assert one.once.key == same.once.key != other.once.key
    assert one.once.timeout_ms == 60_000
    assert build_message(app, "add", (1,), {}, {}, None).once is None, "a name alone has no key"


def test_once_of_a_single_call_overrides_the_tasks(app: App) -> None:
    app.task(name="add", base=OnceTask)(lambda a: a)
    message = build(app, 1, once={"graceful": True, "timeout": 5})
    assert message.once is not None
    assert (message.once.on_conflict, message.once.timeout_ms) == ("return", 5000)


# What calls have in common is worked out once ----------------------------------------------------


def test_settings_options_and_the_process_are_those_of_each_call(app: App) -> None:
    app.task(name="add")(lambda *_: None)
    assert [build(app, priority=p).priority for p in (1, 2, 2, 1)] == [1, 2, 2, 1]
    assert [build(app).queue, build(app, queue="q").queue, build(app).queue][1:] == ["q", "celery"]
    app.conf.task_default_queue = "other"
    assert build(app).queue == "other"
    given = {"trace": 1}
    assert decode_headers(build(app, headers=given).headers).user == {"trace": 1}
    given["trace"] = 2
    assert decode_headers(build(app, headers=given).headers).user == {"trace": 2}


def test_what_is_equal_but_of_another_type_is_another_option(app: App) -> None:
    assert build(app, countdown=1).delay_ms == 1000
    with pytest.raises(ConfigError, match="countdown must be a number of seconds"):
        build(app, countdown=True)


def test_a_forked_producer_names_itself(app: App) -> None:
    build(app)
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.write(into, (decode_headers(build(app).headers).origin or "").encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(out, 100).decode().startswith(f"{child}@")
    os.close(out)
    os.close(into)


def test_no_more_is_kept_of_calls_than_a_bound(app: App) -> None:
    for number in range(2_500):
        build(app, task=f"dynamic-{number}")
    assert len(app.commons) <= 1_000


def _plain(a: int, b: int = 0) -> None: ...
def _first_only(a: int, /) -> None: ...
def _many(a: int, *more: int) -> None: ...
def _named(a: int = 0, *, b: int) -> None: ...
def _named_default(a: int, *, b: int = 0) -> None: ...
def _anything(*args: int, **kwargs: int) -> None: ...
def _nothing() -> None: ...


@pytest.mark.parametrize(
    "function", [_plain, _first_only, _many, _named, _named_default, _anything, _nothing]
)
@pytest.mark.parametrize("number", range(4))
def test_arguments_by_position_are_judged_as_python_does(
    app: App, function: Callable[..., None], number: int
) -> None:
    task = app.task(name="judged")(function)
    args = tuple(range(number))
    try:
        inspect.signature(function).bind(*args)
    except TypeError as error:
        with pytest.raises(TypeError, match=re.escape(f"judged(): {error}")):
            task.check_arguments(args, {})
    else:
        task.check_arguments(args, {})


def test_ids_are_random_uuids() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert {(uuid.UUID(i).version, uuid.UUID(i).variant) for i in made} == {(4, uuid.RFC_4122)}
    assert {str(uuid.UUID(i)) for i in made} == made


def test_ids_made_one_after_the_other_are_near_each_other() -> None:
    """An index of them has few places to change when some are stored or deleted together."""
    made = [new_id() for _ in range(10_000)]
    assert len({i[:3] for i in made}) <= 11
    assert len({i[:8] for i in made}) > 9_900, "what a log shows of them tells them apart"
    assert len({i[8:] for i in made}) == len(made)
