"""Processes that bodies start, and a worker in the hands of a shell."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.patience import PATIENCE_S
from tests.process.harness import wait_stopped, wait_until

if TYPE_CHECKING:
    from tests.process.harness import Place

PROGRAM = """
import os, subprocess
from pathlib import Path
from reliable_tasks import App
from tests.process.effects import mark

app = App("starts", broker=os.environ["STORE_URL"])

@app.task
def too_long(apart):
    started = subprocess.Popen(["sleep", "600"], start_new_session=apart)
    Path("started").write_text(str(started.pid))
    started.wait()

@app.task(max_retries=0)
def dies():
    started = subprocess.Popen(["sleep", "600"])
    Path("started").write_text(str(started.pid))
    os.abort()

@app.task
def forks():
    pid = os.fork()
    mark("copy" if pid == 0 else "original")
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "the copy"
"""


@pytest.fixture
def place(place: Place) -> Place:
    place.write("starts.py", PROGRAM)
    return place


def gone(place: Place) -> bool:
    """Whether what the body has started has ended."""
    pid = (place.path / "started").read_text()
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_a_body_has_started_is_killed_with_it(place: Place) -> None:
    worker = place.start_worker("--concurrency", "1", module="starts")
    late = place.app.send_task("starts.too_long", (False,), time_limit=1.0)
    late.get(timeout=PATIENCE_S, propagate=False)
    wait_until(lambda: gone(place), "it is killed at the hard limit")
    (place.path / "started").unlink()
    place.app.send_task("starts.dies").get(timeout=PATIENCE_S, propagate=False)
    wait_until(lambda: gone(place), "it is killed when the process of its body has died")
    assert '"event":"child.leftovers"' in worker.log


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_has_a_session_of_its_own_lives_on(place: Place) -> None:
    place.start_worker("--concurrency", "1", module="starts")
    late = place.app.send_task("starts.too_long", (True,), time_limit=1.0)
    late.get(timeout=PATIENCE_S, propagate=False)
    assert not gone(place)
    os.kill(int((place.path / "started").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_a_body_that_forks_runs_once_and_the_worker_goes_on(place: Place, pool: str) -> None:
    worker = place.start_worker("--concurrency", "1", "--pool", pool, module="starts")
    for count in (1, 2):
        assert place.app.send_task("starts.forks").get(timeout=PATIENCE_S) == 0
        assert (len(place.effects("copy")), len(place.effects("original"))) == (count, count)
    assert worker.stop() == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_ctrl_z_stops_the_bodies_as_well_until_the_worker_is_continued(place: Place) -> None:
    worker = place.start_worker("--concurrency", "2")
    wait_until(lambda: len(worker.children) == 2, "both children run")
    children = worker.children
    worker.signal(signal.SIGTSTP)
    wait_stopped([worker.pid, *children])
    worker.signal(signal.SIGCONT)
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2
    assert worker.children == children
    assert worker.stop() == 0
