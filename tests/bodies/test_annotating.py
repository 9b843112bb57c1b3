"""`task_annotations`: attributes that the settings give to tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, Task
from reliable_tasks.errors import ConfigError
from reliable_tasks.testing import bound, run_until_idle

if TYPE_CHECKING:
    from collections.abc import Iterator

told: list[Any] = []


@pytest.fixture
def app() -> Iterator[App]:
    told.clear()
    app = App("annotated", broker="sqlite://", set_as_current=False)
    with bound(app):
        yield app


def tell(self: Any, exc: BaseException, task_id: str, *_: Any) -> None:
    told.append((self.name, str(exc), task_id))


class Mailing:
    def annotate(self, task: Any) -> dict[str, Any] | None:
        return {"queue": "mail"} if task.name.startswith("mail") else None


class ForAll:
    def annotate_any(self) -> dict[str, Any]:
        return {"priority": 3}


class Broken:
    def annotate(self, task: Any) -> None:
        raise KeyError(task.name)


def test_a_tasks_attributes_come_from_a_dict(app: App) -> None:
    add: Any = app.task(name="add")(lambda: 1)
    other: Any = app.task(name="other")(lambda: 1)
    app.conf.task_annotations = {"add": {"queue": "sums", "priority": 5, "mark": "x"}}
    assert (add.delay().queue, other.delay().queue) == ("sums", "celery")
    assert (add.priority, add.mark, other.priority) == (5, "x", None)


def test_one_that_is_declared_later_is_annotated_as_well(app: App) -> None:
    app.conf.task_annotations = {"*": {"queue": "all"}}
    assert app.settings.task_annotations
    assert app.task(name="late")(lambda: 1).delay().queue == "all"


def test_functions_become_methods(app: App) -> None:
    @app.task(name="fails")
    def fails() -> None:
        raise KeyError("k")

    app.conf.task_annotations = {"*": {"on_failure": tell}}
    fails.apply_async(task_id="a")
    run_until_idle(app)
    fails.apply(task_id="b")
    assert told == [("fails", "'k'", "a"), ("fails", "'k'", "b")]


@pytest.mark.parametrize(
    "given",
    [
        [Mailing(), ForAll()],
        (ForAll(), {"other": {"queue": "no"}}, Mailing()),
        [f"{__name__}.Mailing", f"{__name__}:ForAll"],
    ],
)
def test_objects_and_names_of_them_annotate(app: App, given: Any) -> None:
    mail: Any = app.task(name="mail.send")(lambda: 1)
    app.conf.task_annotations = given
    assert mail.delay().queue == "mail"
    assert mail.priority == 3


def test_what_is_for_all_goes_over_what_is_for_one(app: App) -> None:
    """As Celery has it."""
    add: Any = app.task(name="add")(lambda: 1)
    app.conf.task_annotations = {"add": {"queue": "one", "priority": 1}, "*": {"queue": "all"}}
    assert (add.delay().queue, add.priority) == ("all", 1)


def test_an_annotation_may_be_around_a_method(app: App) -> None:
    add: Any = app.task(name="add")(lambda x, y: x + y)
    app.conf.task_annotations = {"add": {"@run": lambda run: lambda *args: run(*args) * 10}}
    result = add.delay(1, 2)
    run_until_idle(app)
    assert (result.get(timeout=5), add(1, 2), add.apply((1, 2)).get()) == (30, 30, 30)
    add.annotate()
    assert add(1, 2) == 30


class AroundBodies(Task[Any, Any]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


def test_it_may_be_around_a_coroutine_that_a_plain_call_is_around(app: App) -> None:
    @app.task(name="echo", base=AroundBodies)
    async def echo(n: int) -> int:
        return n

    def tenfold(run: Any) -> Any:
        async def made(n: int) -> int:
            return int(await run(n)) * 10

        return made

    app.conf.task_annotations = {"echo": {"@run": tenfold}}
    result = echo.delay(1)
    run_until_idle(app)
    assert (result.get(timeout=5), echo.apply((2,)).get()) == (10, 20)
    echo.annotate()
    assert echo.apply((3,)).get() == 30


def test_a_changed_setting_is_followed(app: App) -> None:
    add: Any = app.task(name="add", time_limit=5)(lambda: 1)
    app.conf.task_annotations = {"add": {"time_limit": 7}}
    app.conf.task_annotations = {"add": {"time_limit": 8}}
    add.delay()
    assert add.time_limit == 8


def test_a_finalized_app_has_annotated_its_tasks(app: App) -> None:
    add: Any = app.task(name="add")(lambda: 1)
    app.conf.task_annotations = {"add": {"max_retries": 7}}
    app.finalize()
    assert add.max_retries == 7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "give a dict, or an object with annotate"),
        ({"add": 5}, "'add': 5: give {'name of a task"),
        ([{"add": {}}, object()], "give a dict"),
    ],
)
def test_what_is_no_annotation_is_refused_where_it_is_set(app: App, given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        app.conf.task_annotations = given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"add": {"rate_limit": "10/m"}}, "task_annotations: task add: rate_limit='10/m' is not"),
        ({"add": {"max_retrys": 1}}, "task add: unknown option 'max_retrys'; did you mean"),
        ({"*": {"queue": 5}}, "task_annotations: task add: queue must be"),
        (Broken(), "task add: annotate.. raised KeyError"),
        ("nowhere.Thing", "cannot be imported"),
    ],
)
def test_what_is_not_possible_is_said_at_each_use(app: App, given: Any, said: str) -> None:
    add: Any = app.task(name="add")(lambda: 1)
    app.conf.task_annotations = given
    for _ in range(2):
        with pytest.raises(ConfigError, match=said):
            add.delay()
    assert app.store.counts().states == {}


def test_declaring_a_task_does_not_load_the_settings() -> None:
    app = App("lazy", broker="sqlite://", set_as_current=False)
    app.config_from_object("a_module_that.is_not_there")
    app.task(name="add", base=Task)(lambda: 1)
    with pytest.raises(ConfigError, match="cannot be imported"):
        assert app.settings
