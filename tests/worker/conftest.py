from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliable_tasks import App
from reliable_tasks.store.values import SessionInfo

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app() -> Iterator[App]:
    """An app on an empty store in memory, which has the session that `pooled.Running` uses."""
    with App("pooled", broker="sqlite://", set_as_current=False) as made:
        made.store.open_session(SessionInfo(id="s", worker="w@h"), 600_000)
        yield made
