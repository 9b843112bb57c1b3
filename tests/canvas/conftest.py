from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from property_tests.model.model import Model
from reliable_tasks.store.values import StoreOptions
from tests.canvas.helpers import Harness, Open, add_tasks
from tests.fakes import FakeClock
from tests.store.factories import FACTORIES


@pytest.fixture(params=["model", *(n for n in ("memory", "redis") if n in FACTORIES)])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Which store a harness stands on."""
    return str(request.param)


@pytest.fixture
def open_bench(store_kind: str) -> Iterator[Open]:
    """Open a harness, with settings of its app as keywords."""
    with ExitStack() as stack:

        def open_one(**settings: Any) -> Harness:
            clock = FakeClock()
            limits = {n: settings[n] for n in ("max_batch", "max_input_bytes") if n in settings}
            options = StoreOptions(audit="all", **limits)
            store: Any = Model(clock, options)
            if store_kind != "model":
                store = stack.enter_context(FACTORIES[store_kind](options, clock))
            return Harness(store, clock, **settings)

        yield open_one


@pytest.fixture
def harness(open_bench: Open) -> Harness:
    """A harness with the settings' defaults."""
    return open_bench()


@pytest.fixture
def t(harness: Harness) -> Any:
    """Small tasks on the harness's app."""
    return add_tasks(harness.app)
