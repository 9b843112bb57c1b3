"""A child ends with its supervisor, and the one line that sees to it is needed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from property_tests.ablations.switching import changed
from reliable_tasks.worker import child

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMISE = "ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)"


def _supervise(ready: int, told: int) -> None:
    """What the forked supervisor does: fork a child, and wait to be killed."""
    supervisor = os.getpid()
    if os.fork() == 0:
        child._die_with(supervisor)
        os.write(ready, b"!")
        while os.getppid() == supervisor:
            time.sleep(0.01)
        os.write(told, b"orphan")
        os._exit(0)
    os.close(told)
    signal.pause()


@contextlib.contextmanager
def _supervisor() -> Iterator[tuple[int, int]]:
    """A supervisor's pid, and where its child says that it has outlived it."""
    is_ready, ready = os.pipe()
    said, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _supervise(ready, told)
        finally:
            os._exit(1)
    os.close(told)
    os.close(ready)
    assert os.read(is_ready, 1) == b"!"
    try:
        yield pid, said
    finally:
        os.close(is_ready)
        os.close(said)


def _what_the_child_says() -> bytes:
    with _supervisor() as (pid, said):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return os.read(said, 100)  # nothing, once nobody is left who could say it


def test_a_child_does_not_outlive_its_supervisor() -> None:
    assert _what_the_child_says() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread of the child looks")
def test_without_the_check_it_does() -> None:
    with changed("reliable_tasks.worker.child:_die_with", PROMISE, "pass"):
        assert _what_the_child_says() == b"orphan"
