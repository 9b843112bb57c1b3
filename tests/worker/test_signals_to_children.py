"""What happens to a signal that a supervisor sends to a child that has just been forked."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from reliable_tasks import App
from reliable_tasks.worker import process
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    import pytest


def test_a_signal_waits_until_the_child_has_its_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is stopped while it starts: its newest child would go on for ever."""

    def starts_slowly(*_: object) -> int:
        until = time.monotonic() + PATIENCE_S
        while signal.SIGTERM not in signal.sigpending():
            if time.monotonic() > until:
                return 1
        return 0

    monkeypatch.setattr(process, "run_child", starts_slowly)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # as the supervisor has one
    try:
        with App("signals", broker="sqlite://", set_as_current=False) as app:
            processes = process._Processes(app, process.WorkerOptions(hostname="w@h"))
            pid = processes.spawn("s")
            processes.drain(pid)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            processes.forget(pid)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_child_has_its_own_group_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-Z stops groups: a child that had not made its own yet would go on alone."""
    monkeypatch.setattr(process, "run_child", lambda *_: signal.pause())
    with App("groups", broker="sqlite://", set_as_current=False) as app:
        processes = process._Processes(app, process.WorkerOptions(hostname="w@h"))
        pid = processes.spawn("s")
        assert os.getpgid(pid) == pid
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        processes.forget(pid)
