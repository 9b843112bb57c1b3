"""The thread that stores what coroutines enqueue: there when it is needed, gone when it is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from reliable_tasks import App
from reliable_tasks.app import standby
from reliable_tasks.app.standby import Standby
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Work:
    """Counts how often it was done, and in which threads; it can be held back."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.done = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()

    def __call__(self) -> None:
        assert self.free.wait(PATIENCE_S)
        self.threads.append(threading.current_thread())
        self.done.release()


def test_one_thread_does_all_it_is_asked_for() -> None:
    work = Work()
    one = Standby("standby", work)
    for _ in range(3):
        one.ask()
        assert work.done.acquire(timeout=PATIENCE_S)
    one.close()
    assert len(work.threads) == 3
    assert len(set(work.threads)) == 1
    assert not work.threads[0].is_alive()


def test_it_ends_after_a_long_rest_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "_REST_S", 0.001)
    work = Work()
    one = Standby("standby", work)
    for _ in range(50):
        one.ask()
        assert work.done.acquire(timeout=PATIENCE_S), "asked while the thread was about to end"
    work.threads[0].join(PATIENCE_S)
    assert not work.threads[0].is_alive()
    one.close()


def test_what_it_was_asked_for_is_done_before_it_is_closed() -> None:
    work = Work()
    work.free.clear()
    one = Standby("standby", work)
    for _ in range(5):
        one.ask()
    threading.Timer(0.05, work.free.set).start()
    one.close()
    assert len(work.threads) == 5
    one.ask()
    assert work.done.acquire(timeout=PATIENCE_S)
    one.close()
    assert len(work.threads) == 6


def test_work_may_close_it() -> None:
    closed = threading.Event()

    def work() -> None:
        one.close()
        closed.set()

    one = Standby("standby", work)
    one.ask()
    assert closed.wait(PATIENCE_S)


def test_a_fork_ends_without_its_parents_threads() -> None:
    one = Standby("standby", Work())
    with one._lock:  # a thread of the parent's is in the middle of something
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            standby._finish()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    one.close()


PROGRAM = """
import asyncio, sys, threading
from reliable_tasks import App

app = App("prog", broker=sys.argv[1], set_as_current=False)
stored, inner = threading.Event(), app.store.enqueue
entered = threading.Event()

def slowly(batch):
    entered.set()
    stored.wait(0.3)
    return inner(batch)

app.store.enqueue = slowly

async def main():
    asyncio.ensure_future(app.asend_task("t"))
    while not entered.is_set():
        await asyncio.sleep(0)

asyncio.run(main())
"""


def test_a_program_that_ends_stores_what_is_on_its_way(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    subprocess.run([sys.executable, "-c", PROGRAM, url], check=True, timeout=PATIENCE_S)
    with App("look", broker=url, set_as_current=False) as app:
        assert sum(app.store.counts().states.values()) == 1
