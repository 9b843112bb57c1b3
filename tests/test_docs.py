"""Every example in the documentation runs, and every link leads somewhere."""

import re
import sys
from pathlib import Path

import pytest
from click import NoSuchOption
from sybil.example import SybilFailure

from reliable_tasks import events
from reliable_tasks.core import context
from tests import documents
from tests.documents import BROKER, ROOT, Page

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
TUTORIALS = [ROOT / "docs" / "tutorial" / name for name in ("index.md", "zh.md")]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
_LINK = re.compile(r"\[[^\]]*\]\((?P<to>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def is_at_a_broker(page: Path) -> bool:
    """Whether it is run where there is a broker: in tests/bridge/test_pages.py."""
    return f'"{BROKER}"' in page.read_text(encoding="utf-8")


HERE = [page for page in PAGES if not is_at_a_broker(page)]


@pytest.mark.parametrize("page", HERE, ids=[page.relative_to(ROOT).as_posix() for page in HERE])
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(context, "_current_app", None)
    monkeypatch.setattr(context, "_on_app", list(context._on_app))  # shared tasks are the page's
    # What an example subscribes to must not hear of the tests after it.
    monkeypatch.setattr(events, "_subscribers", dict(events._subscribers))
    with Page(page, tmp_path, every_line=page in TUTORIALS) as running:
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


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ("```sh\npython there_is_none.py\n```\n", "there_is_none.py"),
        ("```sh\nreliable-tasks --version\n```\n```text\n9.9.9 … never\n```\n", "is not in 0"),
    ],
)
def test_what_a_readers_command_does_not_print_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: str, said: str
) -> None:
    monkeypatch.setattr(documents, "_LONGEST_WAIT_S", 0.1)
    page = tmp_path / "wrong.md"
    page.write_text(blocks, encoding="utf-8")
    with (
        Page(page, tmp_path, every_line=True) as running,
        pytest.raises(AssertionError, match=said),
    ):
        running.run()


def test_both_tutorials_tell_the_same_story_in_the_same_order() -> None:
    """Only prose and comments differ between the languages."""
    english, chinese = (page.read_text(encoding="utf-8") for page in TUTORIALS)
    comment = re.compile(r"^ *#(?! \w+\.py).*\n|  #.*$", re.MULTILINE)
    blocks = [[comment.sub("", block) for block in _CODE.findall(t)] for t in (english, chinese)]
    assert len(blocks[0]) > 50
    assert blocks[0] == blocks[1]
    levels = re.compile(r"^#+(?= )", re.MULTILINE)
    assert levels.findall(_CODE.sub("", english)) == levels.findall(_CODE.sub("", chinese))


def test_no_page_installs_what_is_on_no_index() -> None:
    for page in PAGES:
        assert "pip install reliable-tasks" not in page.read_text(encoding="utf-8"), page.name


def test_a_link_to_nowhere_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("# A heading, here\n[there](#a-heading-here) [not](#another)\n")
    with pytest.raises(AssertionError, match="#another"):
        test_links_lead_somewhere(page)
