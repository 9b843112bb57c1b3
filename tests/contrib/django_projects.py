"""Start a project of `tests/projects` as its users do, and wait for what it comes to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.patience import PATIENCE_S
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).parents[2]
PROJECTS = ROOT / "tests" / "projects"


class Project:
    """A project's folder, and the processes that are started in it.

    Args:
        name: of its folder.
        tmp_path: where its database and logs go.
        environment: more of it.
    """

    def __init__(self, name: str, tmp_path: Path, **environment: str) -> None:
        self.folder = PROJECTS / name
        self._tmp_path = tmp_path
        self._processes: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SHOP_DB": str(tmp_path / "shop.sqlite3"),
            **environment,
        }
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(PATIENCE_S)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if exc is not None:
            exc.add_note(self.log()[-4000:])

    def log(self) -> str:
        """What the started processes have said."""
        return "".join(p.read_text(errors="replace") for p in self._tmp_path.glob("*.log"))

    def command(self, *arguments: str) -> list[str]:
        """`manage.py …` or `reliable-tasks …` as this Python runs it."""
        program, *rest = arguments
        module = ["-m", "reliable_tasks"] if program == "reliable-tasks" else [program]
        return [sys.executable, *module, *rest]

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end; returns what it said."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def shell(self, program: str) -> str:
        """Run a program in the project, as `manage.py shell` would; the last line it prints."""
        setup = "import django; django.setup()\n"
        with subprocess.Popen(
            [sys.executable, "-c", setup + program],
            cwd=self.folder,
            env={**self.environment, "DJANGO_SETTINGS_MODULE": "proj.settings"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                wait_until(lambda: self._over(process), "the program's end")
            finally:
                process.kill()
            said, wrong = process.communicate()
        assert process.returncode == 0, wrong
        return (said.splitlines() or [""])[-1]

    def _over(self, process: subprocess.Popen[str]) -> bool:
        assert all(started.poll() is None for started in self._processes), self.log()
        return process.poll() is not None

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that runs until the end of the block."""
        with (self._tmp_path / f"{len(self._processes)}.log").open("ab") as log:
            process = subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def wait_for(self, text: str) -> None:
        """Wait until a started process has said something."""

        def said() -> bool:
            assert all(process.poll() is None for process in self._processes), self.log()
            return text in self.log()

        wait_until(said, f"{text!r} in the log")
