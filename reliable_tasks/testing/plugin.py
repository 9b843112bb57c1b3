"""The pytest plugin: an app in memory, virtual time, and a worker in the test's own thread."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliable_tasks.app import App

    from .time import VirtualTime

# Whoever has this package installed loads this module in every run of pytest: what the fixtures
# need is imported when one of them is used.

_OPTION = "reliable_tasks_app"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that names the app."""
    parser.addini(
        _OPTION,
        "the app that the fixture task_app binds to a store in memory: module:attribute",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that names another one."""
    config.addinivalue_line(
        "markers",
        "task_app(app): the app that the fixture task_app binds, or its name as module:attribute",
    )


@pytest.fixture
def virtual_time() -> VirtualTime:
    """The clock of `task_app`; `virtual_time.advance(60)` lets a minute pass."""
    from .time import VirtualTime  # noqa: PLC0415

    return VirtualTime()


@pytest.fixture
def task_app(request: pytest.FixtureRequest, virtual_time: VirtualTime) -> Iterator[App]:
    """Your app on an empty store in memory, in virtual time, for as long as the test takes.

    Which one: that of the marker `task_app(app)`, else of the setting `reliable_tasks_app`, else a
    new one without tasks.
    """
    from .binding import bound  # noqa: PLC0415

    app = _app_of(request)
    with bound(app, virtual_time):
        yield app


@pytest.fixture
def run_until_idle() -> Callable[..., Any]:
    """The function `reliable_tasks.testing.run_until_idle`."""
    from .worker import run_until_idle  # noqa: PLC0415

    return run_until_idle


def _app_of(request: pytest.FixtureRequest) -> App:
    from reliable_tasks.app import App  # noqa: PLC0415

    marker = request.node.get_closest_marker("task_app")
    named = marker.args[0] if marker else request.config.getini(_OPTION)
    if isinstance(named, App):
        return named
    if not named:
        return App("tests", broker="sqlite://", set_as_current=False)
    module, _, attribute = str(named).partition(":")
    found = getattr(import_module(module), attribute or "app", None)
    if not isinstance(found, App):
        raise pytest.UsageError(f"{named!r} names no App but {found!r}: write module:attribute")
    return found
