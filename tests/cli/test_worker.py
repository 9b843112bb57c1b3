"""The worker's command line: options, banner, pidfile, and one worker for real."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from reliable_tasks import worker as worker_package
from reliable_tasks.cli._pidfile import pidfile_of
from reliable_tasks.worker import WorkerOptions
from tests.cli.support import ENVIRONMENT
from tests.patience import PATIENCE_S

Run = Callable[..., Result]
Mistake = Callable[..., str]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[WorkerOptions]:
    """The options of the workers that would have been started."""
    options: list[WorkerOptions] = []

    def run_worker(_app: object, given: WorkerOptions) -> int:
        options.append(given)
        return 0

    monkeypatch.setattr(worker_package, "run_worker", run_worker)
    monkeypatch.setattr("reliable_tasks.log.setup.configure", lambda *_a, **_k: None)
    return options


def test_a_worker_in_this_process_leaves_its_signals_as_they_were(
    run: Run, started: list[WorkerOptions], tasks: str
) -> None:
    run("-A", tasks, "worker", "-c", "1")
    assert len(started) == 1
    assert signal.SIGQUIT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_celerys_options_are_understood(run: Run, started: list[WorkerOptions], tasks: str) -> None:
    told = run(
        *("-A", tasks, "worker", "-l", "info", "-c", "3", "-Q", "a,b", "--queue=c", "-X", "b"),
        *("-n", "w1@%h", "-P", "processes", "--max-tasks-per-child", "10", "-O", "fair", "-E"),
        *("--max-memory-per-child", "5000", "--time-limit", "9", "--soft-time-limit", "8"),
        *("--shutdown-timeout", "4", "--without-gossip", "--without-mingle"),
        *("--without-heartbeat", "--prefetch-multiplier", "1"),
    ).stdout
    (options,) = started
    assert options == WorkerOptions(
        hostname=f"w1@{os.uname().nodename}",
        queues=("a", "c"),
        concurrency=3,
        pool="prefork",
        max_tasks_per_child=10,
        max_memory_per_child_kib=5000,
        time_limit=9,
        soft_time_limit=8,
        shutdown_timeout=4,
    )
    for text in ("shop.db", "prefork, 3 at once", "a, c", "shop.add", "soft 8 s, hard 9 s"):
        assert text in told


def test_what_the_line_leaves_open_the_settings_say(
    run: Run, started: list[WorkerOptions], tasks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELIABLE_TASKS_WORKER_CONCURRENCY", "7")
    monkeypatch.setenv("RELIABLE_TASKS_TASK_ROUTES", '{"shop.*": {"queue": "mail"}}')
    assert run("-q", "worker", "-A", tasks).stdout == ""
    (options,) = started
    assert (options.concurrency, options.queues) == (7, ("celery", "mail"))
    assert options.companions == ()


@pytest.mark.parametrize(
    "args",
    [("-B", "-A", "{}", "worker"), ("-A", "{}", "worker", "-B"), ("worker", "-B", "-A", "{}")],
)
def test_a_beat_runs_beside_a_worker(
    args: tuple[str, ...], run: Run, started: list[WorkerOptions], tasks: str
) -> None:
    assert "beat       0 entries" in run(*(arg.format(tasks) for arg in args)).stdout
    assert len(started[0].companions) == 1


def test_autoscale_means_its_maximum(run: Run, started: list[WorkerOptions], tasks: str) -> None:
    run("-A", tasks, "worker", "--autoscale", "6,2")
    assert started[0].concurrency == 6


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-P", "gevent"], "--pool threads, or asyncio"),
        (["-P", "prefrok"], "did you mean 'prefork'"),
        (["-c", "0"], "-c"),
        (["--autoscale", "many"], "is not MAX,MIN"),
        (["-Q", "a", "-X", "a"], "no queue is left"),
        (["-Q", ""], "names no queue"),
        (["-Q", " , "], "names no queue"),
        (["--concurency", "2"], "--concurrency"),
        (["-I", "not_there"], "not_there"),
    ],
)
def test_wrong_options_are_one_line(
    args: list[str], said: str, mistake: Mistake, started: list[WorkerOptions], tasks: str
) -> None:
    code = 1 if "-I" in args else 2
    assert said in mistake("-A", tasks, "worker", *args, code=code)
    assert started == []


def test_a_pidfile_is_held_while_the_worker_runs(tmp_path: Path) -> None:
    path = tmp_path / "worker.pid"
    path.write_text("999999999\n", encoding="ascii")  # of a process that is gone
    with pidfile_of(str(path)):
        assert path.read_text(encoding="ascii") == f"{os.getpid()}\n"
    assert not path.exists()


def test_a_pidfile_of_a_process_that_runs_is_respected(
    mistake: Mistake, started: list[WorkerOptions], tasks: str, tmp_path: Path
) -> None:
    path = tmp_path / "worker.pid"
    path.write_text(f"{os.getppid()}\n", encoding="ascii")
    said = mistake("-A", tasks, "worker", "--pidfile", str(path), code=1)
    assert f"process {os.getppid()}" in said
    assert started == []
    assert path.exists()


def _command(*args: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "reliable_tasks", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        **options,
    )


def test_a_beat_stops_when_told(tasks: str, tmp_path: Path) -> None:
    beat = _command("-A", tasks, "beat", "-l", "info", cwd=tmp_path)
    assert beat.stderr is not None
    assert json.loads(beat.stderr.readline())["event"] == "beat.started"
    beat.send_signal(signal.SIGTERM)
    told, log = beat.communicate(timeout=PATIENCE_S)
    assert beat.returncode == 0
    assert str(tmp_path / "shop.db") in told
    assert told.endswith("beat: stopped; the schedule is in the store\n")
    assert json.loads(log.splitlines()[-1])["event"] == "beat.stopped"


def test_a_worker_runs_a_call_and_stops_when_told(tasks: str, tmp_path: Path) -> None:
    worker = _command("-A", tasks, "worker", "-l", "info", "-c", "1", cwd=tmp_path)
    try:
        call = _command(
            *("-A", tasks, "call", "shop.add", "-a", "[1, 2]", "--wait", "--timeout", "30"),
            cwd=tmp_path,
        )
        answer, complaint = call.communicate(timeout=PATIENCE_S)
        assert (answer, complaint) == ("3\n", "")
    finally:
        worker.send_signal(signal.SIGTERM)
        banner, log = worker.communicate(timeout=PATIENCE_S)
    assert worker.returncode == 0
    assert str(tmp_path / "shop.db") in banner
    assert banner.splitlines()[-2:] == [
        "worker: SIGTERM: finishing what runs (at most 30 s); once more gives it back at once",
        "worker: stopped; what was not finished is in the store",
    ]
    lines = [json.loads(line) for line in log.splitlines()]
    told = [line["event"] for line in lines]
    assert (told[0], told[-1]) == ("worker.started", "worker.stopped")
    (succeeded,) = [line for line in lines if line["event"] == "attempt.succeeded"]
    assert succeeded["task"] == "shop.add"
