"""Celery's signals of programs: a worker's start, and what commands have in common."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result

from reliable_tasks import signals
from reliable_tasks import worker as worker_package
from reliable_tasks.worker import WorkerOptions

Run = Callable[..., Result]
SIGNALS = (
    signals.import_modules,
    signals.celeryd_init,
    signals.celeryd_after_setup,
    signals.user_preload_options,
)


@pytest.fixture(autouse=True)
def _nobody_listens() -> Iterator[None]:
    yield
    for signal in SIGNALS:
        signal.receivers = ()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[WorkerOptions]:
    """The options of the workers that would have been started."""
    options: list[WorkerOptions] = []

    def run_worker(app: Any, given: WorkerOptions) -> int:
        app.import_modules()
        options.append(given)
        return 0

    monkeypatch.setattr(worker_package, "run_worker", run_worker)
    monkeypatch.setattr("reliable_tasks.log.setup.configure", lambda *_a, **_k: None)
    return options


def test_they_come_in_celerys_order_with_its_fields(
    run: Run, started: list[WorkerOptions], tasks: str
) -> None:
    heard = list[tuple[str, Any, dict[str, Any]]]()

    def hear(signal: Any, sender: Any, **fields: Any) -> None:
        heard.append((signal.name, sender, fields))

    for signal in SIGNALS:
        signal.connect(hear)
    run("-q", "-A", tasks, "worker", "-n", "w1@here", "-c", "2")
    names = [name for name, _, _ in heard]
    assert names == [
        *("user_preload_options", "import_modules", "celeryd_init", "celeryd_after_setup")
    ]
    (_, command, preload), (_, app, _), (_, host, init), (_, _, after) = heard
    assert (command, host) == ("worker", "w1@here")
    assert (preload["app"], preload["options"]["app"]) == (app, tasks)
    assert (init["instance"].hostname, init["conf"]) == (host, app.conf)
    assert init["options"]["concurrency"] == 2
    assert after["instance"].queues == ["celery"]
    assert len(started) == 1


def test_receivers_change_settings_and_queues(
    run: Run, started: list[WorkerOptions], tasks: str
) -> None:
    @signals.celeryd_init.connect(sender="w1@here")
    def configure(conf: Any, **_: Any) -> None:
        conf.worker_concurrency = 5

    @signals.celeryd_after_setup.connect
    def own_queue(sender: str, instance: Any, **_: Any) -> None:
        instance.queues += [f"{sender}.dq", "celery"]

    run("-q", "-A", tasks, "worker", "-n", "w1@here")
    (options,) = started
    assert (options.concurrency, options.queues) == (5, ("celery", "w1@here.dq"))


@pytest.mark.parametrize("queues", [{"a": 1}, "a", ["a", 1]], ids=repr)
def test_queues_that_are_no_names_are_refused(
    run: Run, started: list[WorkerOptions], tasks: str, queues: object
) -> None:
    @signals.celeryd_after_setup.connect
    def spoil(instance: Any, **_: Any) -> None:
        instance.queues = queues

    assert "leave a list of names" in run("-q", "-A", tasks, "worker", code=2).stderr
    assert started == []


def test_what_a_receiver_of_import_modules_raises_ends_the_command(
    run: Run, started: list[WorkerOptions], tasks: str
) -> None:
    @signals.import_modules.connect
    def broken(**_: Any) -> None:
        raise LookupError("no plugins")

    assert "no plugins" in run("-q", "-A", tasks, "worker", code=1).stderr
    assert started == []
