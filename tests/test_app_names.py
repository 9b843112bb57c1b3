"""Celery's names of an app: what means something works, and the rest says what is here instead."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, AsyncResult, Task
from reliable_tasks.errors import ConfigError
from reliable_tasks.testing import bound, run_until_idle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def app() -> Iterator[App]:
    with App("named", broker="sqlite://", set_as_current=False) as made:
        yield made


class Mine(Task[Any, Any]):
    abstract = True


class Short(App):
    """As Celery's page on tasks names them."""

    def gen_task_name(self, name: str, module: str) -> str:
        return super().gen_task_name(name, module.removesuffix("_names"))


class Numbered(App):
    def gen_task_name(self, name: str, module: str) -> Any:
        return len(name + module)


def test_names_are_made_as_a_subclass_of_the_app_says() -> None:
    class Counted(Task[Any, Any]):
        def run(self) -> None: ...

    def add() -> None: ...

    with Short("short", broker="sqlite://", set_as_current=False) as app:
        assert app.task(add).name == "tests.test_app.add"
        assert app.task(name="mine")(add).name == "mine"
        assert app.register_task(Counted).name.startswith("tests.test_app.")
    with (
        Numbered("numbered", broker="sqlite://", set_as_current=False) as numbered,
        pytest.raises(ConfigError, match=r"gen_task_name\(\) must be a non-empty string"),
    ):
        numbered.task(add)


# Making one --------------------------------------------------------------------------------------


def test_parts_that_are_not_exchanged_are_told_of() -> None:
    app = App("parts", broker="sqlite://", loader=object(), log=object(), set_as_current=False)
    assert app.settings
    assert [note.partition(" is ")[0] for note in app.notes] == ["App(loader=…)", "App(log=…)"]


def test_a_url_that_stands_where_celery_has_the_loader_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"App\(loader='redis://.*give the URL as broker="):
        App("x", "redis://localhost")


def test_changes_are_settings_and_arguments_win() -> None:
    changes = {"broker_url": "redis://elsewhere", "task_default_queue": "mail"}
    app = App("x", changes=changes, broker="sqlite://", set_as_current=False)
    assert (app.conf.broker_url, app.conf.task_default_queue) == ("sqlite://", "mail")


def test_a_source_that_is_not_there_may_be_silent() -> None:
    app = App("x", config_source="not.there", config_source_silent=True, set_as_current=False)
    assert app.settings
    assert "not.there" in app.conf.notes[0]


def test_the_class_of_tasks_is_given_by_name_or_by_a_subclass_of_the_app() -> None:
    class Site(App):
        task_cls = Mine

        def on_init(self) -> None:
            self.began = self.Task

    name = f"{__name__}:Mine"
    for app in (App("x", task_cls=name, set_as_current=False), Site("x", set_as_current=False)):
        assert isinstance(app.task(lambda: 1), Mine)
    assert Site("y", set_as_current=False).began is Mine
    with pytest.raises(ConfigError, match="task_cls=<class 'int'> is not a subclass of Task"):
        App("x", task_cls=int)  # type: ignore[arg-type]


# Its names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("amqp", r"there are no connections of AMQP's: the store is `app\.store`"),
        ("connection", r"app\.control\.ping"),
        ("Worker", r"app\.worker_main\("),
        ("Beat", r"app\.start\(\['beat'\]\)"),
        ("setup_security", "messages are not signed"),
        ("steps", "worker_process_init"),
    ],
)
def test_a_name_that_is_not_here_says_what_is(app: App, name: str, words: str) -> None:
    with pytest.raises(
        AttributeError, match=f"^an App has no attribute '{name}'; instead: .*{words}"
    ):
        getattr(app, name)
    assert not hasattr(app, name)


def test_a_name_that_nobody_knows_is_an_ordinary_error(app: App) -> None:
    with pytest.raises(AttributeError, match=r"^an App has no attribute 'colour'$"):
        app.colour  # type: ignore[attr-defined] # noqa: B018


def test_defaults_do_not_change_what_is_set(app: App) -> None:
    app.conf.task_default_queue = "mail"
    app.add_defaults({"task_default_queue": "other", "result_expires": 60})
    app.add_defaults(lambda: {"result_expires": 90, "task_default_priority": 3})
    assert app.conf.task_default_queue == "mail"
    assert (app.conf.result_expires, app.conf.task_default_priority) == (90, 3)
    app.conf.result_expires = 120
    assert app.conf.result_expires == 120
    with pytest.raises(ConfigError, match="result_expires=-1"):
        App(set_as_current=False).add_defaults({"result_expires": -1})


def test_either_is_the_first_given_else_the_setting(app: App) -> None:
    assert app.either("task_default_queue", None, "mail") == "mail"
    assert app.either("task_default_queue", None) == app.conf.task_default_queue


def test_finalize_sends_its_signals_once(app: App) -> None:
    sent: list[str] = []
    for signal in (app.on_after_configure, app.on_after_finalize):
        signal.connect(lambda signal=signal, **_: sent.append(signal.name), weak=False)
    app.finalize()
    app.finalize(auto=True)
    assert sent == ["on_after_configure", "on_after_finalize"]


def test_the_current_task_is_that_of_the_body(app: App) -> None:
    seen: list[Any] = []

    @app.task
    def look() -> None:
        seen.extend([app.current_task, app.current_worker_task])

    look.apply()
    assert seen == [look, look]
    assert app.current_task is None


def test_the_loader_imports_what_the_app_names(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loaded_by_loader.py").write_text("THERE = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    app.conf.imports = ("loaded_by_loader",)
    app.loader.import_default_modules()
    assert app.loader.import_task_module("loaded_by_loader").THERE
    assert app.loader.conf is app.conf


# Results by their id -----------------------------------------------------------------------------


def test_the_backend_reads_results_by_their_id(app: App) -> None:
    with bound(app):
        add = app.task(name="add")(lambda a, b: a + b)
        sent = add.delay(1, 2)
        backend = app.backend
        assert backend.get_state(sent.id) == backend.get_status(sent.id) == "PENDING"
        run_until_idle(app)
        assert backend.get_result(sent.id) == 3
        assert backend.get_traceback(sent.id) is None
        meta = backend.wait_for(sent.id, timeout=5)
        assert (meta["status"], meta["result"], meta["task_id"]) == ("SUCCESS", 3, sent.id)
        assert (meta["name"], meta["retries"]) == ("add", 0)
        backend.cleanup()
        backend.forget(sent.id)
        assert backend.get_state(sent.id) == "PENDING"


def test_the_backend_covers_the_password_of_its_url() -> None:
    backend = App("x", broker="redis://:secret@localhost:1/0", set_as_current=False).backend
    assert "secret" not in backend.as_uri()
    assert "secret" in backend.as_uri(include_password=True) == backend.url
    with pytest.raises(AttributeError, match=r"app\.backend has no attribute 'client'; instead: "):
        backend.client  # type: ignore[attr-defined] # noqa: B018


# Calls by name -----------------------------------------------------------------------------------


def test_send_task_takes_what_celerys_does(app: App) -> None:
    class MyResult(AsyncResult[Any]):
        pass

    with bound(app):
        app.task(name="add")(lambda a, b: a + b)
        sent = app.send_task(
            "add", (1, 2), None, 5, None, "an-id", result_cls=MyResult, route_name="add",
            task_type=None, group_index=1, reply_to="x", replaced_task_nesting=0, retries=0,
        )  # fmt: skip
        assert (type(sent), sent.id) == (MyResult, "an-id")
        assert run_until_idle(app, advance=False) == ()
        run_until_idle(app)
        assert sent.get(timeout=5) == 3
        linked = app.send_task("add", [1, 1], link=app.signature("add", (10,)), task_id="linked")
        assert linked.id == "linked"
        run_until_idle(app)
        assert linked.get(timeout=5) == 2
        with pytest.raises(ConfigError, match="task_routes"):
            app.send_task("add", router=object())


# The command line from within a program ----------------------------------------------------------


def test_start_runs_a_command_on_this_app(
    app: App, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    app.conf.broker_url = f"sqlite:///{tmp_path}/here.db"
    app.task(name="add")(lambda a, b: a + b)
    assert app.start(["call", "add", "--args=[1, 2]"]) == 0
    sent = capsys.readouterr().out.split()[-1]
    assert app.AsyncResult(sent).exists()
    assert app.start(["--version"]) == 0
    with pytest.raises(SystemExit) as end:
        app.start(["sing"])
    assert end.value.code == 2
    assert "there is no command 'sing'" in capsys.readouterr().err


def test_worker_main_wants_to_be_told_that_it_is_a_worker(app: App) -> None:
    with pytest.raises(
        ValueError, match=r"worker_main\(\['-c', '2'\]\): the command worker is not"
    ):
        app.worker_main(["-c", "2"])


def test_the_log_is_left_alone_by_an_app(app: App) -> None:
    before = logging.getLogger().handlers[:]
    app.finalize()
    assert logging.getLogger().handlers == before
