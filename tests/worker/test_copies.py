"""Copies of a child's process, which bodies make as they like."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, Task
from reliable_tasks.worker import copies as copies_of_ours
from tests.patience import PATIENCE_S
from tests.worker.pooled import POOLS, Running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


copies: list[int] = []


def split() -> bool:
    """Whether this is the copy."""
    pid = os.fork()
    if pid:
        copies.append(pid)
    return not pid


def returns() -> str:
    return "copy" if split() else "original"


def raises() -> str:
    if split():
        raise KeyError("in the copy")
    return "original"


def exits() -> str:
    if split():
        raise SystemExit(7)
    return "original"


async def coroutine() -> str:
    return returns()


class Splits(Task[Any, Any]):
    abstract = True

    def before_start(self, *_: Any) -> None:
        split()


class SplitsLate(Task[Any, Any]):
    abstract = True

    def on_success(self, *_: Any) -> None:
        split()


def whole() -> str:
    return "original"


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(
    ("body", "base", "code"),
    [
        (returns, Task, 0),
        (raises, Task, 1),
        (exits, Task, 7),
        (coroutine, Task, 0),
        (whole, Splits, 0),
        (whole, SplitsLate, 0),
    ],
)
def test_a_copy_that_leaves_the_body_ends_there_and_commits_nothing(
    app: App, pool: str, body: Callable[[], Any], base: Any, code: int
) -> None:
    copies.clear()
    splits: Any = app.task(name="splits", base=base)(body)
    app.task(name="add")(lambda: 1)
    with Running(app, pool):
        results = [splits.delay() for _ in range(3)]
        for result in results:
            assert result.get(timeout=PATIENCE_S) == "original"
        assert app.tasks["add"].delay().get(timeout=PATIENCE_S) == 1
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in copies]
    assert codes == [code] * 3


def test_a_copy_whose_loop_goes_on_ends_before_its_neighbours_do(app: App) -> None:
    copies.clear()
    ended: list[int] = []

    @app.task(name="splits")
    async def splits() -> None:
        later = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, later.set_result, None)
        split()
        await later
        ended.append(os.getpid())

    with Running(app, "asyncio"):
        assert app.tasks["splits"].delay().get(timeout=PATIENCE_S) is None
    (pid,) = copies
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ended == [os.getpid()]


@pytest.mark.parametrize("pool", POOLS)
def test_a_copy_that_a_hook_has_made_leaves_the_scoreboard_to_the_original(
    app: App, pool: str
) -> None:
    posted: list[int] = []

    class Waits(Task[Any, Any]):
        abstract = True

        def on_success(self, *_: Any) -> None:
            copies.clear()
            if not split():
                os.waitpid(copies[0], 0)
                posted.append(len(running.board.running()))

    app.task(name="waits", base=Waits)(whole)
    with Running(app, pool) as running:
        assert app.tasks["waits"].delay().get(timeout=PATIENCE_S) == "original"
    assert posted == [1], "its limits are still watched"


@pytest.mark.parametrize("advice", [copies_of_ours._MADV_WIPEONFORK, -1])
@pytest.mark.parametrize("fork", [os.fork, ctypes.CDLL(None).fork])
def test_a_process_knows_that_it_is_no_copy_and_a_copy_that_it_is_one(
    monkeypatch: pytest.MonkeyPatch, advice: int, fork: Callable[[], int]
) -> None:
    monkeypatch.setattr(copies_of_ours, "_MADV_WIPEONFORK", advice)
    is_original = copies_of_ours.is_original()
    pid = fork()
    if not pid:
        os._exit(3 if is_original() else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert is_original()


# Signals -----------------------------------------------------------------------------------------

PROGRAM = """
    import ctypes, os, signal, subprocess, sys, threading
    from reliable_tasks.worker.copies import handle, take_back

    heard = []
    def hear():
        heard.append(os.getpid())
    handle({signal.SIGTERM: hear, signal.SIGINT: hear})
    own = lambda *_: os._exit(9)

    def spin():  # not pause(): a signal before the call would be waited for twice
        while True:
            pass

    def wait_for(fork, body):
        into, out = os.pipe()
        pid = fork()
        if pid == 0:
            os.write(out, b"!")
            body()
            os._exit(5)
        os.read(into, 1)
        os.kill(pid, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    pid = os.fork()
    if pid == 0:
        of_python = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        os._exit(7 if of_python and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL else 8)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    wait_for(os.fork, spin)
    wait_for(ctypes.PyDLL(None).fork, spin)
    signal.signal(signal.SIGTERM, own)
    wait_for(os.fork, spin)
    take_back()
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    print(subprocess.check_output([sys.executable, "-c", code]).decode(), end="")
    assert not heard
    os.kill(os.getpid(), signal.SIGTERM)
    print(heard == [os.getpid()])
"""


def test_handlers_are_of_the_child_alone_and_of_no_copy_by_python_or_c() -> None:
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    # Copies made by Python, one made in C, one with a handler of the body's own; a program.
    assert done.stdout.split() == ["7", "-15", "-15", "9", "True", "True"], done.stderr


def test_a_copy_that_is_terminated_at_once_ends(tmp_path: Path) -> None:
    program = """
        import os, signal
        from reliable_tasks.worker import copies

        copies.handle({signal.SIGTERM: lambda: None})
        for _ in range(300):
            pid = os.fork()
            while not pid:  # not pause(): a signal before the call would be waited for twice
                pass
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
        print("all ended")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout == "all ended\n", done.stderr
