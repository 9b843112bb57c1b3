"""celery_once's documented behaviour: kept where it is sound, and fixed where it is a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import reliable_tasks
from reliable_tasks import AlreadyQueued, App, OnceTask, QueueOnce
from reliable_tasks.core.once import OnConflict, Scope
from reliable_tasks.errors import ConfigError
from reliable_tasks.results.result import AsyncResult
from reliable_tasks.testing import run_until_idle
from reliable_tasks.testing.binding import bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.testing import VirtualTime

ONCE = {
    "backend": "celery_once.backends.Redis",
    "settings": {
        "url": "redis://localhost:6379/0",
        "default_timeout": 3600,
        "blocking": True,
        "blocking_timeout": 1,
    },
}


@pytest.fixture
def app() -> App:
    return App("compat", broker="sqlite://", set_as_current=False)


@pytest.fixture(autouse=True)
def time(app: App) -> Iterator[VirtualTime]:
    with bound(app) as opened:
        yield opened


def declare(app: App, name: str = "example", **options: Any) -> Any:
    made: Any = app.task(name=name, base=QueueOnce, **options)
    return made(lambda a, b=2: a)


# Kept --------------------------------------------------------------------------------------------


def test_the_exports_have_their_names() -> None:
    assert {"QueueOnce", "AlreadyQueued"} <= set(reliable_tasks.__all__)
    assert QueueOnce is OnceTask


@pytest.mark.parametrize(
    "backend", ["celery_once.backends.Redis", "celery_once.backends.File", "my.own.Backend"]
)
def test_the_setting_once_is_taken(app: App, backend: str) -> None:
    app.conf.ONCE = {**ONCE, "backend": backend}
    task = declare(app)
    assert task.delay(1).id
    app.conf.update(ONCE=ONCE)
    app.config_from_object({"ONCE": ONCE})
    assert run_until_idle(app)


def test_the_setting_once_is_not_needed(app: App) -> None:
    assert declare(app).delay(1).id


def test_an_abstract_base_class_may_set_the_options(app: App) -> None:
    class Base(QueueOnce[Any, Any]):
        abstract = True
        once: Any = {"graceful": True, "keys": ["a"]}  # noqa: RUF012 - an option

    task: Any = app.task(name="derived", base=Base)(lambda a, b: a)
    first = task.delay(1, 2)
    assert task.delay(1, 3) == first
    assert Base.abstract


@pytest.mark.parametrize(
    "options",
    [
        {"graceful": True},
        {"unlock_before_run": True},
        {"timeout": 60},
        {"keys": ["a"]},
        {"graceful": False, "unlock_before_run": False, "timeout": 60 * 60 * 10, "keys": []},
    ],
)
def test_the_options_of_a_task_have_their_names(app: App, options: dict[str, Any]) -> None:
    task = declare(app, once=options)
    parsed = task.once_options
    assert parsed.graceful is options.get("graceful", False)
    assert parsed.unlock_before_run is options.get("unlock_before_run", False)
    assert parsed.timeout_s == options.get("timeout")


def test_a_duplicate_raises_already_queued_with_countdown_and_message(
    app: App, time: VirtualTime
) -> None:
    task = declare(app, once={"timeout": 60})
    task.delay(1)
    time.advance(10)
    with pytest.raises(AlreadyQueued) as told:
        task.delay(1)
    assert isinstance(told.value, Exception)
    assert told.value.countdown == 50.0
    assert isinstance(told.value.countdown, float)
    assert told.value.message
    with pytest.raises(task.AlreadyQueued):
        task.delay(1)


def test_per_call_graceful_and_timeout_override_the_task(app: App, time: VirtualTime) -> None:
    task = declare(app)
    first = task.apply_async((1,), once={"timeout": 5}, countdown=100)
    assert task.apply_async((1,), once={"graceful": True}) == first
    time.advance(5)
    assert task.delay(1) != first


def test_get_key_gives_the_key_that_is_taken(app: App) -> None:
    task = declare(app)
    task.delay(1)
    assert [lock.name for lock in app.store.locks()] == [task.get_key((1,), {"b": 2})]
    assert task.get_key([1]).startswith("example:")


def test_keys_choose_the_arguments_and_none_of_them_means_the_whole_task(app: App) -> None:
    task_wide = declare(app, "wide", once={"keys": []})
    task_wide.delay(1)
    with pytest.raises(AlreadyQueued):
        task_wide.delay(2)
    by_a = declare(app, "by_a", once={"keys": ["a"]})
    by_a.delay(1, 2)
    by_a.delay(2, 2)
    with pytest.raises(AlreadyQueued):
        by_a.delay(1, 3)


def test_a_bound_self_is_no_part_of_the_key(app: App) -> None:
    made: Any = app.task(name="bound", base=QueueOnce, bind=True)
    task = made(lambda self, a: a)
    task.delay(1)
    with pytest.raises(AlreadyQueued):
        task.delay(a=1)


def test_direct_calls_and_apply_take_no_lock(app: App) -> None:
    task = declare(app)
    assert task(1) == task.apply((1,)).get() == 1
    assert app.store.locks() == ()


def test_unlock_before_run_frees_the_key_when_the_body_starts(app: App) -> None:
    seen: list[Any] = []
    made: Any = app.task(name="early", base=QueueOnce, once={"unlock_before_run": True})
    task = made(lambda: seen.append(app.store.locks()))
    task.delay()
    assert app.store.locks()
    run_until_idle(app)
    assert seen == [()]


def test_the_key_is_held_through_all_attempts(app: App) -> None:
    seen: list[int] = []
    options = {"autoretry_for": (OSError,), "retry_kwargs": {"max_retries": 2, "countdown": 5}}
    made: Any = app.task(name="flaky", base=QueueOnce, **options)

    def body() -> None:
        seen.append(len(app.store.locks()))
        if len(seen) < 3:
            raise OSError("again")

    made(body).delay()
    run_until_idle(app)
    assert seen == [1, 1, 1]
    assert app.store.locks() == ()


# Fixed -------------------------------------------------------------------------------------------


def test_fixed_graceful_returns_the_handle_of_the_message_that_is_there(app: App) -> None:
    task = declare(app, once={"graceful": True})
    first, second = task.delay(1), task.delay(1)
    assert isinstance(second, AsyncResult)
    assert (second.id, second.state, second.duplicate) == (first.id, "PENDING", True)
    run_until_idle(app)
    assert second.get(timeout=1) == 1


def test_fixed_already_queued_says_who_and_why(app: App) -> None:
    task = declare(app)
    first = task.delay(1)
    with pytest.raises(AlreadyQueued) as told:
        task.delay(1)
    assert (told.value.task_id, told.value.key) == (first.id, task.get_key((1,)))
    assert told.value.countdown == 0.0, "nobody knows; celery_once says -0.001"
    assert first.id in str(told.value)


def test_fixed_no_lock_lapses_after_the_default_timeout(app: App, time: VirtualTime) -> None:
    app.conf.ONCE = ONCE
    task = declare(app)
    task.apply_async((1,), countdown=7200)
    time.advance(3601)
    with pytest.raises(AlreadyQueued):
        task.delay(1)


def test_fixed_keys_of_one_call_are_an_error_instead_of_ignored(app: App) -> None:
    with pytest.raises(ConfigError, match="keys cannot be changed for one call"):
        declare(app).apply_async((1,), once={"keys": ["b"]})


def test_fixed_unlock_before_run_of_one_call_works(app: App) -> None:
    seen: list[Any] = []
    made: Any = app.task(name="early", base=QueueOnce)
    task = made(lambda: seen.append(app.store.locks()))
    task.apply_async(once={"unlock_before_run": True})
    run_until_idle(app)
    assert seen == [()]


def test_fixed_a_retry_after_unlock_before_run_is_locked_while_it_waits(
    app: App, time: VirtualTime
) -> None:
    options = {"autoretry_for": (OSError,), "retry_kwargs": {"max_retries": 1, "countdown": 50}}
    made: Any = app.task(name="flaky", base=QueueOnce, once={"unlock_before_run": True}, **options)

    def body() -> None:
        raise OSError("no")

    task = made(body)
    task.delay()
    run_until_idle(app, advance=False)
    with pytest.raises(AlreadyQueued) as told:
        task.delay()
    assert told.value.countdown == 50.0
    time.advance(50)
    run_until_idle(app)
    assert app.store.locks() == ()


def test_fixed_the_option_retries_does_not_skip_the_lock(app: App) -> None:
    task = declare(app)
    task.delay(1)
    with pytest.raises(AlreadyQueued):
        task.apply_async((1,), retries=1)


def test_fixed_keys_are_bound_typed_and_hashed(app: App) -> None:
    task = declare(app)
    assert task.get_key((1,)) == task.get_key((), {"a": 1, "b": 2})
    assert task.get_key((1,)) != task.get_key(("1",))
    assert task.get_key(("1_b-2", 3)) != task.get_key(("1", "2_b-3"))
    assert task.get_key(("x" * 10_000,)).isascii()
    assert len(task.get_key(("x" * 10_000,))) < 100, "long arguments make no long names"


def test_fixed_a_key_that_is_defaulted_is_no_key_error(app: App) -> None:
    assert declare(app, once={"keys": ["b"]}).delay(1).id


def test_fixed_a_key_that_is_no_parameter_is_refused_where_it_is_declared(app: App) -> None:
    with pytest.raises(ConfigError, match="'A', which is no parameter; there are a, b"):
        declare(app, once={"keys": ["A"]})


def test_fixed_unknown_options_are_refused_with_a_suggestion(app: App) -> None:
    with pytest.raises(ConfigError, match="did you mean 'graceful'"):
        declare(app, once={"gracefull": True})


@pytest.mark.parametrize("args", [((1, 2),), ({1: "a"},), ({"k": (1, {2: 3})},)])
def test_fixed_what_json_changes_does_not_change_the_key(app: App, args: tuple[Any]) -> None:
    task = declare(app)
    task.apply_async(args)
    run_until_idle(app)
    assert app.store.locks() == ()


def test_fixed_send_task_takes_the_lock(app: App) -> None:
    declare(app).delay(1)
    with pytest.raises(AlreadyQueued):
        app.send_task("example", (1,))


def test_fixed_a_duplicate_breaks_no_chain(app: App) -> None:
    task = declare(app)
    tail: Any = app.task(name="tail")(lambda x: x + 1)
    results = [reliable_tasks.chain(task.s(1), tail.s()).apply_async() for _ in range(2)]
    run_until_idle(app)
    assert [r.get(timeout=1) for r in results] == [2, 2]


def test_what_there_is_beyond_it(app: App) -> None:
    task = declare(app, once={"scope": "until_executing", "on_conflict": "rerun"})
    assert task.once_options.scope is Scope.UNTIL_EXECUTING
    assert task.once_options.on_conflict is OnConflict.RERUN
