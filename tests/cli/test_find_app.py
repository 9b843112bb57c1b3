"""Where `-A` finds an app."""

import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from reliable_tasks.app import App
from reliable_tasks.cli._context import Chosen
from reliable_tasks.cli._find_app import find_app

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
    ("text", "body", "said"),
    [
        ("no_such_module", "", "there is no module 'no_such_module'"),
        ("wrong_a.py", "", "leave out the .py: -A wrong_a"),
        ("./wrong_a", "", "as Python imports it"),
        ("wrong_a", "", "has no App in it"),
        ("wrong_a:ap", "app = App()", "has no 'ap'; did you mean 'app'?"),
        ("wrong_a:x", "x = 3", "x is not an App but a int"),
        ("wrong_a", "one = App()\ntwo = App()", "several apps (one, two): write -A wrong_a:NAME"),
        ("wrong_a", "1 / 0", "raised ZeroDivisionError: division by zero (wrong_a.py:2)"),
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
