from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliable_tasks import App
from tests.results.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def driver() -> Iterator[Driver]:
    """A driver of an app on an empty store in memory."""
    with App("results", broker="sqlite://") as app:
        yield Driver(app)
