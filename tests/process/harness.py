"""Real workers for tests: started, watched, stopped and killed, with what their bodies did."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import apsw

from tests.patience import PATIENCE_S
from tests.process.tasks import make_app

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from reliable_tasks.app import App
    from reliable_tasks.results.result import AsyncResult
    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Record

__all__ = ["Effect", "Place", "Worker", "sqlite_writable", "wait_stopped", "wait_until"]

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float = PATIENCE_S) -> T:
    """Return the first true value of `condition`; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Effect:
    """Something a body did, as it wrote it down; `at` is the machine's monotonic clock."""

    kind: str
    at: float
    pid: int
    id: str
    attempt: int
    fence: int


def _session(leader: int) -> list[int]:
    """The living processes of a session: each child has a group of its own."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def wait_stopped(pids: Collection[int]) -> None:
    """Wait until all threads of these processes stand still after a SIGSTOP.

    Until then one that was in a system call may still come to hold a lock.
    """
    wait_until(lambda: all(_states(pid) <= set("TtZX") for pid in pids), f"{pids} are stopped")


def _states(pid: int) -> set[str]:
    """The states of a process's threads; none if it is gone."""
    found = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            found.add(stat.read_text(errors="replace").rpartition(")")[2].split()[0])
    return found


def sqlite_writable(path: str) -> bool:
    """Whether nobody holds the lock of a database."""
    connection = apsw.Connection(path)
    connection.set_busy_timeout(100)
    try:
        connection.execute("BEGIN IMMEDIATE; ROLLBACK")
    except apsw.BusyError:
        return False
    finally:
        connection.close()
    return True


class Worker:
    """A worker process, in a process group of its own together with its children."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, log: Path) -> None:
        self.process = process
        self.name = name
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def children(self) -> list[int]:
        return [pid for pid in _session(self.pid) if pid != self.pid]

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """To the supervisor alone."""
        os.kill(self.pid, number)

    def signal_tree(self, number: int) -> None:
        """To the supervisor and its children."""
        os.kill(self.pid, number)
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError):  # ended with its supervisor
                os.kill(pid, number)

    def wait(self, seconds: float = PATIENCE_S) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """Let it finish what runs; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill_tree(self) -> None:
        """End it and its children with SIGKILL, and wait until all are gone."""
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left
            self.signal_tree(signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not self.children, f"the children of {self.name} are gone")


class Place:
    """A directory with a program, its store and its workers.

    Args:
        path: an empty directory.
        store_url: the store, which programs find in the variable STORE_URL.
    """

    def __init__(self, path: Path, store_url: str) -> None:
        self.path = path
        self.store_url = store_url
        self.app: App = make_app(store_url)
        self._effects = path / "effects.jsonl"
        self._workers: list[Worker] = []
        self._env = {
            **os.environ,
            "STORE_URL": store_url,
            "EFFECTS": str(self._effects),
            "PYTHONPATH": f"{path}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def store(self) -> Store:
        return self.app.store

    def write(self, name: str, source: str) -> Path:
        """A module of the program."""
        path = self.path / name
        path.write_text(source, encoding="utf-8")
        return path

    def python(self, *words: str, timeout: float = PATIENCE_S) -> str:
        """Run a program to its end; returns what it printed. It must exit with 0."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.path,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{words} exited with {done.returncode}:\n{done.stderr}"
        return done.stdout

    def start_worker(
        self,
        *options: str,
        module: str = "tests.process.program",
        name: str | None = None,
        settings: Mapping[str, object] | None = None,
        ready: bool = True,
    ) -> Worker:
        """Start `reliable-tasks -A module worker …`; by default wait until it consumes.

        Args:
            options: of the command `worker`.
            module: where its app is.
            name: its name; one of its own by default.
            settings: by their names; they override what the program does not set.
            ready: wait until it has opened a session.
        """
        name = name or f"w{len(self._workers)}@test"
        log = self.path / f"{name}-{len(self._workers)}.log"
        extra = {f"RELIABLE_TASKS_{k.upper()}": str(v) for k, v in (settings or {}).items()}
        command = [sys.executable, "-m", "reliable_tasks", "-A", module, "worker"]
        command += ["--hostname", name, "--loglevel", "INFO", *options]
        before = {s.id for s in self.store.sessions()} if ready else set()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.path,
                env={**self._env, **extra},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        worker = Worker(process, name, log)
        self._workers.append(worker)
        if ready:
            wait_until(lambda: self._consumes(worker, before), f"{name} consumes")
        return worker

    def _consumes(self, worker: Worker, before: set[str]) -> bool:
        assert worker.running, f"{worker.name} ended with {worker.process.poll()}:\n{worker.log}"
        return any(s.worker == worker.name and s.id not in before for s in self.store.sessions())

    def call(self, task: str, *args: Any, **options: Any) -> AsyncResult[Any]:
        """Enqueue a call of one of the program's tasks."""
        return self.app.tasks[task].apply_async(args, **options)

    def record(self, result: AsyncResult[Any]) -> Record:
        (record,) = self.store.read([result.id])
        assert record is not None, f"the store has no message {result.id}"
        return record

    def effects(self, kind: str, message_id: str | None = None) -> list[Effect]:
        """What bodies have done so far, oldest first."""
        if not self._effects.exists():
            return []
        text = self._effects.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()  # one may be half written just now
        all_of_them = [Effect(**json.loads(line)) for line in lines]
        return [e for e in all_of_them if e.kind == kind and message_id in {None, e.id}]

    def wait_effect(self, kind: str, count: int = 1, seconds: float = PATIENCE_S) -> Effect:
        """The `count`-th effect of a kind, once it is there."""
        found = wait_until(
            lambda: found if len(found := self.effects(kind)) >= count else [],
            f"{count} marks {kind!r}",
            seconds,
        )
        return found[count - 1]

    def freeze(self, worker: Worker) -> None:
        """Stop its processes with SIGSTOP, at a moment when none of them holds SQLite's lock."""
        for _ in range(100):
            worker.signal_tree(signal.SIGSTOP)
            wait_stopped([worker.pid, *worker.children])
            path = self.store_url.removeprefix("sqlite:///")
            if path == self.store_url or sqlite_writable(path):
                return
            worker.signal_tree(signal.SIGCONT)
        raise AssertionError("it always held the lock of the database")

    def close(self) -> None:
        """End every process of this place."""
        for worker in self._workers:
            worker.kill_tree()
        self.app.close()
