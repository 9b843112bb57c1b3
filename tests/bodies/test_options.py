"""Options of `@app.task` that are Celery's, the user's own, or mistyped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from reliable_tasks import App, Task
from reliable_tasks.errors import ConfigError
from reliable_tasks.testing import bound, run_until_idle

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app() -> Iterator[App]:
    app = App("options", broker="sqlite://", set_as_current=False)
    with bound(app):
        yield app


def declared(app: App, **options: Any) -> Any:
    make: Any = app.task(name="it", **options)
    return make(lambda *_: None)


def test_what_is_no_option_becomes_an_attribute_and_the_worker_says_so(app: App) -> None:
    @app.task(name="it", bind=True, count=0)
    def it(self: Any) -> int:
        self.count += 1
        return int(self.count)

    it.delay()
    it.delay()
    run_until_idle(app)
    assert it().__class__ is int
    assert it.count == 3  # type: ignore[attr-defined]
    assert app.conf.notes == [
        "task it: count is not an option; it is kept as an attribute of the task"
    ]


@pytest.mark.parametrize(
    ("option", "near"),
    [
        ("max_retrys", "max_retries"),
        ("qeue", "queue"),
        ("on_fail", "on_failure"),
        ("soft_timelimit", "soft_time_limit"),
        ("expire", "expires"),
        ("compresion", "compression"),
    ],
)
def test_a_mistyped_option_is_refused(app: App, option: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown option '{option}'; did you mean '{near}'"):
        declared(app, **{option: 3})
    assert "it" not in app.tasks


@pytest.mark.parametrize("option", ["delay", "retry", "request", "__call__"])
def test_an_attribute_that_would_hide_a_method_is_refused(app: App, option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option}=5 would hide"):
        declared(app, **{option: 5})


@pytest.mark.parametrize("options", [{"on_failure": 3}, {"filter": "x"}])
def test_what_has_to_be_a_function_is_held_to_it(app: App, options: Any) -> None:
    with pytest.raises(ConfigError, match="must be a function"):
        declared(app, **options)
    assert "it" not in app.tasks


def test_celerys_options_are_taken_and_those_without_effect_are_noted(app: App) -> None:
    meaningless = {
        "compression": "gzip",
        "exchange": "feeds",
        "acks_late": False,
        "retry_on_worker_lost": True,
        "send_events": False,
    }
    usual = {"acks_on_failure": True, "acks_on_timeout": True, "acks_late": True}
    task = declared(app, shared=False, lazy=False, **{**usual, **meaningless})
    assert {name: getattr(task, name) for name in meaningless} == meaningless
    noted = {note.partition(" has no effect: ")[0] for note in app.conf.notes}
    assert noted == {f"task it: {name}={value!r}" for name, value in meaningless.items()}


def test_options_as_always_need_no_note(app: App) -> None:
    declared(app, acks_late=True, reject_on_worker_lost=True, track_started=True, exchange=None)
    assert app.conf.notes == []


def test_attributes_of_a_class_are_noted_where_they_look_like_an_option(app: App) -> None:
    class Base(Task[Any, Any]):
        max_retrys = 5
        send_events = False
        sent: ClassVar[list[str]] = []

    declared(app, base=Base)
    app.task(name="other", base=Base)(lambda: None)
    mistyped, noted = app.conf.notes
    assert mistyped.endswith("Base: max_retrys is not an option; did you mean 'max_retries'?")
    assert "Base: send_events=False has no effect" in noted


@pytest.mark.parametrize(
    ("options", "queue"),
    [
        ({"routing_key": "mail"}, "mail"),
        ({"routing_key": "mail", "queue": "post"}, "post"),
        ({"routing_key": "feed.import", "exchange": "feeds"}, "celery"),
    ],
)
def test_a_routing_key_alone_names_a_queue(app: App, options: Any, queue: str) -> None:
    assert declared(app, **options).delay().queue == queue
    app.task(name="other")(lambda: None)
    assert app.tasks["other"].apply_async(**options).queue == queue


def test_a_filter_is_handed_the_task(app: App) -> None:
    assert declared(app, filter=lambda task: (task.name, "filtered")) == ("it", "filtered")
    assert app.tasks["it"].name == "it"


def test_hooks_may_be_given_as_functions(app: App) -> None:
    told: list[Any] = []
    task = declared(app, on_success=lambda self, value, *_: told.append((self.name, value)))
    task.delay()
    run_until_idle(app)
    assert told == [("it", None)]
