"""A program that starts its own worker, as Celery's documentation shows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.process.harness import wait_until

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os
import pathlib

from reliable_tasks import App as Celery

app = Celery("hello", broker="sqlite:///here.db")


@app.on_after_fork.connect
def forked(sender=None, **kwargs):
    pathlib.Path("forked").write_text(f"{sender.main} {os.getpid()}")


@app.task
def hello():
    pathlib.Path("ran").write_text(str(os.getpid()))


if __name__ == "__main__":
    hello.delay()
    ended = app.worker_main(argv=["worker", "--loglevel=INFO", "-c", "1"])
    pathlib.Path("ended").write_text(str(ended))
"""


def test_worker_main_runs_a_worker_on_the_app_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "program.py"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as worker:
        try:
            wait_until((tmp_path / "ran").exists, "the body has run")
            os.kill(worker.pid, signal.SIGTERM)
            worker.communicate()
        finally:
            worker.kill()
    assert worker.returncode == 0
    ran = (tmp_path / "ran").read_text()
    assert (tmp_path / "forked").read_text() == f"hello {ran}"
    assert (tmp_path / "ended").read_text() == "0"
