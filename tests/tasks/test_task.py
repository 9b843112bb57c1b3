"""Tasks: their options, the ways to call them, and what a body may ask of its own."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from reliable_tasks import AlreadyQueued, App, OnceTask, QueueOnce, RetryPolicy, Task
from reliable_tasks.errors import ConfigError, Retry
from reliable_tasks.results.result import AsyncResult

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app() -> Iterator[App]:
    with App("tasking", broker="sqlite://") as made:
        yield made


def test_options_have_the_names_and_defaults_of_celery() -> None:
    defaults = {
        "max_retries": 3,
        "default_retry_delay": 180,
        "autoretry_for": (),
        "dont_autoretry_for": (),
        "retry_kwargs": {},
        "retry_backoff": False,
        "retry_backoff_max": 600,
        "retry_jitter": True,
        "bind": False,
        "typing": True,
        "throws": (),
        "expires": None,
        "priority": None,
        "time_limit": None,
        "soft_time_limit": None,
        "rate_limit": None,
        "serializer": None,
        "ignore_result": None,
        "queue": None,
    }
    assert {name: getattr(Task, name) for name in defaults} == defaults


def test_a_task_called_is_the_plain_function_that_it_is(app: App) -> None:
    @app.task
    def add(x: int, y: int = 1) -> int:
        """Add."""
        return x + y

    assert add(2, y=3) == 5
    assert add.name == f"{__name__}.add"
    assert add.__doc__ == "Add."
    assert add.__wrapped__(2) == 3
    assert app.store.counts().states == {}


def test_a_bound_task_gets_itself_and_callers_do_not_give_it(app: App) -> None:
    @app.task(bind=True)
    def me(self: Task[Any, Any], n: int) -> tuple[Any, int]:
        return self, n

    assert me(3) == (me, 3)
    with pytest.raises(TypeError, match="too many positional arguments"):
        me.apply_async((me, 3))


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing a required argument: 'x'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"z": 3}, "unexpected keyword argument 'z'"),
    ],
)
def test_wrong_arguments_are_a_type_error_where_the_call_is_made(
    app: App, args: tuple[Any, ...], kwargs: dict[str, Any], said: str
) -> None:
    add: Any = app.task(name="add")(lambda x, y=1: x + y)
    with pytest.raises(TypeError, match=rf"add\(\): .*{said}"):
        add.delay(*args, **kwargs)
    assert app.store.counts().states == {}


def test_arguments_are_not_checked_where_the_task_says_so(app: App) -> None:
    add: Any = app.task(name="add", typing=False)(lambda x: x)
    assert add.delay(1, 2, 3).state == "PENDING"
    loose = App("loose", broker="sqlite://", strict_typing=False, set_as_current=False)
    assert not loose.task(name="add")(lambda x: x).typing
    loose.close()


def test_delay_and_apply_async_give_a_handle_on_the_message(app: App) -> None:
    add: Any = app.task(name="add")(lambda x, y: x + y)
    result = add.delay(2, 3)
    assert isinstance(result, AsyncResult)
    assert result.args == (2, 3)
    other = add.apply_async((2,), {"y": 3}, task_id="mine", queue="q", priority=4, shadow="s")
    assert other.id == "mine"
    (record,) = app.store.read(["mine"], full=True)
    assert record is not None
    assert (record.queue, record.priority) == ("q", 4)


def test_an_id_of_ones_own_names_the_message_that_lives(app: App) -> None:
    add = app.task(name="add")(lambda x: x)
    first = add.apply_async((1,), task_id="mine")
    again = add.apply_async((2,), task_id="mine")
    assert again == first
    assert again.args == (1,)


def test_pain_12_an_id_is_free_again_once_its_message_has_ended(app: App) -> None:
    add = app.task(name="add")(lambda x: x)
    add.apply_async((1,), task_id="mine").revoke()
    again = add.apply_async((2,), task_id="mine")
    assert (again.state, again.args) == ("PENDING", (2,))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate_limit": "10/m"}, "rate_limit='10/m' is not supported; give the task a queue"),
        ({"soft_time_limit": 3, "time_limit": 2}, "soft_time_limit 3 s is above time_limit 2 s"),
        ({"retry_policy": 3}, "retry_policy must be a RetryPolicy, not 3"),
        ({"max_retry": 3}, "unknown option 'max_retry'; did you mean 'max_retries'"),
        ({"base": int}, "base must be a subclass of Task, not <class 'int'>"),
        ({"base": OnceTask, "once": {"keys": ["z"]}}, "'z'"),
        ({"base": OnceTask, "once": {"gracefull": True}}, "graceful"),
    ],
)
def test_options_that_are_not_possible_are_refused_at_once(
    app: App, options: dict[str, Any], said: str
) -> None:
    declare: Any = app.task(name="bad", **options)
    with pytest.raises(ConfigError, match=said):
        declare(lambda x: x)
    assert "bad" not in app.tasks


def test_a_class_of_ones_own_gives_its_tasks_options_and_methods(app: App) -> None:
    class Mailing(Task[Any, Any]):
        queue = "mail"
        sent: ClassVar[list[str]] = []

        def send(self, text: str) -> None:
            self.sent.append(text)

    @app.task(base=Mailing, bind=True)
    def mail(self: Any, text: str) -> None:
        self.send(text)

    mail("hello")
    assert Mailing.sent == ["hello"]
    assert mail.delay("x").queue == "mail"
    assert mail.max_retries == 3


def test_outside_of_a_body_the_request_says_so(app: App) -> None:
    add = app.task(name="add")(lambda x: x)
    assert add.request.called_directly
    assert add.request.id is None
    assert add.request.get("retries") == 0
    assert add.request.get("no such field", 7) == 7


def test_retry_outside_of_a_message_raises_the_cause(app: App) -> None:
    add = app.task(name="add")(lambda x: x)
    with pytest.raises(KeyError):
        add.retry(exc=KeyError("k"))
    with pytest.raises(Retry, match="called directly"):
        add.retry()


def test_update_state_works_from_inside_the_body_alone(app: App) -> None:
    add = app.task(name="add")(lambda x: x)
    with pytest.raises(ConfigError, match="from inside the body"):
        add.update_state(state="PROGRESS")


def test_an_unknown_option_of_retry_is_named(app: App) -> None:
    @app.task(name="again", bind=True)
    def again(self: Task[Any, Any]) -> None:
        self.retry(coundown=3)

    assert isinstance(again.apply().result, ConfigError)


def test_a_policy_of_ones_own_is_the_tasks(app: App) -> None:
    policy = RetryPolicy(max_retries=7)
    assert app.task(name="add", retry_policy=policy)(lambda x: x).policy is policy


def test_celerys_options_of_retrying_make_a_policy_of_their_own_for_each_task(app: App) -> None:
    kwargs = {"max_retries": 2, "countdown": 5}
    one = app.task(name="one", autoretry_for=(KeyError,), retry_kwargs=kwargs)(lambda: None)
    app.task(name="two", autoretry_for=(KeyError,), retry_kwargs=kwargs)(lambda: None)
    assert kwargs == {"max_retries": 2, "countdown": 5}, "the dict is not changed"
    assert one.policy.max_retries == 2


def test_a_task_is_pickled_as_its_name(app: App) -> None:
    add = app.task(name="add")(lambda x: x)
    assert pickle.loads(pickle.dumps(add)) is add
    assert copy.copy(add) is add
    assert repr(add).startswith("<@task: add of tasking at 0x")


# Once --------------------------------------------------------------------------------------------


def test_queue_once_is_once_task() -> None:
    assert QueueOnce is OnceTask


def test_pain_7_and_10_a_duplicate_raises_with_all_that_is_known_of_the_holder(app: App) -> None:
    task: Any = app.task(name="once", base=OnceTask)(lambda a, b=1: a)
    first = task.delay(1)
    with pytest.raises(AlreadyQueued) as caught:
        task.delay(a=1, b=1)
    assert caught.value.task_id == first.id
    assert caught.value.key == task.get_key((1,))
    assert caught.value.countdown == 0.0
    assert task.delay("1").id != first.id, "1 and '1' are two"
    with pytest.raises(task.AlreadyQueued):
        task.apply_async((1,), countdown=50)


def test_pain_6_the_countdown_of_a_duplicate_is_the_delay_of_the_holder(app: App) -> None:
    task = app.task(name="once", base=OnceTask)(lambda a: a)
    task.apply_async((1,), countdown=7200)
    with pytest.raises(AlreadyQueued) as caught:
        task.delay(1)
    assert 7190 < caught.value.countdown <= 7200


@pytest.mark.parametrize("how", ["task", "call"])
def test_a_graceful_duplicate_returns_the_handle_of_the_holder(app: App, how: str) -> None:
    options = {"once": {"graceful": True}}
    of_task, of_call = (options, {}) if how == "task" else ({}, options)
    task: Any = app.task(name="once", base=OnceTask, **of_task)(lambda a: a)
    first = task.delay(1)
    again = task.apply_async((1,), **of_call)
    assert again == first
    assert again.duplicate
    assert not first.duplicate


@pytest.mark.parametrize("ending", ["revoke", "purge"])
def test_pain_5_and_12_the_key_is_free_after_an_ending(app: App, ending: str) -> None:
    task = app.task(name="once", base=OnceTask)(lambda a: a)
    first = task.delay(1)
    if ending == "revoke":
        first.revoke()
    else:
        app.control.purge()
    assert task.delay(1).id != first.id


def test_direct_calls_and_eager_ones_take_no_lock(app: App) -> None:
    task = app.task(name="once", base=OnceTask)(lambda a: a)
    first = task.delay(1)
    assert task(1) == 1
    assert task.apply((1,)).get() == 1
    assert app.store.locks()[0].owner == first.id, "nor do they free it"


@pytest.mark.parametrize("route", ["delay", "apply_async", "send_task", "signature"])
def test_pain_9_every_route_takes_the_lock(app: App, route: str) -> None:
    task = app.task(name="once", base=OnceTask)(lambda a: a)
    task.delay(1)
    routes: dict[str, Any] = {
        "delay": lambda: task.delay(1),
        "apply_async": lambda: task.apply_async((1,)),
        "send_task": lambda: app.send_task("once", (1,)),
        "signature": lambda: task.s(1).delay(),
    }
    with pytest.raises(AlreadyQueued):
        routes[route]()
