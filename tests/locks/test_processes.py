"""Real processes: contention, a holder that is killed, a holder that is stopped and goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from locks import Lock
from locks._opening import Client
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
Store = Client | Path


@contextmanager
def program(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """The holder program; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.locks.holder", *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_processes_exclude_each_other(address: str, name: str, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    words = ["count", address, name, str(number), "15"]
    with program(*words) as a, program(*words) as b, program(*words) as c:
        outputs = [process.communicate(timeout=PATIENCE_S)[0] for process in (a, b, c)]
        assert [process.returncode for process in (a, b, c)] == [0, 0, 0]
    assert number.read_text() == "45"
    steps = [tuple(map(int, line.split())) for out in outputs for line in out.splitlines()]
    assert len({fence for fence, _ in steps}) == 45
    assert [value for _, value in sorted(steps)] == list(range(1, 46)), "fences tell the order"


def test_pain_5_the_lock_of_a_killed_process_is_free_after_its_time(
    store: Store, address: str, name: str
) -> None:
    with program("hold", address, name, "1") as holder:
        fence = int(read_line(holder))
        lock = Lock(name, store)
        assert lock.try_acquire() is None
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        lease = lock.acquire(timeout=PATIENCE_S)
        assert lease.fence > fence
        lease.release()


class FencedResource:
    """Something outside the store that remembers the highest number and refuses lower ones."""

    def __init__(self) -> None:
        self.highest = 0

    def write(self, fence: int) -> bool:
        if fence < self.highest:
            return False
        self.highest = fence
        return True


def test_a_holder_that_was_paused_hears_of_its_loss_and_its_number_is_refused(
    store: Store, address: str, name: str
) -> None:
    resource = FencedResource()
    with program("hold", address, name, "1") as holder:
        paused_fence = int(read_line(holder))
        assert resource.write(paused_fence)
        os.kill(holder.pid, signal.SIGSTOP)
        with Lock(name, store) as lease:
            assert resource.write(lease.fence)
            os.kill(holder.pid, signal.SIGCONT)
            assert holder.stdin is not None
            holder.stdin.write("still there?\n")
            holder.stdin.flush()
            assert read_line(holder) == "lost"
            assert not resource.write(paused_fence)
            holder.communicate(timeout=PATIENCE_S)
            assert lease.valid
