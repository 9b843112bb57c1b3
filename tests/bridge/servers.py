"""A private server of a real system: RabbitMQ, ZooKeeper or Memcached, as Debian packages it.

It listens on free loopback ports and lives in a directory of its own. It ends with `stop`, or, when
the test process dies without a word, within a second by a watching shell. A missing server fails
the tests that want it; it never skips them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pytest

from tests.leftovers import ALLOWED
from tests.patience import PATIENCE_S
from tests.redis_server import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Server", "program", "watch"]

# Ends the processes and their directory when the test process has gone.
WATCH: Final = """
test=$1 folder=$2; shift 2
while kill -0 "$test" 2>/dev/null; do sleep 1; done
kill -9 "$@" 2>/dev/null
sleep 1
rm -rf "$folder"
"""


def program(found: str | None, package: str) -> str:
    """The path of a program, or a failure that says how to get it."""
    if found:
        return found
    command = f"apt-get install --no-install-recommends {package}"
    pytest.fail(f"{package} is not on this machine: as root, run `{command}` (.ci/run does)")


def watch(folder: Path, pids: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start the shell that ends what runs if this process does not come to do so."""
    words = [str(os.getpid()), str(folder), *map(str, pids)]
    watcher = subprocess.Popen(
        ["sh", "-c", WATCH, "watch", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    ALLOWED.update((watcher.pid, *pids))
    return watcher


class Server(ABC):
    """A server, running from the constructor until `stop`."""

    def __init__(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="rt-bridge-"))
        self.log_path = self.dir / "server.log"
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._watcher: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    @abstractmethod
    def url(self) -> str:
        """As Celery's settings name it."""

    @abstractmethod
    def _commands(self) -> list[list[str]]:
        """What is to run, the server itself last; writes the files of settings that it reads."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it answers; errors of the connection mean that it does not."""

    def _environment(self) -> dict[str, str]:
        return {}

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._processes[-1].pid

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return bool(self._processes) and self._processes[-1].poll() is None

    def start(self) -> None:
        """Start it and wait until it answers; if it ends at once, its port may have been taken."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._spawn()
            while self.running and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    if self._is_ready():
                        return
                time.sleep(0.02)
            self._end()
            if "address already in use" not in self._log().lower():
                pytest.fail(f"{type(self).__name__} did not start: {self._log()[-2000:]}")
            self.port = free_port()

    def stop(self) -> None:
        """End it, and remove its directory."""
        self._end()
        shutil.rmtree(self.dir, ignore_errors=True)

    def kill9(self) -> None:
        """Kill it with SIGKILL and wait until it is gone; its files stay."""
        self._end()

    def restart(self) -> None:
        """Start it again, on the same port and files, after killing it if it runs."""
        self._end()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self) -> None:
        with self.log_path.open("ab") as log:
            for command in self._commands():
                started = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.dir,
                    env={**os.environ, **self._environment()},
                    start_new_session=True,
                )
                self._processes.append(started)
        self._watcher = watch(self.dir, [process.pid for process in self._processes])

    def _end(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._processes.clear()
        if self._watcher is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._watcher.pid, signal.SIGKILL)
            self._watcher.wait()
            self._watcher = None

    def _log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
