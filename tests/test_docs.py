"""Every example in the documentation runs, and every link leads somewhere."""

import re
import sys
from pathlib import Path

import pytest
from click import NoSuchOption
from sybil.example import SybilFailure

from reliable_tasks import events
from reliable_tasks.core import context
from tests.documents import ROOT, Page

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
_LINK = re.compile(r"\[[^\]]*\]\((?P<to>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(context, "_current_app", None)
    # What an example subscribes to must not hear of the tests after it.
    monkeypatch.setattr(events, "_subscribers", dict(events._subscribers))
    with Page(page, tmp_path) as running:
        try:
            running.run()
        except BaseException as error:
            error.add_note(running.log()[-4000:])
            raise


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    for match in _LINK.finditer(text):
        to = match["to"]
        if "://" in to:
            continue
        name, _, anchor = to.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name}: no page {to}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: no heading {to}"


def anchors(page: Path) -> set[str]:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    headings = (re.sub(r"[^\w\- ]", "", found.lower()) for found in _HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in headings}


def test_a_wrong_example_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n")
    with Page(page, tmp_path) as running, pytest.raises(SybilFailure, match="Expected"):
        running.run()


def test_a_mistyped_command_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("```sh\nreliable-tasks -A tasks worker --concurency 2\n```\n")
    with Page(page, tmp_path) as running, pytest.raises(NoSuchOption, match="concurency"):
        running.run()


def test_a_link_to_nowhere_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("# A heading, here\n[there](#a-heading-here) [not](#another)\n")
    with pytest.raises(AssertionError, match="#another"):
        test_links_lead_somewhere(page)
