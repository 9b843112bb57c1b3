"""Flask: the layout of its page on Celery with the imports changed, and the extension."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, current_app

from reliable_tasks import shared_task
from reliable_tasks.contrib.flask import ReliableTasks
from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError
from reliable_tasks.testing import bound, run_until_idle
from tests.contrib.django_projects import Project
from tests.process.conftest import redis_server, store_url

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["redis_server", "store_url"]

# What a browser does, in the application's own process: enqueue by one view, wait by another.
VISIT = """
import json
client = app.test_client()
def get(id):
    while not (said := client.get(f"/tasks/result/{id}").get_json())["ready"]:
        app.extensions["celery"].AsyncResult(id).get(timeout=100)
    return said["value"]
added = client.post("/tasks/add", data={"a": 2, "b": 3}).get_json()["result_id"]
greeted = client.post("/tasks/greet/you").get_json()
processed = client.post("/tasks/process", data={"total": 3}).get_json()["result_id"]
blocked = client.post("/tasks/block").get_json()["result_id"]
print(json.dumps([get(added), get(greeted["result_id"]), get(greeted["async"]), get(processed),
                  get(blocked)]))
"""


def visit(project: Project, program: str) -> Any:
    return json.loads(project.run("-c", program + VISIT).splitlines()[-1])


def test_the_layout_of_flasks_page_on_celery(tmp_path: Path, store_url: str) -> None:
    with Project("flask_celery_layout", tmp_path, TASK_APP_STORE=store_url) as project:
        project.start("reliable-tasks", "-A", "make_celery", "worker", "-l", "INFO", "-c", "1")
        values = visit(project, "from make_celery import flask_app as app\n")
        assert values == [5, "hello you", "hello you", {"current": 3, "total": 3}, None]


def test_the_extension_and_its_command(tmp_path: Path, store_url: str) -> None:
    with Project("flask_celery_layout", tmp_path, TASK_APP_STORE=store_url) as project:
        flask = ("-m", "flask", "--app", "extension", "reliable-tasks")
        project.start(*flask, "worker", "-l", "INFO", "-c", "1")
        values = visit(project, "from extension import create_app\napp = create_app()\n")
        assert values[:3] == [5, "good day, you", "good day, you"]
        assert "succeeded" in project.run(*flask, "status").lower()
        assert "did you mean 'status'" in project.run(*flask, "stauts", code=2)
        assert "--concurrency" in project.run(*flask, "worker", "--help")


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "_on_app", list(context._on_app))
    monkeypatch.setattr(context, "_current_app", None)


@pytest.mark.usefixtures("_alone")
def test_each_application_of_a_factory_has_its_own_tasks() -> None:
    extension = ReliableTasks()

    @shared_task(name="named")
    def named() -> str:
        return str(current_app.config["NAME"])

    def create_app(name: str) -> Flask:
        app = Flask(name)
        app.config.update(NAME=name, CELERY={"broker_url": "sqlite://"})
        extension.init_app(app)
        return app

    for each in [create_app("one"), create_app("two")]:
        tasks = each.extensions["reliable_tasks"]
        assert tasks is each.extensions["celery"]
        with bound(tasks):
            result = named.delay()
            run_until_idle(tasks)
            assert result.get() == each.name
            assert named.apply().get() == each.name
            assert named() == each.name


@pytest.mark.usefixtures("_alone")
def test_what_is_not_possible_is_told() -> None:
    app = Flask("wrong")
    app.config["RELIABLE_TASKS"] = "sqlite://"
    with pytest.raises(ConfigError, match=r'config\["RELIABLE_TASKS"\] must be a dict'):
        ReliableTasks(app)
    app.config["RELIABLE_TASKS"] = {"broker_url": "sqlite://"}
    ReliableTasks(app)
    with pytest.raises(ConfigError, match="call init_app once"):
        ReliableTasks(app)
