"""One run of one system: its server or database, its adapter, its workers, and their ends."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.redis_server import RedisServer

from . import marks, probe, processes
from .adapter import STORE, VARIANT
from .environments import python_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .systems import System

__all__ = ["Arena", "BenchmarkError", "Control", "Place", "end_group", "told_with"]

ROOT = Path(__file__).parents[1]
ANSWER_S = 600.0
_END_S = 5.0
_POLL_S = 0.002
_libc = ctypes.CDLL(None)


class BenchmarkError(Exception):
    """A run came to no result."""


class Place:
    """Where everything is: environments, and the folder for databases and logs."""

    def __init__(self, venvs: Path, work: Path | None = None) -> None:
        self.venvs = venvs
        self.work = work


def link_adapters(folder: Path) -> Path:
    """A folder with this checkout's benchmarks and nothing else, to be first on the path."""
    place = folder / "adapters"
    place.mkdir()
    (place / "benchmarks").symlink_to(ROOT / "benchmarks")
    return place


def told_with(
    checkout: Path, *words: str, work: Path | None = None, seconds: float | None = None
) -> Any:
    """What a module of this checkout's benchmarks prints as JSON, run with the code of another.

    Args:
        checkout: whose `reliable_tasks` it imports.
        words: the module and its arguments.
        work: where its folder goes.
        seconds: how long it may take.

    Raises:
        BenchmarkError: it failed.
        subprocess.TimeoutExpired: it took longer.
    """
    with tempfile.TemporaryDirectory(prefix="rt-bench-", dir=work) as name:
        links = link_adapters(Path(name))
        (links / "tests").symlink_to(ROOT / "tests")
        path = os.pathsep.join([str(links), str(checkout)])
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=links,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    if done.returncode:
        raise BenchmarkError(done.stderr[-3000:])
    sys.stderr.write(done.stderr)
    return json.loads(done.stdout)


def _die_with_driver() -> None:
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _spawn(command: list[str], env: dict[str, str], **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=env["PYTHONPATH"].partition(os.pathsep)[0],  # `-m` looks there first
        env=env,
        start_new_session=True,
        preexec_fn=_die_with_driver,  # noqa: PLW1509 - the driver has no other thread
        **options,
    )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask a process group to end, then make sure of it."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Control:
    """An adapter's process, and what is asked of it."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = _spawn(
                command, env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )

    def begin(self, verb: str, **arguments: Any) -> None:
        """Ask, without waiting for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": verb, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._broken(f"the adapter has ended before {verb}") from None

    def answer(self) -> Any:
        """What it answers to the last question; None for what the peer has not."""
        stdout = self._process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], ANSWER_S)[0]:
            raise self._broken(f"no answer within {ANSWER_S:g} s")
        line = stdout.readline()
        if not line:
            raise self._broken("the adapter has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise self._broken(answer["error"])
        return answer["value"]

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Ask and wait."""
        self.begin(verb, **arguments)
        return self.answer()

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        end_group(self._process)

    def _broken(self, what: str) -> BenchmarkError:
        return BenchmarkError(f"{what}\n{self._log.read_text(errors='replace')[-3000:]}")


class Arena:
    """Everything that one run needs; a context manager that leaves nothing behind.

    Args:
        system: which one.
        place: where the environments are.
        variant: more words for the adapter.
        durable: whether the server writes every change to its disk before it answers.
    """

    def __init__(
        self, system: System, place: Place, variant: str = "", *, durable: bool = False
    ) -> None:
        self.system = system
        self.folder = Path(tempfile.mkdtemp(prefix="rt-bench-", dir=place.work))
        self.probes = self.folder / "probes"
        self.probes.mkdir()
        self.marks = self.folder / "marks"
        self.server: RedisServer | None = None
        self.database: Path | None = None
        self._stack = contextlib.ExitStack()
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        if system.store == "redis":
            self.server = self._stack.enter_context(RedisServer(appendonly=durable))
            url = self.server.url
        else:
            self.database = self.folder / "bench.db"
            url = f"sqlite:///{self.database}"
        self._python = str(python_of(place.venvs, system.module))
        self._env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(link_adapters(self.folder)), str(system.checkout or ROOT)]
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore",
            STORE: url,
            VARIANT: f"{system.variant} {variant}",
            probe.FOLDER: str(self.probes),
            marks.FILE: str(self.marks),
        }
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.control = self.another_control()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_worker()
        self._stack.close()

    def another_control(self) -> Control:
        """One more process of the adapter's."""
        command = [self._python, "-m", "benchmarks.serve", f"benchmarks.peers.{self.system.module}"]
        control = Control(command, self._env, self.folder / "adapter.log")
        self._stack.callback(control.close)
        return control

    def start_worker(self, processes: int = 2, level: str = "WARNING", logfile: str = "") -> int:
        """Start a worker; returns the instant (monotonic, ns)."""
        command = self.control.ask("worker", processes=processes, level=level, logfile=logfile)
        began = time.monotonic_ns()
        self._worker = self.spawn_worker(command)
        return began

    def spawn_worker(self, command: list[str]) -> subprocess.Popen[bytes]:
        """A worker in a process group of its own, which is for the caller to end."""
        with (self.folder / "worker.log").open("ab") as log:
            return _spawn(command, self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop_worker(self) -> None:
        """End the worker and all its processes."""
        if self._worker is not None:
            end_group(self._worker)
            self._worker = None

    @property
    def worker_pid(self) -> int:
        """The worker's first process."""
        assert self._worker is not None, "no worker runs"
        return self._worker.pid

    def seen(self) -> probe.Seen:
        """The bodies that have run."""
        return probe.look(self.probes)

    def forget_bodies(self) -> None:
        """Count from nothing again; no body may run meanwhile."""
        probe.clear(self.probes)

    def wait(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until something holds.

        Raises:
            BenchmarkError: it does not within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                log = (self.folder / "worker.log").read_text(errors="replace")[-3000:]
                raise BenchmarkError(f"{self.system.name}: {what} took over {seconds:g} s\n{log}")
            time.sleep(_POLL_S)

    def wait_for_bodies(self, count: int, seconds: float = 120.0) -> probe.Seen:
        """Wait until so many bodies have run."""
        self.wait(lambda: self.seen().bodies >= count, seconds, f"running {count} bodies")
        return self.seen()

    def server_seconds(self) -> float | None:
        """Processor time that the server has used; None without one."""
        if self.server is None:
            return None
        return processes.server_seconds(self.server.client())
