"""Rewrite what `docs/explanation/proof.md` shows: `python -m property_tests.proof.page`.

The timelines, and with `--ablations` the tables of the safeguards, which take minutes. The tests
compare: a page that no longer says what happens is noticed, and this command mends it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from pathlib import Path

from property_tests.ablations import runner as ablations
from property_tests.proof.timelines import TIMELINES

__all__ = ["PATH", "section", "with_section"]

PATH = Path(__file__).parents[2] / "docs" / "explanation" / "proof.md"


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {re.escape(name)} -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def section(page: str, name: str) -> str:
    """What the page has between the marks of this name."""
    found = _pattern(name).search(page)
    if found is None:
        raise LookupError(f"{PATH.name} has no section {name!r}")
    return found[2]


def with_section(page: str, name: str, text: str) -> str:
    """The page with this text between the marks."""
    section(page, name)
    return _pattern(name).sub(lambda found: found[1] + text + found[3], page)


def main(argv: list[str] | None = None) -> int:
    """Rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m property_tests.proof.page")
    parser.add_argument("--ablations", action="store_true", help="the tables as well")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(argv)
    page = PATH.read_text(encoding="utf-8")
    for timeline in TIMELINES:
        page = with_section(page, timeline.title, timeline.block())
    missed = 0
    if options.ablations:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            missed = ablations.main(["--jobs", str(options.jobs)])
        page = with_section(page, "ablations", printed.getvalue())
    PATH.write_text(page, encoding="utf-8")
    return missed


if __name__ == "__main__":
    sys.exit(main())
