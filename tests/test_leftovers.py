"""What a test leaves behind is found in that test."""

import os
import signal
import subprocess
import sys
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


def test_what_complains_of_its_end_fails_the_test_that_made_it(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    path = root / "tests" / f"test_made_{os.getpid()}_{time.monotonic_ns()}.py"
    path.write_text(UNRAISABLE)
    try:
        command = [sys.executable, "-m", "pytest", "-n0", "-rA", "-q", str(path)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    finally:
        path.unlink()
    assert done.returncode == 1, done.stdout
    assert "::test_one - " in done.stdout
    assert "ERROR" in done.stdout
    assert "PASSED" in done.stdout.split("::test_another")[-2].splitlines()[-1]
