from collections.abc import Iterator

import pytest

from reliable_tasks import App
from reliable_tasks.store.values import StoreOptions
from reliable_tasks.testing.time import VirtualTime
from tests.pains.harness import Harness
from tests.store.factories import FACTORIES

__all__ = ["harness"]


@pytest.fixture(params=["redis", "sqlite"])
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """An app on an empty store, in virtual time."""
    time = VirtualTime()
    with FACTORIES[request.param](StoreOptions(audit="all"), time) as store:
        app = App("pains", broker="sqlite://", set_as_current=False)
        app.store = store
        yield Harness(app, time)
