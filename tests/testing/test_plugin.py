"""The pytest plugin, used by a test suite of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOP = """
from reliable_tasks import App

app = App("shop", broker="redis://nowhere.invalid")
other = App("other", broker="redis://nowhere.invalid")


@app.task
def add(x, y):
    return x + y


@other.task
def remind():
    return "reminded"
"""
SUITE = """
import datetime as dt

import pytest

import shop


def test_the_setting_names_the_app(task_app, virtual_time, run_until_idle):
    assert task_app is shop.app
    result = shop.add.apply_async((1, 2), countdown=3600)
    virtual_time.advance(dt.timedelta(minutes=59))
    assert run_until_idle(task_app, advance=False) == ()
    virtual_time.advance(60)
    assert len(run_until_idle(task_app, advance=False)) == 1
    assert result.get(timeout=0) == 3


def test_each_test_has_a_store_of_its_own(task_app):
    assert task_app.store.counts().states == {}


@pytest.mark.task_app(shop.other)
def test_a_marker_names_another(task_app, run_until_idle):
    assert task_app is shop.other
    result = shop.remind.delay()
    run_until_idle(task_app)
    assert result.get(timeout=0) == "reminded"


@pytest.mark.task_app("")
def test_there_may_be_none(task_app, run_until_idle):
    @task_app.task
    def here():
        return 1

    result = here.delay()
    run_until_idle(task_app)
    assert result.get(timeout=0) == 1
"""


def run_suite(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop.py").write_text(SHOP)
    (folder / "pytest.ini").write_text("[pytest]\nreliable_tasks_app = shop:app\n")
    plugin = ("-p", "reliable_tasks.testing.plugin", "-p", "no:cacheprovider")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, *options],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(folder))),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_suite_that_uses_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(SUITE)
    done = run_suite(tmp_path, "-W", "error", "--strict-markers")
    assert "4 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("named", ["shop:none", "shop"])
def test_a_wrong_name_is_told(tmp_path: Path, named: str) -> None:
    text = f"import pytest\n@pytest.mark.task_app({named!r})\ndef test_it(task_app): ...\n"
    (tmp_path / "test_shop.py").write_text(text)
    done = run_suite(tmp_path)
    if named == "shop":
        assert "1 passed" in done.stdout, done.stdout
    else:
        assert "'shop:none' names no App but None: write module:attribute" in done.stdout


def test_a_run_that_uses_nothing_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_none.py").write_text(
        "import sys\n\n\ndef test_it():\n"
        "    heavy = {'apsw', 'redis', 'tenacity', 'reliable_tasks.app'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    done = run_suite(tmp_path)
    assert "1 passed" in done.stdout, done.stdout
