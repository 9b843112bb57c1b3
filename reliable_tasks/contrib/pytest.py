"""Celery's fixtures: `pytest_plugins = ("reliable_tasks.contrib.pytest",)` in a conftest.py."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.contrib.testing.app import TestApp
from reliable_tasks.contrib.testing.worker import start_worker
from reliable_tasks.core import context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reliable_tasks.app import App
    from reliable_tasks.testing.background import BackgroundWorker


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that changes settings for one test."""
    config.addinivalue_line("markers", "celery(**settings): settings of the fixture celery_app")


@pytest.fixture(scope="session")
def celery_config() -> Mapping[str, Any]:
    """Override this: the settings of `celery_app`."""
    return {}


@pytest.fixture(scope="session")
def celery_parameters() -> Mapping[str, Any]:
    """Override this: arguments for the app itself."""
    return {}


@pytest.fixture(scope="session")
def celery_includes() -> Sequence[str]:
    """Override this: modules to import before a worker starts."""
    return ()


@pytest.fixture(scope="session")
def celery_class_tasks() -> Sequence[Any]:
    """Override this: classes of tasks to register before the session's worker starts."""
    return ()


@pytest.fixture(scope="session")
def celery_worker_parameters() -> Mapping[str, Any]:
    """Override this: arguments for `start_worker`."""
    return {}


@pytest.fixture(scope="session")
def celery_worker_pool() -> str:
    """Accepted for Celery compatibility: one body at a time runs, in a thread."""
    return "solo"


@pytest.fixture(scope="session")
def celery_enable_logging() -> bool:
    """Accepted for Celery compatibility: the log is that of the tests."""
    return False


@pytest.fixture(scope="session")
def celery_session_app(
    celery_config: Mapping[str, Any], celery_parameters: Mapping[str, Any]
) -> Iterator[App]:
    """An app on a store in memory, the current one as long as the tests run."""
    with _app(celery_config, celery_parameters) as app:
        app.set_current()
        yield app


@pytest.fixture
def celery_app(
    request: pytest.FixtureRequest,
    celery_config: Mapping[str, Any],
    celery_parameters: Mapping[str, Any],
) -> Iterator[App]:
    """An app on a store in memory of its own, for one test."""
    mark = request.node.get_closest_marker("celery")
    with _app({**celery_config, **(mark.kwargs if mark else {})}, celery_parameters) as app:
        yield app


@pytest.fixture
def depends_on_current_app(celery_app: App) -> None:
    """Make the test's app the current one."""
    celery_app.set_current()


@pytest.fixture(scope="session")
def celery_session_worker(
    celery_session_app: App,
    celery_includes: Sequence[str],
    celery_class_tasks: Sequence[Any],
    celery_worker_parameters: Mapping[str, Any],
) -> Iterator[BackgroundWorker]:
    """A worker of `celery_session_app`, as long as the tests run."""
    for task in celery_class_tasks:
        celery_session_app.register_task(task)
    with _worker(celery_session_app, celery_includes, celery_worker_parameters) as worker:
        yield worker


@pytest.fixture
def celery_worker(
    celery_app: App, celery_includes: Sequence[str], celery_worker_parameters: Mapping[str, Any]
) -> Iterator[BackgroundWorker]:
    """A worker of `celery_app`, for one test."""
    with _worker(celery_app, celery_includes, celery_worker_parameters) as worker:
        yield worker


@contextlib.contextmanager
def _app(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[App]:
    before = context.app_made()
    with TestApp(config=config, **parameters) as app:
        try:
            yield app
        finally:
            context._current_app = before  # noqa: SLF001 - none can be set otherwise


@contextlib.contextmanager
def _worker(
    app: App, includes: Sequence[str], parameters: Mapping[str, Any]
) -> Iterator[BackgroundWorker]:
    for module in includes:
        importlib.import_module(module)
    with start_worker(app, **parameters) as worker:
        yield worker
