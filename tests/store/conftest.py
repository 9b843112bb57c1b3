from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from reliable_tasks.store.protocol import Store
from reliable_tasks.store.values import StoreOptions
from tests.fakes import FakeClock
from tests.store.driver import Driver
from tests.store.factories import FACTORIES, Factory

Opener = Callable[..., Driver]


@pytest.fixture(params=sorted(FACTORIES))
def factory(request: pytest.FixtureRequest) -> Factory:
    """How to open one of the stores."""
    return FACTORIES[request.param]


@pytest.fixture
def clock() -> FakeClock:
    """The virtual clock of `drive` and `open_driver`."""
    return FakeClock()


@pytest.fixture
def open_driver(factory: Factory, clock: FakeClock) -> Iterator[Opener]:
    """Open an empty store on the virtual clock, with options as keywords."""
    with ExitStack() as stack:

        def open_one(**options: object) -> Driver:
            opened: AbstractContextManager[Store] = factory(StoreOptions(**options), clock)  # type: ignore[arg-type]
            return Driver(stack.enter_context(opened), clock)

        yield open_one


@pytest.fixture
def drive(open_driver: Opener) -> Driver:
    """An empty store on the virtual clock that keeps the whole trail, and short calls to it."""
    return open_driver(audit="all")


@pytest.fixture
def store(factory: Factory) -> Iterator[Store]:
    """An empty store on its own clock, for tests that wait."""
    with factory(StoreOptions(), None) as opened:
        yield opened
