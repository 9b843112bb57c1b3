"""The app: registry, settings and store in one place."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, Task, current_app, current_task, shared_task, signals
from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError, NotRegistered, StoreUnavailable
from reliable_tasks.store import open_store
from reliable_tasks.store.values import Batch, Enqueued

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """The current app; shared tasks that a test declares are not handed to the apps of others."""
    monkeypatch.setattr(context, "_on_app", list(context._on_app))
    with App("apping", broker="sqlite://") as made:
        yield made


# Registry ----------------------------------------------------------------------------------------


def test_a_missing_task_is_named_with_the_nearest(app: App) -> None:
    app.task(name="tasks.add")(lambda: 1)
    with pytest.raises(NotRegistered, match=r"'tasks\.ad'; did you mean 'tasks\.add'"):
        app.tasks["tasks.ad"]


def test_one_name_for_two_functions_is_an_error_that_says_where_both_are(app: App) -> None:
    app.task(name="add")(lambda: 1)
    with pytest.raises(ConfigError, match=r"'add' is registered already.*test_app\.py:\d+.*name="):
        app.task(name="add")(lambda: 2)


def test_one_function_that_is_imported_twice_is_one_task(app: App) -> None:
    def make() -> Any:
        def add() -> int:
            return 1

        return add

    assert app.task(name="add")(make()) is app.task(name="add")(make())


def test_a_module_that_runs_as_a_program_names_its_tasks_by_main(app: App) -> None:
    def add() -> int:
        return 1

    add.__module__ = "__main__"
    assert app.task(add).name == "apping.add"


def test_a_class_may_be_registered_as_a_task(app: App) -> None:
    class Adding(Task[Any, Any]):
        name = "adding"

        def run(self, x: int, y: int) -> int:
            return x + y

    task = app.register_task(Adding)
    assert app.tasks["adding"] is task
    assert task.apply((2, 3)).get() == 5

    class Other(Task[Any, Any]):
        name = "adding"

    with pytest.raises(ConfigError, match="registered already"):
        app.register_task(Other())


def test_options_are_given_by_name(app: App) -> None:
    for given in ({}, {"queue": "mail"}):
        with pytest.raises(ConfigError, match="not 'mail'; give the options by name"):
            app.task("mail", **given)  # type: ignore[call-overload]


def test_a_function_may_be_given_along_with_its_options(app: App) -> None:
    def add(x: int, y: int = 1) -> int:
        return x + y

    def me(self: Any) -> str:
        return str(self.name)

    task = app.task(add, name="x", queue="mail")
    assert (app.tasks["x"], task.queue, task(1)) == (task, "mail", 2)
    assert app.task(me, bind=True, name="me")() == "me"
    assert shared_task(add, name="shared beside").name == "shared beside"


def test_the_class_of_all_tasks_may_be_ones_own() -> None:
    class Mine(Task[Any, Any]):
        queue = "mine"

    app = App("mine", broker="sqlite://", task_cls=Mine, set_as_current=False)
    assert isinstance(app.task(name="add")(lambda: 1), Mine)


def test_modules_of_the_settings_are_imported(app: App, modules: Path) -> None:
    app.set_current()
    (modules / "with_tasks.py").write_text(
        "from reliable_tasks import shared_task\n@shared_task(name='found')\ndef f(): return 1\n"
    )
    app.conf.include = ("with_tasks",)
    app.import_modules()
    assert "found" in app.tasks


def test_autodiscover_finds_modules_of_packages_and_lets_their_own_errors_through(
    app: App, modules: Path
) -> None:
    for package in ("has_some", "has_none", "is_broken"):
        (modules / package).mkdir()
        (modules / package / "__init__.py").touch()
    (modules / "has_some" / "tasks.py").touch()
    (modules / "is_broken" / "tasks.py").write_text("import no_such_module\n")
    packages = ["has_some", "has_none", "has_some.config.SomeConfig"]
    found = ["has_some.tasks", "has_some.tasks"]
    assert app.autodiscover_tasks(packages, force=True) == found
    assert app.autodiscover_tasks(lambda: ["has_some"], force=True) == ["has_some.tasks"]
    assert app.autodiscover_tasks(["has_some"], related_name=None, force=True) == ["has_some"]
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        app.autodiscover_tasks(["is_broken"], force=True)


def test_autodiscover_waits_until_tasks_are_needed(app: App, modules: Path) -> None:
    app.set_current()
    (modules / "shelf").mkdir()
    (modules / "shelf" / "__init__.py").touch()
    (modules / "shelf" / "tasks.py").write_text(
        "from reliable_tasks import shared_task\n@shared_task(name='sort')\ndef f(): return 1\n"
    )
    assert app.autodiscover_tasks(["shelf"]) == []
    assert "sort" not in app.tasks
    app.import_modules()
    assert "sort" in app.tasks


def test_autodiscover_says_what_is_wrong_and_where(app: App) -> None:
    with pytest.raises(ConfigError, match="no Django project: set DJANGO_SETTINGS_MODULE before"):
        app.autodiscover_tasks()
    with pytest.raises(ConfigError, match=r"a list of packages: \['shop'\]"):
        app.autodiscover_tasks("shop")
    app.autodiscover_tasks(["no_such_package"])
    with pytest.raises(ConfigError, match=r"test_app\.py:\d+: .* no package 'no_such_package'"):
        app.import_modules()


# Settings ----------------------------------------------------------------------------------------


def test_settings_come_from_the_constructor_from_objects_and_from_assignment() -> None:
    class Config:
        BROKER_URL = "sqlite://"
        CELERY_DEFAULT_QUEUE = "mine"

    app = App("set", task_serializer="json", config_source=Config, set_as_current=False)
    assert app.settings.broker_url == "sqlite://"
    assert app.settings.task_default_queue == "mine"
    app.conf.task_default_queue = "other"
    assert app.settings.task_default_queue == "other"


def test_a_backend_on_the_same_server_is_taken_and_another_is_refused() -> None:
    same = App("same", broker="redis://h:6379/1", backend="redis://h:6379/0", set_as_current=False)
    assert same.settings.result_backend
    assert same.notes
    with pytest.raises(ConfigError, match=r"results live with the messages.*supported: sqlite"):
        _ = App("other", broker="sqlite://", backend="rpc", set_as_current=False).settings


def test_an_unknown_setting_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="task_default_queue"):
        App("typo", task_defualt_queue="x", set_as_current=False)


def test_routes_are_found_by_name_and_then_by_pattern(app: App) -> None:
    app.conf.task_routes = {"mail.*": {"queue": "mail"}, "mail.urgent": {"queue": "now"}}
    assert app.route("mail.urgent") == {"queue": "now"}
    assert app.route("mail.daily") == {"queue": "mail"}
    assert app.route("other") == {}


# Current app and shared tasks --------------------------------------------------------------------


def test_the_last_app_is_the_current_one_unless_it_says_otherwise(app: App) -> None:
    App("aside", broker="sqlite://", set_as_current=False)
    assert current_app == app
    assert current_app.main == "apping"


def test_a_shared_task_belongs_to_whichever_app_is_current(app: App) -> None:
    @shared_task(name="shared", queue="q")
    def shared(n: int) -> int:
        return n + 1

    assert "shared" in app.tasks
    assert shared(1) == 2
    other = App("later", broker="sqlite://")
    try:
        assert "shared" in other.tasks
        assert shared.delay(1).app is other
    finally:
        other.close()


def test_the_current_task_is_the_one_whose_body_runs(app: App) -> None:
    @app.task(name="me")
    def me() -> str:
        return f"{current_task.name} {current_task.request.id}"

    assert me.apply(task_id="x").get() == "me x"


# Enqueueing --------------------------------------------------------------------------------------


def test_a_task_is_called_by_its_name_alone(app: App) -> None:
    result = app.send_task("elsewhere.add", (2,), {"y": 3}, queue="q", countdown=5)
    assert (result.args, result.kwargs, result.queue) == ((2,), {"y": 3}, "q")


class Shaky:
    """A store that cannot be reached at first."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def enqueue(self, batch: Batch) -> Enqueued:
        self.calls += 1
        if self.calls <= self.failures:
            raise StoreUnavailable("not yet")
        return Enqueued()

    def close(self) -> None:
        """Nothing is open."""


QUICK = {"max_retries": 3, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def test_an_enqueue_is_tried_again_while_the_store_is_away(app: App) -> None:
    store: Any = Shaky(2)
    app.store = store
    app.enqueue(Batch(), {"retry_policy": QUICK})
    assert store.calls == 3


@pytest.mark.parametrize(
    ("options", "calls"), [({"retry_policy": QUICK}, 4), ({"retry": False}, 1)]
)
def test_an_enqueue_gives_up_where_the_policy_says(
    app: App, options: dict[str, Any], calls: int
) -> None:
    store: Any = Shaky(9)
    app.store = store
    with pytest.raises(StoreUnavailable):
        app.enqueue(Batch(), options)
    assert store.calls == calls


def test_signals_tell_of_each_message_that_is_enqueued(app: App) -> None:
    heard: list[tuple[str, str]] = []

    def before(sender: Any, headers: Any, **_: Any) -> None:
        heard.append(("before", headers["id"]))

    def after(sender: Any, receipt: Any, **_: Any) -> None:
        heard.append(("after", receipt.id))

    signals.before_task_publish.connect(before, sender="add")
    signals.after_task_publish.connect(after, sender="add")
    try:
        result = app.send_task("add")
        app.send_task("other")
    finally:
        signals.before_task_publish.disconnect(before, sender="add")
        signals.after_task_publish.disconnect(after, sender="add")
    assert heard == [("before", result.id), ("after", result.id)]


def test_a_closed_app_opens_its_store_again_at_the_next_call(tmp_path: Path) -> None:
    app = App("reopened", broker=f"sqlite:///{tmp_path / 's.db'}", set_as_current=False)
    result = app.send_task("add")
    app.close()
    assert result.exists()
    app.close()


def test_a_periodic_task_becomes_an_entry_of_the_schedule(app: App) -> None:
    add: Any = app.task(name="add")(lambda x, y: x + y)
    name = app.add_periodic_task(30.0, add.s(2), args=(3,), name="adding", queue="q")
    entry = app.settings.beat_schedule[name]
    assert name == "adding"
    assert (entry["task"], entry["args"], entry["options"]) == ("add", (2, 3), {"queue": "q"})


def test_threads_that_open_the_store_at_once_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, two stores would be two heaps of messages."""
    app = App("at once", broker="sqlite://", set_as_current=False)
    both = threading.Barrier(2)

    def slowly(*args: Any) -> Any:
        both.wait()
        return open_store(*args)

    monkeypatch.setattr("reliable_tasks.app.opening.open_store", slowly)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(app.store)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] is found[1] is app.store
    app.close()
