from collections.abc import Iterator
from pathlib import Path

import pytest

from reliable_tasks.store.sqlite import SqliteStore
from tests.store.sqlite.helpers import OPTIONS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """A store that is opened when it is first used."""
    opened = SqliteStore(str(path), OPTIONS)
    yield opened
    opened.close()
