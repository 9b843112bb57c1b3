"""Runs the examples of a page, as its reader would.

A page has a folder of its own, which is the current one, and a namespace that its blocks share.

- A `python` block whose first line is a comment with a file's name (`# tasks.py`) is written to
  that file and imported, or run if it has a `__main__` part. `# tasks.py, continued` adds to it.
- Other `python` blocks run as they stand; what follows `>>>` is checked as a doctest.
- In a `sh` block, `reliable-tasks -A module worker …` starts that worker, in the place of the one
  before. Of all other `reliable-tasks` commands the arguments are checked.
"""

import doctest
import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from reliable_tasks.cli import cli
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[1]
_FILE = re.compile(r"# (?P<name>\w+)\.py(?P<more>, continued)?\n")


class Page:
    """The run of one page's examples in a folder.

    Args:
        path: of the page.
        folder: to run in; it must be the current one, and on the path.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self._folder = folder
        self._modules: set[str] = set()
        self._stack = ExitStack()
        self._worker: subprocess.Popen[bytes] | None = None
        self._namespace: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stop_worker()
        app = self._namespace.get("app")
        if app is not None:
            app.close()
        for name in self._modules:
            sys.modules.pop(name, None)
        self._stack.close()

    def run(self) -> int:
        """Run every example; returns how many there were."""
        python = PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS)
        python.codeblock_parser = CodeBlockParser("python", self._python)
        shell = CodeBlockParser("sh", self._shell)
        document = Sybil(parsers=[python, shell], pattern="*.md").parse(self.path)
        self._namespace = document.namespace
        count = 0
        for example in document.examples():
            example.evaluate()
            count += 1
        return count

    def log(self) -> str:
        """What the workers have logged."""
        return "".join(p.read_text(errors="replace") for p in self._folder.glob("*.log"))

    # Python --------------------------------------------------------------------------------------

    def _python(self, example: Example) -> None:
        text = str(example.parsed)
        named = _FILE.match(text)
        namespace = example.namespace
        if "redis_url" in text and "redis_url" not in namespace:
            namespace["redis_url"] = self._stack.enter_context(RedisServer()).url
        if named is None:
            namespace.setdefault("__name__", "__page__")
            line = example.line + example.parsed.line_offset
            exec(compile("\n" * line + text, example.path, "exec"), namespace)
            return
        file = self._folder / f"{named['name']}.py"
        before = file.read_text() if named["more"] else ""
        file.write_text(before + text)
        if '__name__ == "__main__"' in text:
            exec(compile(text, file, "exec"), {"__name__": "__main__"})
            return
        self._modules.add(named["name"])
        sys.modules.pop(named["name"], None)
        importlib.invalidate_caches()
        namespace.update(vars(importlib.import_module(named["name"])))

    # The shell -----------------------------------------------------------------------------------

    def _shell(self, example: Example) -> None:
        for line in str(example.parsed).replace("\\\n", " ").splitlines():
            command, *arguments = shlex.split(line, comments=True) or [""]
            if command != "reliable-tasks":
                continue
            check_arguments(arguments)
            if "worker" in arguments and "-A" in arguments:
                self._start_worker(arguments)

    def _start_worker(self, arguments: list[str]) -> None:
        self._stop_worker()
        with (self._folder / f"worker-{len(self._modules)}.log").open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "reliable_tasks", *arguments],
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _stop_worker(self) -> None:
        if self._worker is not None:
            worker, self._worker = self._worker, None
            try:
                assert worker.poll() is None, self.log()
                _quit(worker)
            finally:
                with suppress(ProcessLookupError):  # nothing of it is left
                    os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


def _quit(worker: subprocess.Popen[bytes]) -> None:
    """Tell a worker to end, until it does: while Python begins, a signal may be ignored."""
    deadline = time.monotonic() + PATIENCE_S
    while worker.poll() is None:
        assert time.monotonic() < deadline, "the worker does not end"
        worker.send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(1)


def check_arguments(arguments: list[str]) -> None:
    """Raise what the command line would complain of."""
    command: click.Command = cli
    parent, rest = None, arguments
    if rest in (["--help"], ["--version"]):
        return
    while isinstance(command, click.Group):
        context = command.make_context(command.name, list(rest), parent=parent)
        remaining = [*context._protected_args, *context.args]
        _, found, rest = command.resolve_command(context, remaining)
        assert found is not None
        command, parent = found, context
    command.make_context(command.name, list(rest), parent=parent)
