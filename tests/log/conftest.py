"""Fixtures of the tests of the log."""

import io
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from reliable_tasks.core import context
from reliable_tasks.log import setup as log


@pytest.fixture
def configure() -> Iterator[Callable[..., io.StringIO]]:
    undo: list[Callable[[], None]] = []

    def start(level: str = "INFO", **options: Any) -> io.StringIO:
        stream = io.StringIO()
        undo.append(log.configure(level, stream=stream, **options))
        return stream

    yield start
    for each in undo:
        each()


@pytest.fixture
def attempt() -> Iterator[None]:
    request = SimpleNamespace(task="shop.add", id="id-1", attempt=2, once_key="shop.add:k")
    running: Any = SimpleNamespace(request=request)
    token = context.current_attempt.set(running)
    yield
    context.current_attempt.reset(token)
