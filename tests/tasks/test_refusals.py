"""What may not enter a message is refused at the line that gives it, and told in words."""

from __future__ import annotations

import datetime as dt
import enum
import fractions
import math
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, OnceTask, RetryPolicy, Task, chain, group
from reliable_tasks.core.message import decode_headers
from reliable_tasks.errors import CodecError, ConfigError, MessageTooLarge
from reliable_tasks.testing import bound, run_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Queues(enum.StrEnum):
    MAIL = "mail"


class Urgency(enum.IntEnum):
    HIGH = 1


class Kombu:
    """As kombu's Queue has its name."""

    name = "from-kombu"


@pytest.fixture
def app() -> Iterator[App]:
    made = App("refusing", broker="sqlite://", set_as_current=False)
    with bound(made):
        made.task(name="add")(lambda x=0, y=0: x + y)
        yield made


LAST, FIRST = dt.datetime.max, dt.datetime.min  # noqa: DTZ901 - in the zone of the app
LAST, FIRST = dt.datetime.max, dt.datetime.min  # noqa: DTZ901 - naive on purpose
SURROGATE, NUL, LONG = "a\udcff", "a\0b", "é" * 128
NAMES = ["queue", "routing_key", "task_id", "root_id", "parent_id", "group_id", "chord", "chain"]
WRONG: list[tuple[str, Any, str]] = [
    *((name, SURROGATE, "lone surrogates") for name in NAMES),
    *((name, NUL, "NUL") for name in NAMES),
    *((name, LONG, "at most 255 bytes, not 256") for name in NAMES),
    *((name, "", "must be a non-empty string, not ''") for name in NAMES),
    ("shadow", SURROGATE, "lone surrogates"),
    ("queue", 5, "queue must be a non-empty string, not 5"),
    ("task_id", 17, r"task_id must be a string or a UUID, not 17; write str"),
    ("task_id", b"x", r"task_id must be a string, not b'x'; decode it"),
    ("priority", True, "priority must be a whole number from 0 .first. to 9, not True"),
    ("priority", 1.0, "not 1.0"),
    ("priority", -1, "not -1"),
    ("ignore_result", "yes", "ignore_result must be True or False, not 'yes'"),
    ("retry", "no", "retry must be True or False, not 'no'"),
    ("retry_policy", {"max_retry": 1}, "'max_retry' is not part of the policy; did you mean"),
    ("retry_policy", 5, "retry_policy=5: give a dict"),
    ("durable", "disk", "durable='disk': give 'memory', 'fsync' or"),
    ("serializer", 5, "there is no serializer 5"),
    ("headers", [1], r"headers must be a dict with texts as keys, not \[1\]"),
    ("headers", {1: 2}, "headers must be a dict with texts as keys"),
    ("headers", {"k": object()}, r"headers\['k'\] is a builtins.object"),
    ("headers", {SURROGATE: 1}, "the key .* lone surrogates"),
    ("once", 5, "once=5 is not a dict such as"),
    ("once", {"keys": ["x"]}, "once: keys cannot be changed for one call"),
    ("once", {"gracefull": True}, "did you mean 'graceful'"),
    ("link", 5, "link: 5 is not a signature"),
    ("link_error", "add", "link_error: 'add' is not a signature"),
    ("eta", 5, "eta must be a datetime, not 5"),
    ("eta", dt.date(2030, 1, 1), "eta must be a datetime"),
    ("expires", "never", "expires='never' is not a date and time"),
    *(
        (name, value, f"{name}=.* is out of bounds: give .*a hundred years")
        for name in ("countdown", "expires", "time_limit", "soft_time_limit")
        for value in (math.inf, math.nan, 1e17, 10**400, dt.timedelta.max)
    ),
    *(
        (name, value, f"{name} must be a number of seconds or a timedelta, not")
        for name in ("countdown", "time_limit", "soft_time_limit")
        for value in ("5", True, [5])
    ),
    ("time_limit", -1, r"time_limit=-1 is out of bounds: give 0 \(no limit\) to a hundred years"),
]
NOT_OF_SIGNATURES = {"link", "link_error"}


@pytest.mark.parametrize(("name", "value", "said"), WRONG, ids=map(str, range(len(WRONG))))
def test_an_option_that_is_not_possible_is_refused_on_every_way_in(
    app: App, name: str, value: Any, said: str
) -> None:
    add, given = app.tasks["add"], {name: value}
    ways: list[Callable[[], object]] = [
        lambda: add.apply_async((1,), **given),
        lambda: app.send_task("add", (1,), **given),
        lambda: app.send_task("unknown here", (1,), **given),
        lambda: add.signature((1,), **given),
        lambda: add.s(1).set(**given),
        lambda: add.s(1).clone(**given),
        lambda: add.s(1).replace(options=given),
        lambda: add.s(1).apply_async(**given),
        lambda: group(add.s(1), add.s(2)).apply_async(**given),
        lambda: chain(add.s(1), add.s(2)).apply_async(**given),
        lambda: app.enqueue_many([add.s(1), add.signature((1,), **given)]),
        lambda: add.apply((1,), **given),
    ]
    for way in ways:
        with pytest.raises((ConfigError, TypeError), match=f"{said}|Cannot add link to group"):
            way()
    assert app.store.counts().states == {}, "and nothing has been stored"


@pytest.mark.parametrize(
    ("given", "field", "kept"),
    [
        ({"task_id": uuid.UUID(int=7)}, "id", str(uuid.UUID(int=7))),
        ({"queue": Queues.MAIL}, "queue", "mail"),
        ({"queue": Kombu()}, "queue", "from-kombu"),
        ({"priority": Urgency.HIGH}, "priority", 1),
        ({"countdown": fractions.Fraction(1, 2)}, "delay_ms", 500),
        ({"countdown": -1e9}, "delay_ms", 0),
        ({"expires": -5}, "expires_in_ms", 0),
        ({"eta": LAST}, "eta_ms", 253_402_300_799_999),
        ({"eta": FIRST}, "eta_ms", 1),
    ],
)
def test_what_can_be_understood_is(app: App, given: Any, field: str, kept: Any) -> None:
    from reliable_tasks.tasks.calls import build_message  # noqa: PLC0415 - of this test alone

    value = getattr(build_message(app, "add", (), {}, given), field)
    assert (value, type(value)) == (kept, type(kept))


def test_limits_may_be_timedeltas_and_a_limit_of_0_is_none(app: App) -> None:
    add: Any = app.tasks["add"]
    given: Any = {"time_limit": dt.timedelta(minutes=5), "soft_time_limit": dt.timedelta(minutes=4)}
    (record,) = app.store.read([add.apply_async(**given).id], full=True)
    assert record is not None
    headers = decode_headers(record.headers)
    assert (headers.time_limit, headers.soft_time_limit) == (300, 240)
    declare: Any = app.task(name="limited", **given)
    limited = declare(lambda: None)
    assert (limited.time_limit, limited.soft_time_limit) == (300, 240)
    assert add.apply_async(time_limit=0, soft_time_limit=5).state == "PENDING"


def test_a_value_that_does_not_even_say_what_it_is_is_refused_in_words(app: App) -> None:
    class Mute:
        def __repr__(self) -> str:
            raise ValueError

    with pytest.raises(ConfigError, match=r"countdown must be .* not <Mute inst"):
        app.tasks["add"].apply_async(countdown=Mute())


def test_eager_mode_refuses_what_the_queue_refuses_and_runs_with_what_a_worker_gets() -> None:
    eager = App("eager", broker="sqlite://", task_always_eager=True, set_as_current=False)
    eager.conf.accept_content = ["json", "msgpack"]
    kind: Any = eager.task(name="kind")(lambda value: type(value).__name__)
    with pytest.raises(CodecError, match=r"args\[0\] is a builtins.object"):
        kind.delay(object())
    with pytest.raises(MessageTooLarge):
        kind.delay("x" * 2_000_000)
    with pytest.raises(ConfigError, match="queue must be a non-empty string"):
        kind.apply_async((1,), queue=5)
    assert kind.delay(Urgency.HIGH).get() == "int"
    assert kind.apply_async(((1, 2),), serializer="msgpack").get() == "tuple"


@pytest.mark.parametrize(
    "give",
    [
        lambda app, bad: app.task(name="other", serializer=bad)(print),
        lambda app, bad: app.tasks["add"].apply_async(serializer=bad),
        lambda app, bad: app.send_task("add", serializer=bad),
        lambda app, bad: app.tasks["add"].s(1, 2).set(serializer=bad),
        lambda app, bad: app.tasks["add"].signature((1, 2), serializer=bad),
        lambda app, bad: app.tasks["add"].apply((1, 2), serializer=bad),
        lambda app, bad: app.conf.update(task_serializer=bad),
        lambda app, bad: app.conf.update(result_serializer=bad),
        lambda app, bad: app.conf.update(accept_content=[bad]),
        lambda app, bad: app.conf.update(task_routes={"add": {"queue": "a", "serializer": bad}}),
        lambda app, bad: App(task_serializer=bad, set_as_current=False),
    ],
)
@pytest.mark.parametrize("bad", ["pickle", "yaml"])
def test_a_serializer_that_is_not_here_is_refused_where_it_is_given(
    app: App, give: Any, bad: str
) -> None:
    with pytest.raises(ConfigError, match="json"):
        give(app, bad)


def test_a_serializer_that_no_worker_of_the_app_accepts_is_refused(app: App) -> None:
    with pytest.raises(
        ConfigError, match=r"not accepted by this app's workers \(accept_content: j"
    ):
        app.tasks["add"].apply_async(serializer="msgpack")
    app.conf.task_serializer = "msgpack"
    app.conf.accept_content = ["json", "msgpack"]
    assert app.tasks["add"].apply_async(serializer="msgpack").state == "PENDING"


def test_headers_keep_types_as_arguments_do(app: App) -> None:
    sent = {"when": dt.datetime(2030, 1, 1, tzinfo=dt.UTC), "pair": (1, "\udcff"), "raw": b"\xff"}
    seen: list[Any] = []

    @app.task(name="look", bind=True)
    def look(self: Task[Any, Any]) -> None:
        seen.append(self.request.headers)

    look.apply_async(headers=sent)
    run_until_idle(app)
    assert seen == [sent]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time_limit": "300"}, "task bad: time_limit must be a number of seconds"),
        ({"soft_time_limit": -1}, "task bad: soft_time_limit=-1 is out of bounds"),
        ({"queue": 5}, "task bad: queue must be a non-empty string, not 5"),
        ({"priority": True}, "task bad: priority must be a whole number"),
        ({"ignore_result": "yes"}, "task bad: ignore_result must be True or False, not 'yes'"),
        ({"bind": "no"}, "bind must be True or False, not 'no'"),
        ({"typing": 2}, "typing must be True or False, not 2"),
        ({"expires": 0}, "expires=0 is out of bounds: give above 0"),
        ({"throws": "OSError"}, "throws='OSError': pass a tuple of exception classes"),
        ({"throws": (int,)}, "pass a tuple of exception classes"),
        ({"max_retries": -1, "retry_policy": RetryPolicy()}, "max_retries=-1: pass a number"),
        ({"default_retry_delay": math.nan}, "default_retry_delay=nan"),
        ({"default_retry_delay": -1}, "task bad: default_retry_delay=-1: pass seconds, 0 or more"),
        ({"default_retry_delay": "5"}, "task bad: default_retry_delay='5': pass seconds"),
        ({"base": OnceTask, "once": True}, "task bad: once=True is not a dict such as"),
        ({"base": OnceTask, "once": {"timeout": 1e300}}, "timeout=1e.300: pass seconds over 0"),
    ],
)
def test_options_of_a_task_are_refused_by_the_decorator(
    app: App, options: dict[str, Any], said: str
) -> None:
    declare: Any = app.task(name="bad", **options)
    with pytest.raises(ConfigError, match=said):
        declare(lambda: None)
    assert "bad" not in app.tasks


class Exits:
    """What ends the program when it is asked what it is."""

    def __repr__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Exits(), "<Exits whose __repr__ raised SystemExit>"),
        ([Exits()], "<list whose __repr__ raised SystemExit>"),
        (10**5000, "<whole number of 16,610 bits>"),
        ([10**5000], "[<whole number of 16,610 bits>]"),
    ],
    ids=("exits", "holds what exits", "long", "holds what is long"),
)
def test_a_refusal_bears_whatever_the_value_says_of_itself(
    app: App, value: Any, words: str
) -> None:
    ways: list[Callable[[], object]] = [
        lambda: app.task(name="bad", default_retry_delay=value)(lambda: None),
        lambda: app.task(name="bad", rate_limit=value)(lambda: None),
        lambda: app.tasks["add"].apply_async((), queue=value),
        lambda: app.tasks["add"].apply_async((), countdown=value),
    ]
    for way in ways:
        with pytest.raises(ConfigError) as caught:
            way()
        assert words in str(caught.value)
    with pytest.raises(ConfigError, match="timezone=<"):
        app.conf.timezone = value


@pytest.mark.parametrize("zone", ["Mars/Phobos", "Europe", "../etc/localtime", NUL])
def test_a_time_zone_that_is_not_known_is_refused_where_it_is_set(app: App, zone: str) -> None:
    for way in (lambda: App("zoned", timezone=zone), lambda: app.conf.update(timezone=zone)):
        with pytest.raises(ConfigError, match=r"timezone=.*there is no such time zone here"):
            way()
    with pytest.raises(ConfigError, match="did you mean 'Europe/Berlin'"):
        app.conf.timezone = "Europe/Berlim"


@pytest.mark.parametrize("name", [5, SURROGATE, NUL, LONG])
def test_a_name_that_is_not_possible_is_refused(app: App, name: Any) -> None:
    with pytest.raises(ConfigError, match="name"):
        app.task(name=name)(lambda: None)
    with pytest.raises(ConfigError, match="the name of a task"):
        app.send_task(name)


def test_classes_given_as_a_list_or_alone_are_a_tuple(app: App) -> None:
    some: Any = app.task(name="some", throws=[OSError], autoretry_for=KeyError)(lambda: None)
    assert (some.throws, some.autoretry_for) == ((OSError,), (KeyError,))


@pytest.mark.parametrize("kwargs", ["text", [1], {1: 2}])
def test_keyword_arguments_that_are_none_are_refused(app: App, kwargs: Any) -> None:
    for way in (app.tasks["add"].apply_async, lambda *call: app.send_task("add", *call)):
        with pytest.raises(ConfigError, match="kwargs"):
            way((), kwargs)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"task_routes": {"a*": {"priority": True}}}, "priority must be a whole number"),
        ({"task_routes": {"a*": {"time_limit": "5"}}}, "time_limit must be a number of seconds"),
        ({"task_routes": {"a*": SURROGATE}}, "lone surrogates"),
        ({"task_default_queue": NUL}, "NUL"),
        ({"task_queues": ["ok", LONG]}, "at most 255 bytes"),
        ({"result_expires": 1e300}, "a hundred years"),
        ({"max_deliveries": 10**30}, "give a number from 1"),
    ],
)
def test_settings_are_held_to_the_same(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        App("refused", set_as_current=False, **settings)


def test_a_handle_may_be_had_by_a_uuid_and_not_by_a_number(app: App) -> None:
    own = uuid.uuid4()
    made = app.tasks["add"].apply_async(task_id=own)
    assert app.AsyncResult(own) == made
    assert app.control.revoke(own) == {str(own): "revoked"}
    with pytest.raises(ConfigError, match="must be a string or a UUID, not 17"):
        app.AsyncResult(17)  # type: ignore[arg-type]
