"""Where `-A` finds an app."""

import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from reliable_tasks.app import App
from reliable_tasks.cli import cli
from reliable_tasks.cli._context import Chosen
from reliable_tasks.cli._find_app import find_app

DJANGOS = (":celery_app", ".celery_app", ".celery:app", ".celery.app", ":celery")
MAKE = "from reliable_tasks import App\n"


@pytest.fixture
def module(directory: Path) -> Callable[[str, str], None]:
    sys.path.insert(0, str(directory))

    def write(name: str, text: str) -> None:
        path = directory / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return write


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("found_a", "app = App('it')"),
        ("found_a", "celery = App('it')\nother = App('other')"),
        ("found_a", "mine = App('it')\nsame = mine"),
        ("found_a:mine", "mine = App('it')\nother = App('other')"),
        ("found_a.mine", "mine = App('it')\nother = App('other')"),
        ("found_a:holder.mine", "class holder:\n    mine = App('it')"),
    ],
)
def test_an_app_is_found(module: Callable[[str, str], None], text: str, body: str) -> None:
    module("found_a", MAKE + body)
    found = find_app(text)
    assert isinstance(found, App)
    assert found.main == "it"


def test_a_packages_module_celery_is_looked_into(module: Callable[[str, str], None]) -> None:
    module("found_p/__init__", "")
    module("found_p/celery", MAKE + "app = App('it')")
    assert find_app("found_p").main == "it"


@pytest.mark.parametrize(
    "text",
    ["found_d", "found_d.celery", *(f"found_d{end}" for end in DJANGOS)],
)
def test_an_app_of_a_django_project_is_found(module: Callable[[str, str], None], text: str) -> None:
    module("found_d/__init__", "from .celery import app as celery_app")
    module("found_d/celery", MAKE + "app = App('it')")
    assert find_app(text).main == "it"


def test_debugging_shows_where_an_import_failed(
    module: Callable[[str, str], None], run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    module("wrong_d", "def deep():\n    1 / 0\n\ndeep()")
    assert "in deep" not in run("-A", "wrong_d", "report", code=2).stderr
    monkeypatch.setenv("RELIABLE_TASKS_DEBUG", "1")
    shown = CliRunner().invoke(cli, ["-A", "wrong_d", "report"]).stderr
    assert 'wrong_d.py", line 2, in deep' in shown


@pytest.mark.parametrize(
    ("text", "body", "said"),
    [
        ("no_such_module", "", "there is no module 'no_such_module'"),
        ("wrong_a.py", "", "leave out the .py: -A wrong_a"),
        ("./wrong_a", "", "as Python imports it: -A wrong_a"),
        ("proj/celery.py", "", "as Python imports it: -A proj.celery"),
        ("/", "", "as Python imports it: -A package.module"),
        ("wrong_a", "", "has no App in it"),
        ("wrong_a:ap", "app = App()", "has no 'ap'; did you mean 'app'?"),
        ("wrong_a:x", "x = 3", "x is not an App but a int"),
        ("wrong_a", "one = App()\ntwo = App()", "several apps (one, two): write -A wrong_a:NAME"),
        (
            "wrong_a",
            "1 / 0",
            "ZeroDivisionError: division by zero (wrong_a.py:2); with RELIABLE_TASKS_DEBUG=1",
        ),
        ("wrong_a", "import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("wrong_a", "raise SystemExit(3)", "raised SystemExit: 3"),
    ],
)
def test_what_is_wrong_is_told(
    module: Callable[[str, str], None], text: str, body: str, said: str
) -> None:
    module("wrong_a", MAKE + body)
    with pytest.raises(click.UsageError) as caught:
        find_app(text)
    assert said in str(caught.value)


def test_the_environment_stands_in_for_the_option(
    module: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    module("found_e", MAKE + "app = App('it')")
    monkeypatch.setenv("RELIABLE_TASKS_APP", "found_e")
    found = Chosen(broker="sqlite:///other.db").open_app()
    assert (found.main, found.settings.broker_url) == ("it", "sqlite:///other.db")
