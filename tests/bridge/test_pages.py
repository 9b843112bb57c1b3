"""The pages of the documentation that need a broker run, at one."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import celery
import pytest

from reliable_tasks import events
from reliable_tasks.core import context
from tests.bridge.test_programs import empty
from tests.documents import BROKER, ROOT, Page
from tests.test_docs import PAGES, is_at_a_broker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bridge.rabbitmq import RabbitMQ

HERE = [page for page in PAGES if is_at_a_broker(page) and page.parent.name != "zh"]
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+(?= )", re.MULTILINE)


def test_there_are_such_pages() -> None:
    assert len(HERE) == 2


@pytest.mark.parametrize("page", HERE, ids=[page.name for page in HERE])
def test_its_twin_has_the_same_code_in_the_same_order(page: Path) -> None:
    english, chinese = (
        p.read_text(encoding="utf-8") for p in (page, page.parent / "zh" / page.name)
    )
    assert CODE.findall(english) == CODE.findall(chinese)
    assert HEADING.findall(CODE.sub("", english)) == HEADING.findall(CODE.sub("", chinese))


@pytest.mark.parametrize("page", HERE, ids=[page.relative_to(ROOT).as_posix() for page in HERE])
def test_examples_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rabbitmq: RabbitMQ
) -> None:
    empty(rabbitmq, "celery", "mail", "reports", "web")
    text = page.read_text(encoding="utf-8").replace(BROKER, rabbitmq.url)
    here = tmp_path / "page.md"
    here.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(context, "_current_app", None)
    monkeypatch.setattr(events, "_subscribers", dict(events._subscribers))
    with Page(here, tmp_path) as running:
        try:
            assert running.run() > 0
        except BaseException as error:
            error.add_note(running.log()[-4000:])
            raise
        finally:
            close_apps(tmp_path)


def close_apps(folder: Path) -> None:
    """Close the apps of the page's modules, Celery's included."""
    for module in list(sys.modules.values()):
        if str(folder) not in str(vars(module).get("__file__", "")):
            continue  # of others even the question may raise
        app = vars(module).get("app")
        if app is None:
            continue
        if isinstance(app, celery.Celery):
            app.backend.result_consumer.stop()
        app.close()
