"""Which processes of this machine are still there."""

from __future__ import annotations

import os
import subprocess
import sys

from reliable_tasks.worker.host import host_identity, process_gone, process_started


def test_a_process_that_runs_is_not_gone() -> None:
    here = os.getpid()
    assert process_started(here)
    assert not process_gone(here, process_started(here))


def test_a_process_that_has_ended_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    started = process_started(process.pid)
    process.wait()
    assert process_gone(process.pid, started)
    assert process_started(process.pid) == ""


def test_a_process_that_has_ended_is_gone_although_its_parent_has_not_asked_for_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    started = process_started(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_gone(process.pid, started)
    process.wait()


def test_a_number_that_another_process_got_meanwhile_is_not_that_process() -> None:
    assert process_gone(os.getpid(), "1")


def test_all_processes_of_a_machine_have_one_identity() -> None:
    program = "from reliable_tasks.worker.host import host_identity; print(host_identity())"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == host_identity()
