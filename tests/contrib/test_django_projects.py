"""Django projects, started as their users start them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contrib.django_projects import Project
from tests.process.conftest import redis_server, store_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["redis_server", "store_url"]

CELERYS = "django_celery_layout"
ENQUEUE = """
from shop.tasks import acount_orders, add, count_orders, rename_order
from shop.models import Order
order = Order.objects.create(name="old")
renamed = rename_order.delay_on_commit(order.id, "new")
renamed.get(timeout=100)
order.refresh_from_db()
print(add.delay(2, 3).get(timeout=100), count_orders.delay().get(timeout=100),
      acount_orders.delay().get(timeout=100), order.name)
"""


@pytest.fixture
def shop(tmp_path: Path, store_url: str) -> Iterator[Project]:
    with Project(CELERYS, tmp_path, SHOP_STORE=store_url) as project:
        project.run("manage.py", "migrate", "--run-syncdb", "--verbosity=0")
        yield project


def test_the_projects_own_tests_pass(tmp_path: Path) -> None:
    with Project(CELERYS, tmp_path, SHOP_STORE="sqlite://") as project:
        said = project.run("manage.py", "test", "shop")
        assert "OK" in said


def test_a_worker_of_the_command_line(shop: Project) -> None:
    shop.start("reliable-tasks", "-A", "proj", "worker", "-l", "info", "-c", "1")
    assert shop.shell(ENQUEUE) == "5 1 1 new"
    called = shop.run("reliable-tasks", "-A", "proj", "call", "shop.tasks.count_orders", "--wait")
    assert called.split()[-1] == "1"


def test_worker_and_beat_of_manage(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'store.db'}"
    with Project(CELERYS, tmp_path, SHOP_STORE=store) as project:
        project.run("manage.py", "migrate", "--run-syncdb", "--verbosity=0")
        project.start("manage.py", "reliable_tasks", "worker", "-l", "info", "-c", "1")
        project.start("manage.py", "reliable_tasks", "beat", "-l", "info")
        assert project.shell(ENQUEUE) == "5 1 1 new"
        project.wait_for("beat")
        assert "succeeded" in project.run("manage.py", "reliable_tasks", "status").lower()
        said = project.run("manage.py", "reliable_tasks", "stauts", code=2)
        assert "did you mean 'status'" in said


def test_a_settings_module_that_is_not_there_is_told(tmp_path: Path) -> None:
    with Project(CELERYS, tmp_path, SHOP_STORE="sqlite://") as project:
        project.environment["DJANGO_SETTINGS_MODULE"] = "proj.settigns"
        said = project.run("reliable-tasks", "-A", "proj", "status", code=2)
        assert "DJANGO_SETTINGS_MODULE='proj.settigns' cannot be imported" in said


NO_APP = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "none"
from django.conf import settings
settings.configure({settings})
from reliable_tasks import shared_task
from reliable_tasks.errors import ConfigError

@shared_task
def add(a, b):
    return a + b

try:
    print(add.delay(1, 2).exists())
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("", "no app was made while the project loaded: make one in proj/celery.py"),
        ("RELIABLE_TASKS_BROKER_URL='sqlite://'", "True"),
    ],
)
def test_a_call_in_a_project_whose_app_is_not_imported(
    tmp_path: Path, settings: str, said: str
) -> None:
    with Project(CELERYS, tmp_path) as project:
        assert project.run("-c", NO_APP.format(settings=settings)).startswith(said)


def test_what_the_checks_find_keeps_a_worker_from_starting(tmp_path: Path) -> None:
    with Project(CELERYS, tmp_path, SHOP_STORE="nonsense://") as project:
        said = project.run("manage.py", "reliable_tasks", "worker", code=1)
        assert "reliable_tasks.E002" in said
        assert "Traceback" not in said


TASKS = "django_tasks"
ENQUEUE_TASKS = """
from shop.tasks import anoop, rebuild, send_mail, third_time, which
from reliable_tasks.contrib.django.project import project_app

def value(result):
    project_app().AsyncResult(result.id).get(timeout=100)
    result.refresh()
    return result.return_value

results = [send_mail.enqueue("me"), anoop.enqueue(), third_time.enqueue(), which.enqueue(more=5)]
mail, nothing, workers, seen = map(value, results)
print(mail, nothing, len(workers), seen[1:])
"""


@pytest.fixture
def with_tasks(tmp_path: Path, store_url: str) -> Iterator[Project]:
    with Project(TASKS, tmp_path, SHOP_STORE=store_url) as project:
        yield project


def test_the_tests_of_the_project_with_tasks_pass(tmp_path: Path) -> None:
    with Project(TASKS, tmp_path, SHOP_STORE="sqlite://") as project:
        assert "OK" in project.run("manage.py", "test", "shop")


def test_a_worker_of_a_project_with_tasks(with_tasks: Project) -> None:
    with_tasks.start("manage.py", "reliable_tasks", "worker", "-l", "info", "-c", "1")
    assert with_tasks.shell(ENQUEUE_TASKS) == "hello to me None 3 [1, 'RUNNING', 5]"
