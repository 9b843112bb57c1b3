"""A plugin of pytest: runs listed tests in the listed order, or notes what each test covers.

`RT_MUTATION_TESTS` names a file of node ids; `RT_MUTATION_NOTES` one that is told each test's
outcome and seconds. Under `coverage run`, lines are noted by test; processes that a test starts
find its name in `RT_MUTATION_TEST`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from collections.abc import Generator

CURRENT = "RT_MUTATION_TEST"
TESTS = "RT_MUTATION_TESTS"
NOTES = "RT_MUTATION_NOTES"
RC = "RT_MUTATION_RC"


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Examples are the same in each run, and a failing one is not made smaller."""
    settings.register_profile(
        "mutation",
        settings.get_profile("quick"),
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
    )
    settings.load_profile("mutation")
    if RC in os.environ:
        os.environ["COVERAGE_PROCESS_START"] = os.environ[RC]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep those that are asked for, in that order."""
    if TESTS not in os.environ:
        return
    wanted = Path(os.environ[TESTS]).read_text("utf-8").splitlines()
    place = {node: n for n, node in enumerate(wanted)}
    config.hook.pytest_deselected(items=[i for i in items if i.nodeid not in place])
    items[:] = sorted((i for i in items if i.nodeid in place), key=lambda i: place[i.nodeid])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Name the running test to coverage, as the context of the lines that it runs."""
    os.environ[CURRENT] = item.nodeid
    _switch(item.nodeid)
    begun = time.monotonic()
    try:
        return (yield)
    finally:
        _switch("")
        os.environ[CURRENT] = ""
        _note({"test": item.nodeid, "seconds": round(time.monotonic() - begun, 4)})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what failed, or was skipped."""
    if report.outcome != "passed":
        _note({"test": report.nodeid, "outcome": report.outcome, "when": report.when})


def _switch(context: str) -> None:
    if RC in os.environ:
        import coverage  # noqa: PLC0415 - only whoever asks what is covered needs it

        current = coverage.Coverage.current()
        if current is not None:
            current.switch_context(context)


def _note(line: dict[str, object]) -> None:
    if NOTES in os.environ:
        with Path(os.environ[NOTES]).open("a", encoding="utf-8") as notes:
            notes.write(f"{json.dumps(line)}\n")
