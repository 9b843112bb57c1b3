"""The page of Celery's names says what is so, of each name that the installed Celery has."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from tests.celery_names.collect import CLASSES, MODULES, found
from tests.celery_names.page import PAGE, rendered

ROOT = Path(__file__).parents[2]


def test_each_name_that_is_not_here_has_its_words() -> None:
    silent = [f"{one.section}: {one.name}" for one in found() if not one.here and not one.words]
    assert not silent, f"say in reliable_tasks/celery_names what is here instead of {silent}"


def test_the_page_is_what_is_so() -> None:
    there = (ROOT / PAGE).read_text(encoding="utf-8")
    assert there == rendered(), "names have come or gone: run python -m tests.celery_names"


def test_names_are_found_in_each_place() -> None:
    counts = Counter(one.section for one in found())
    places = {*CLASSES, *(f"celery.{name}" for name in MODULES), "celery", "settings", "commands"}
    assert set(counts) == places
    assert counts["settings"] > 150
    assert counts["commands"] > 100


def test_what_is_here_and_what_is_not_are_told_apart() -> None:
    here = {(one.section, one.name): one.here for one in found()}
    assert here["App", "task"]
    assert not here["App", "amqp"]
    assert here["celery.exceptions", "Retry"]
    assert not here["celery.bootsteps", "Step"]
    assert here["commands", "worker --concurrency"]


@pytest.mark.parametrize("name", ["worker", "beat", "contrib", "log", "store", "tasks"])
def test_a_module_of_ours_with_one_of_celerys_names_can_be_imported(name: str) -> None:
    program = f"from reliable_tasks import {name}; print({name}.__name__)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"reliable_tasks.{name}"


@pytest.mark.parametrize("module", ["exceptions", "schedules", "utils", "app"])
def test_a_name_that_is_nowhere_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="nowhere"):
        _ = import_module(f"reliable_tasks.{module}").nowhere
