"""`task_routes` in all of Celery's forms."""

import re
from pathlib import Path
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.config.routes import queues_of
from reliable_tasks.core.message import Message
from reliable_tasks.errors import ConfigError
from reliable_tasks.tasks.calls import build_message


@pytest.fixture
def app() -> App:
    return App("routed", broker="sqlite://", set_as_current=False)


def sent(app: App, name: str, *args: Any, **options: Any) -> Message:
    return build_message(app, name, args, {}, options, app.tasks.get(name))


def queue(app: App, name: str) -> str:
    return sent(app, name).queue


def test_the_first_part_that_answers_counts(app: App) -> None:
    app.conf.task_routes = [
        {"feed.new": "exact", "feed.*": "glob"},
        [("feed.*", "never"), (re.compile(r"(video|image)\.tasks\..*"), {"queue": "media"})],
        ("other", {"queue": "pair"}),
    ]
    names = ("feed.new", "feed.old", "video.tasks.cut", "my.video.tasks.cut", "other")
    assert [queue(app, name) for name in names] == ["exact", "glob", "media", "celery", "pair"]
    assert queues_of(app.settings.task_routes) == ["exact", "glob", "never", "media", "pair"]


def test_a_router_function_is_asked_about_each_call(app: App) -> None:
    heard = list[Any]()

    @app.task(name="add", priority=3)
    def add(x: int) -> int:
        return x

    def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> Any:
        heard.append((name, args, kwargs, options, task))
        return {1: "text", 2: {"queue": "dict", "priority": 9}, 3: None}[args[0]]

    app.conf.task_routes = (route, {"add": "after"})
    assert [sent(app, "add", n).queue for n in (1, 2, 3)] == ["text", "dict", "after"]
    assert sent(app, "add", 2).priority == 3, "the task's own word counts more"
    assert sent(app, "add", 2, queue="call").queue == "call"
    assert heard[0] == ("add", (1,), {}, {"priority": 3}, add)
    sent(app, "unknown", 1)
    assert heard[-1][-1] is None


def test_a_routing_key_of_the_call_names_its_queue(app: App) -> None:
    app.conf.task_routes = {"add": {"queue": "route", "priority": 3}}
    message = sent(app, "add", routing_key="call")
    assert (message.queue, message.priority) == ("call", 3)


def test_one_router_may_stand_alone(app: App) -> None:
    app.conf.task_routes = lambda *_, **__: "lone"
    assert queue(app, "add") == "lone"
    assert queues_of(app.settings.task_routes) == []


def test_dotted_names_are_imported_when_they_are_needed(app: App, modules: Path) -> None:
    app.conf.task_routes = ["late_routers.by_name", "late_routers:Old", {"c": "table"}]
    assert len(app.settings.task_routes) == 3
    (modules / "late_routers.py").write_text(
        "def by_name(name, args, kwargs, options, task=None, **kw):\n"
        "    return {'queue': 'function'} if name == 'a' else None\n"
        "class Old:\n"
        "    def route_for_task(self, task, args=None, kwargs=None):\n"
        "        return 'old' if task == 'b' else None\n"
    )
    assert [queue(app, name) for name in "abcd"] == ["function", "old", "table", "celery"]
    app.conf.task_routes = "no_such_module.route"
    with pytest.raises(ConfigError, match=r"the router 'no_such_module\.route'"):
        queue(app, "a")


def test_a_router_that_raises_is_an_error_at_the_call(app: App) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise LookupError("no tenant")

    app.conf.task_routes = [broken]
    with pytest.raises(LookupError, match="no tenant") as caught:
        app.send_task("add")
    assert "broken" in caught.value.__notes__[0]


@pytest.mark.parametrize("answer", [5, {"queu": "q"}, {"exchange": "x"}, {"queue": ""}])
def test_an_answer_that_is_no_route_is_an_error_at_the_call(app: App, answer: Any) -> None:
    app.conf.task_routes = lambda *_, **__: answer
    with pytest.raises(ConfigError, match=r"task_routes, for add: the router .* answered"):
        app.send_task("add")


def test_routes_can_be_changed_in_place(app: App) -> None:
    app.conf.task_routes["a"] = "one"
    assert queue(app, "a") == "one"
    app.conf.task_routes["a"] = "two"
    assert queue(app, "a") == "two"
    app.conf.task_routes = [{"a": "three"}]
    app.conf.task_routes.append({"b": "four"})
    app.conf.task_routes[0]["a"] = "five"
    assert (queue(app, "a"), queue(app, "b")) == ("five", "four")
