"""What the tests of commands share."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reliable_tasks.cli import cli
from reliable_tasks.core import context
from tests.cli.support import Shop, open_shop

TASKS = """
from reliable_tasks import App, OnceTask

app = App("shop", broker="sqlite:///{path}")


@app.task(name="shop.add")
def add(x, y=1):
    return x + y


@app.task(name="shop.once", base=OnceTask)
def once(x):
    return x
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = open_shop(tmp_path / "shop.db")
    shop.store.counts()
    yield shop
    shop.store.close()


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a directory of our own, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(context, "_current_app", context._current_app)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def tasks(directory: Path) -> str:
    """Name of a module with an app."""
    text = TASKS.format(path=directory / "shop.db")
    (directory / "shop_tasks.py").write_text(text, encoding="utf-8")
    return "shop_tasks"


@pytest.fixture
def run() -> Callable[..., Result]:
    def run(*args: str, code: int = 0, **options: Any) -> Result:
        result = CliRunner().invoke(cli, args, **options)
        assert result.exit_code == code, (result.output, result.exception)
        assert "Traceback (most recent" not in result.output
        return result

    return run


@pytest.fixture
def mistake(run: Callable[..., Result]) -> Callable[..., str]:
    """Run a command that must end in one line on standard error; gives that line."""

    def run_wrong(*args: str, code: int = 2, **options: Any) -> str:
        result = run(*args, code=code, **options)
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: ")
        return line

    return run_wrong
