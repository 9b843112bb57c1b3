"""A worker in a thread, and Celery's names for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, chain
from reliable_tasks.contrib.testing.app import TestApp
from reliable_tasks.contrib.testing.worker import start_worker
from reliable_tasks.testing import NotIdle, background_worker
from tests.patience import PATIENCE_S
from tests.process.harness import wait_until
from tests.redis_server import RedisServer
from tests.testing.test_plugin import run_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUITE = """
import threading

import pytest

from reliable_tasks import current_app, shared_task


@pytest.fixture(scope="session")
def celery_config():
    return {"broker_url": "memory://", "result_backend": "cache+memory://"}


@pytest.fixture(scope="session")
def celery_parameters():
    return {"strict_typing": False}


@pytest.fixture(scope="session")
def celery_includes():
    return ["shop"]


@pytest.fixture(scope="session")
def celery_class_tasks():
    from reliable_tasks import Task

    class Doubled(Task):
        name = "doubled"

        def run(self, x):
            return 2 * x

    return [Doubled]


def test_create_task(celery_app, celery_worker):
    @celery_app.task
    def mul(x, y):
        return x * y

    celery_worker.reload()
    assert celery_app.conf.broker_url == "sqlite://"
    assert mul.delay(4, 4).get(timeout=30) == 16


@pytest.mark.celery(task_default_queue="mail")
def test_a_marker_changes_settings(celery_app, celery_worker):
    @celery_app.task
    def queue():
        return threading.current_thread().name

    sent = queue.delay()
    assert sent.get(timeout=30) == "test worker"
    assert sent.queue == "mail"


def test_the_session_has_a_worker(celery_session_app, celery_session_worker):
    assert current_app == celery_session_app
    assert celery_session_app.send_task("doubled", (4,)).get(timeout=30) == 8


def test_the_current_app_is_that_of_the_test(celery_app, depends_on_current_app):
    assert current_app == celery_app


def test_and_afterwards_the_session_s_again(celery_session_app):
    assert current_app == celery_session_app
"""


@pytest.fixture
def app() -> Iterator[App]:
    with TestApp() as made:
        yield made


def test_a_worker_runs_what_is_enqueued_while_the_block_lasts(app: App) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with start_worker(app, perform_ping_check=False) as worker:
        assert chain(add.s(1, 2), add.s(10)).delay().get(timeout=PATIENCE_S) == 13
    assert [ran.outcome for ran in worker.ran] == ["Succeeded", "Succeeded"]
    late = add.delay(1, 1)
    assert not late.ready()
    with background_worker(app):
        assert late.get(timeout=PATIENCE_S) == 2


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/q.db"
        return
    with RedisServer() as server:
        yield server.url


def test_what_comes_later_and_what_is_due_later_runs(url: str) -> None:
    with App("later", broker=url, set_as_current=False) as app:

        @app.task(bind=True, max_retries=2, default_retry_delay=0.05)
        def flaky(self: Any) -> int:
            if self.request.retries < 2:
                raise self.retry()
            return int(self.request.retries)

        with background_worker(app):
            for _ in range(2):
                assert flaky.delay().get(timeout=PATIENCE_S) == 2
        assert app.store.sessions() == ()


def test_what_a_test_says_in_a_body_is_said_at_the_end_of_the_block(app: App) -> None:
    @app.task
    def failing() -> None:
        pytest.fail("as said in the body")

    def use() -> None:
        with background_worker(app) as worker:
            failing.delay()
            wait_until(lambda: worker.error, "the worker has ended")

    with pytest.raises(pytest.fail.Exception, match="as said in the body"):
        use()


def test_a_body_that_does_not_end_is_told(app: App) -> None:
    go_on = threading.Event()
    began = threading.Event()

    @app.task
    def endless() -> None:
        began.set()
        go_on.wait(PATIENCE_S)

    def use() -> None:
        with start_worker(app, shutdown_timeout=0.01):
            endless.delay()
            assert began.wait(PATIENCE_S)

    with pytest.raises(NotIdle, match=r"a body still runs 0\.01 s after the block has ended"):
        use()
    go_on.set()


def test_the_test_app_takes_celerys_stores_in_memory() -> None:
    config = {"broker_url": "memory://", "result_backend": "rpc://", "result_expires": 60}
    app = TestApp("mine", config, set_as_current=False, backend="cache+memory://")
    assert (app.main, app.conf.broker_url, app.conf.result_expires) == ("mine", "sqlite://", 60)
    assert TestApp(broker="redis://localhost:1").conf.broker_url == "redis://localhost:1"


def test_a_suite_with_celerys_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ("reliable_tasks.contrib.pytest",)\n')
    (tmp_path / "test_shop.py").write_text(SUITE)
    done = run_suite(tmp_path, "-W", "error", "--strict-markers", "--strict-config")
    assert "5 passed" in done.stdout, done.stdout + done.stderr
