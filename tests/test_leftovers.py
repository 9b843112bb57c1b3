"""What a test leaves behind is found in that test."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests import leftovers
from tests.patience import PATIENCE_S

SLEEPS = "import time; time.sleep(1000)"
LEAVES = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", {SLEEPS!r}], stdout=-3, stderr=-3).pid)
"""


def test_a_process_that_is_left_is_ended_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its parent has gone, as a worker's children are."""
    monkeypatch.setattr(leftovers, "PATIENCE_S", 0.0)
    leftovers.adopt_orphans()
    command = [sys.executable, "-c", LEAVES]
    with pytest.raises(AssertionError, match=r"time\.sleep\(1000\)"), leftovers.nothing_left():
        pid = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_a_process_that_ends_by_itself_is_waited_for() -> None:
    with leftovers.nothing_left():
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.2)"])
    assert process.wait(PATIENCE_S) == 0


def test_a_thread_that_is_left_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "PATIENCE_S", 0.0)
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="endless", daemon=True)
    with pytest.raises(AssertionError, match="endless"), leftovers.no_threads_left():
        thread.start()
    go_on.set()
    thread.join(PATIENCE_S)


def test_a_thread_that_ends_by_itself_is_waited_for() -> None:
    go_on = threading.Event()
    with leftovers.no_threads_left():
        threading.Thread(target=go_on.wait, args=(PATIENCE_S,)).start()
        threading.Timer(0.1, go_on.set).start()


def outcome_of(text: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run a module of tests under this project's settings."""
    root = Path(__file__).parents[1]
    # Out of sight of the tools that look at the tree meanwhile, and below its conftest.
    path = root / ".made_tests" / f"test_made_{os.getpid()}_{time.monotonic_ns()}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    try:
        command = [*before, sys.executable, "-m", "pytest", "-n0", "-rA", "-q", str(path)]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    finally:
        path.unlink()


UNRAISABLE = """
class Complains:
    def __del__(self):
        raise ValueError("at the end")

def test_one():
    one = Complains()
    one.itself = one

def test_another():
    pass
"""


def test_what_complains_of_its_end_fails_the_test_that_made_it() -> None:
    done = outcome_of(UNRAISABLE)
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("ERROR ") and "::test_one" in line]
    assert [line for line in lines if line.startswith("PASSED ") and "::test_another" in line]


SIGNALS = """
import signal, subprocess, sys

def test_programs_hear_signals():
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        program = f"import os, time; os.kill(os.getpid(), {number:d}); time.sleep(9)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True)
        assert done.returncode == -number, (number, done)
"""


def test_programs_hear_what_a_shell_in_the_background_ignores() -> None:
    done = outcome_of(SIGNALS, "sh", "-c", 'trap "" INT QUIT HUP; exec "$@"', "sh")
    assert done.returncode == 0, done.stdout
