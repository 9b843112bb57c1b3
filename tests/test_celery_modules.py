"""Modules under Celery's paths: the names in them are those of here, and absent ones say so."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from reliable_tasks import App, Task, errors, exceptions, states
from reliable_tasks.app.control import Control, Inspect
from reliable_tasks.app.registry import TaskRegistry
from reliable_tasks.app.task import Context
from reliable_tasks.utils import gen_task_name, gen_unique_id, uuid
from tests.celery_names.collect import found


@pytest.fixture
def app() -> App:
    return App("modules", broker="sqlite://", set_as_current=False)


def test_an_except_clause_written_for_celery_catches_what_is_raised_here() -> None:
    caught = {
        exceptions.CeleryError: errors.StoreFull(),
        exceptions.ImproperlyConfigured: errors.ConfigError(),
        exceptions.OperationalError: errors.StoreBusy(),
        exceptions.BackendError: errors.StoreReadOnly(),
        exceptions.TaskError: errors.NotRegistered("add"),
        exceptions.AlreadyRegistered: errors.ConfigError(),
        exceptions.InvalidTaskError: errors.CodecError(),
        exceptions.TimeoutError: errors.TimeoutError(),
    }
    for kind, raised in caught.items():
        with pytest.raises(kind):
            raise raised


@pytest.mark.parametrize("asked", [errors.Retry(), errors.Ignore(), errors.Reject()])
def test_what_a_body_asks_for_is_one_kind(asked: Exception) -> None:
    assert isinstance(asked, exceptions.TaskPredicate)
    assert not issubclass(errors.ChordError, exceptions.TaskPredicate)


def test_an_app_that_has_a_task_of_that_name_raises_what_celery_has_a_name_for(app: App) -> None:
    app.task(name="add")(lambda: 1)
    with pytest.raises(exceptions.AlreadyRegistered):
        app.task(name="add")(lambda: 2)


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("exceptions", "Terminated", "ends as REVOKED: `TaskRevokedError`"),
        ("bootsteps", "StartStopStep", "connect to the signals worker_init"),
        ("utils", "memoize", r"functools\.lru_cache"),
        ("beat", "PersistentScheduler", r"app\.schedules"),
        ("utils.log", "ColorFormatter", "setup_logging"),
        ("app", "app_or_default", "current_app"),
    ],
)
def test_an_import_that_cannot_be_says_what_to_write(module: str, name: str, words: str) -> None:
    statement = f"from reliable_tasks.{module} import {name}"
    with pytest.raises(ImportError, match=f"has no attribute '{name}'; instead: .*{words}"):
        exec(statement, {})
    with pytest.raises(AttributeError):
        importlib.import_module(f"reliable_tasks.{module}").nothing_of_anyones  # noqa: B018


def test_rooms_are_imported_as_ever_where_celery_has_a_name_for_them() -> None:
    rooms = "beat, worker, events, control, exceptions, states, bootsteps, migrate"
    program = f"from reliable_tasks.app import task\nfrom reliable_tasks import {rooms}, utils"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_there_does_not_load_the_words_for_what_is_not() -> None:
    program = "import sys, reliable_tasks.app, reliable_tasks.schedules, reliable_tasks.worker\n"
    program += "assert not [m for m in sys.modules if m.startswith('reliable_tasks.celery_names.')]"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_package_says_of_each_absent_name_what_is_here() -> None:
    absent = {one.name for one in found() if one.section == "celery" and not one.here}
    package = importlib.import_module("reliable_tasks")
    assert {name for name in absent if "version" not in name.lower()} - {
        "SERIES"
    } == package._ABSENT


def test_tools_may_ask_the_package_for_a_version() -> None:
    package = importlib.import_module("reliable_tasks")
    assert getattr(package, "VERSION", None) is None
    with pytest.raises(ImportError, match="maybe_patch_concurrency"):
        exec("from reliable_tasks import maybe_patch_concurrency", {})


def test_states_are_compared_by_what_counts_more() -> None:
    assert states.state(states.PENDING) < states.state(states.SUCCESS)
    assert states.state("PROGRESS") > states.STARTED
    assert states.state("PROGRESS") <= states.state("OTHER") >= states.REVOKED
    assert states.precedence(states.SUCCESS) < states.precedence(states.FAILURE)
    assert states.READY_STATES == {"SUCCESS", "FAILURE", "REVOKED"} <= states.ALL_STATES
    assert states.UNREADY_STATES.isdisjoint(states.READY_STATES)


def test_names_and_ids(app: App) -> None:
    assert len({uuid(), gen_unique_id(), uuid()}) == 3
    assert gen_task_name(app, "add", "site.tasks") == "site.tasks.add"
    assert gen_task_name(app, "add", "__main__") == "modules.add"
    assert gen_task_name(App(set_as_current=False), "add", None) == "__main__.add"


def test_modules_below_app_have_the_classes_that_are_used(app: App) -> None:
    task = app.task(lambda: 1)
    assert isinstance(task, importlib.import_module("reliable_tasks.app.task").Task)
    assert isinstance(task, Task)
    assert isinstance(app.control, Control)
    assert isinstance(app.control.inspect(), Inspect)
    assert isinstance(app.tasks, TaskRegistry)
    asked = app.task(bind=True, name="look")(lambda self: type(self.request))
    assert issubclass(asked.run(), Context)
    assert importlib.import_module("reliable_tasks.app").Celery is App
