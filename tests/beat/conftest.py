import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from reliable_tasks import events
from tests.beat.driver import Driver

Told = list[tuple[str, Mapping[str, Any]]]


@pytest.fixture
def drive() -> Iterator[Driver]:
    opened = Driver()
    with contextlib.closing(opened.app):
        yield opened


@pytest.fixture
def told() -> Iterator[Told]:
    """The beat's events, as they are emitted."""
    heard: Told = []
    names = [name for name in events.EVENTS if name.startswith("beat.")]
    undo = events.subscribe(lambda name, fields: heard.append((name, dict(fields))), *names)
    yield heard
    undo()
