"""The page that says which test shows what tells the truth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "pains.md"
BEARS = re.compile(r"test_pain_((?:\d+_and_)*\d+)_")
ROWS = re.findall(r"^\| (\d+) \| .* \| (`.*`) \|$", PAGE.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("number", "shown"), ROWS)
def test_every_test_that_a_row_names_exists(number: str, shown: str) -> None:
    named = [test.strip("`").split("::") for test in shown.split("<br>")]
    for path, name in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^\s*(def {name}\(|{name} = )", source, re.MULTILINE), f"{path}::{name}"
    borne = [found[1].split("_and_") for _, name in named if (found := BEARS.match(name))]
    assert any(number in numbers for numbers in borne), "a test of the row bears its number"


def test_there_are_rows() -> None:
    assert len(ROWS) >= 30
